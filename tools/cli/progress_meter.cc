#include "tools/cli/progress_meter.h"

#include <cstdio>
#include <string>

#include <unistd.h>

#include <fmt/format.h>

namespace hdb::cli {

namespace {

constexpr std::chrono::milliseconds kRedrawEvery{200};

}  // namespace

ProgressMeter::ProgressMeter(std::uint64_t bytes_total)
    : is_shown_(isatty(STDERR_FILENO) == 1), bytes_total_(bytes_total) {}

void ProgressMeter::update(std::uint64_t bytes_done, std::uint64_t events) {
  if (!is_shown_) return;
  const Clock::time_point now = Clock::now();
  if (now - drawn_ < kRedrawEvery) return;
  drawn_ = now;
  is_drawn_ = true;
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  std::string line = fmt::format("{} events, {:.0f} events/s", events, static_cast<double>(events) / seconds);
  if (bytes_total_ > 0 && bytes_done > 0) {
    const double share = static_cast<double>(bytes_done) / static_cast<double>(bytes_total_);
    line += fmt::format(", {:.0f} %, {:.0f} s left", 100 * share, seconds * (1 - share) / share);
  }
  fmt::print(stderr, "\r\x1b[K{}", line);
}

void ProgressMeter::clear() {
  if (is_drawn_) fmt::print(stderr, "\r\x1b[K");
  is_drawn_ = false;
}

}  // namespace hdb::cli
