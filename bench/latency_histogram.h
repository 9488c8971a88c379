// bench/latency_histogram.h: any number of latencies in 30 KB, so that measuring takes no memory from the measured.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace hdb::bench {

// Each latency is counted in a bucket no wider than 1/64 of it. Single-owner.
class LatencyHistogram {
 public:
  void add(std::uint64_t ns) noexcept {
    ++counts_[bucket_of(ns)];
    ++count_;
    max_ns_ = std::max(max_ns_, ns);
  }

  void add_all(const LatencyHistogram& other) noexcept {
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) counts_[bucket] += other.counts_[bucket];
    count_ += other.count_;
    max_ns_ = std::max(max_ns_, other.max_ns_);
  }

  std::uint64_t count() const noexcept { return count_; }

  // What at least `percent` % of the latencies do not exceed; 0 if there are none.
  double percentile_us(double percent) const noexcept {
    const double rank = std::ceil(percent / 100 * static_cast<double>(count_));
    std::uint64_t below = 0;
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
      below += counts_[bucket];
      if (below > 0 && static_cast<double>(below) >= rank) {
        return static_cast<double>(std::min(max_ns_, last_of(bucket))) * 1e-3;
      }
    }
    return 0;
  }

 private:
  // 64 buckets for every power of two from 64 ns on; below 128 ns each has its own.
  static constexpr std::size_t kBuckets = 64 * 59;

  static std::size_t bucket_of(std::uint64_t ns) noexcept {
    const int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - 7);
    return 64 * static_cast<std::size_t>(shift) + static_cast<std::size_t>(ns >> shift);
  }
  static std::uint64_t last_of(std::size_t bucket) noexcept {
    if (bucket < 128) return bucket;
    const std::size_t shift = bucket / 64 - 1;
    return ((bucket - 64 * shift + 1) << shift) - 1;
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ns_ = 0;
};

}  // namespace hdb::bench
