// bench/course.h: how a run went, for plots: what was done over time, and how long each took.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "bench/latency_histogram.h"

namespace hdb::bench {

// The percentiles of the latency plot.
inline constexpr std::array<double, 9> kPercentiles = {1, 10, 25, 50, 75, 90, 99, 99.9, 100};

// How much was done, by time, in some 600 bytes, so that measuring takes no memory from the measured. Single-owner.
class Timeline {
 public:
  // `count` more were done by `at_ns` after the begin.
  void add(std::uint64_t at_ns, std::uint64_t count) noexcept {
    while (at_ns >> shift_ >= kPoints) coarsen();
    counts_[at_ns >> shift_] += count;
    end_ns_ = std::max(end_ns_, at_ns);
  }

  // What somebody else did since the same begin.
  void add_all(Timeline other) noexcept {
    while (shift_ < other.shift_) coarsen();
    while (other.shift_ < shift_) other.coarsen();
    for (std::size_t point = 0; point < kPoints; ++point) counts_[point] += other.counts_[point];
    end_ns_ = std::max(end_ns_, other.end_ns_);
  }

  double end_s() const noexcept { return static_cast<double>(end_ns_) * 1e-9; }

  struct Point {
    double middle_s;
    double per_s;
  };
  // In the order of time, none if nothing was done; the last reaches to the end.
  std::vector<Point> points() const;

 private:
  static constexpr std::size_t kPoints = 64;

  // Points of double the length: two become one.
  void coarsen() noexcept {
    for (std::size_t point = 0; point < kPoints; ++point) {
      counts_[point] = point < kPoints / 2 ? counts_[2 * point] + counts_[2 * point + 1] : 0;
    }
    ++shift_;
  }

  std::array<std::uint64_t, kPoints> counts_{};
  unsigned shift_ = 16;  // a point is 2^shift_ ns long
  std::uint64_t end_ns_ = 0;
};

// Travels through a pipe to the process it was forked from: trivially copyable, the texts literals.
struct Course {
  const char* done = nullptr;  // "gets of existing keys": what the timeline counts; null: it is empty
  const char* one = nullptr;   // "a get of an existing key": what the latencies are of; null: there are none
  Timeline timeline;
  std::array<double, kPercentiles.size()> latency_us{};  // by kPercentiles
};
static_assert(std::is_trivially_copyable_v<Course>);

inline std::array<double, kPercentiles.size()> latencies_us(const LatencyHistogram& latencies) noexcept {
  std::array<double, kPercentiles.size()> us{};
  for (std::size_t index = 0; index < us.size(); ++index) us[index] = latencies.percentile_us(kPercentiles[index]);
  return us;
}

}  // namespace hdb::bench
