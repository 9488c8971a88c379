// tools/cli/progress_meter.h: one line on a terminal that tells how far long work has come; nothing when piped.
#pragma once

#include <chrono>
#include <cstdint>

namespace hdb::cli {

// Single-owner. Writes to standard error.
class ProgressMeter {
 public:
  // `bytes_total` is all the work; 0: unknown.
  explicit ProgressMeter(std::uint64_t bytes_total);
  ~ProgressMeter() { clear(); }
  ProgressMeter(const ProgressMeter&) = delete;
  ProgressMeter& operator=(const ProgressMeter&) = delete;

  // Cheap; redraws a few times a second.
  void update(std::uint64_t bytes_done, std::uint64_t events);
  void clear();  // before anything else is written to the terminal

 private:
  using Clock = std::chrono::steady_clock;

  const bool is_shown_;
  const std::uint64_t bytes_total_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point drawn_ = begin_;
  bool is_drawn_ = false;
};

}  // namespace hdb::cli
