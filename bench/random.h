// bench/random.h: SplitMix64 (Steele, Lea, Flood 2014): small, fast, and any place of the stream in one step.
#pragma once

#include <cstdint>

namespace hdb::bench {

class Random {
 public:
  // The stream number `stream` of `seed`.
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) noexcept : state_(mix(seed) ^ (stream * kStep)) {}

  std::uint64_t next() noexcept { return mix(state_ += kStep); }
  // [0, bound), bound > 0. The bias is below bound / 2^64.
  std::uint64_t below(std::uint64_t bound) noexcept {
    return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
  }

 private:
  __extension__ typedef unsigned __int128 Wide;

  static constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15;
  static std::uint64_t mix(std::uint64_t value) noexcept {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }

  std::uint64_t state_;
};

}  // namespace hdb::bench
