// bench/pair_maker.h: the pairs of the key-value workloads: ascending 17-byte keys, values cut from a pool of random
// bytes. Each is made from its number alone, so that what an engine returns can be checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "bench/ingest_run.h"
#include "bench/options.h"
#include "bench/random.h"

namespace hdb::bench {

inline constexpr std::size_t kKeyBytes = 17;

// Immutable; any thread may call.
class PairMaker {
 public:
  PairMaker(std::uint64_t seed, std::uint64_t value_bytes);

  // "k" and the number in 16 hexadecimal digits: ascending as bytes.
  static void make_key(std::uint64_t number, std::byte* to) {
    *to++ = std::byte{'k'};
    for (int shift = 60; shift >= 0; shift -= 4) {
      *to++ = static_cast<std::byte>("0123456789abcdef"[(number >> shift) & 15]);
    }
  }

  ByteView value(std::uint64_t number) const {
    return {pool_.data() + Random(seed_, number).below(kPoolBytes), value_bytes_};
  }

  std::uint64_t seed() const { return seed_; }
  std::uint64_t pair_bytes() const { return kKeyBytes + value_bytes_; }

 private:
  static constexpr std::size_t kPoolBytes = 8u << 20;

  std::uint64_t seed_;
  std::size_t value_bytes_;
  Buffer pool_;
};

// A key on its own. The views live as long as it.
class PairKey {
 public:
  explicit PairKey(std::uint64_t number) { PairMaker::make_key(number, bytes_); }
  ByteView bytes() const { return {bytes_, kKeyBytes}; }
  // A key that no pair has, between this one and the next.
  ByteView absent_bytes() const { return bytes_; }

 private:
  std::byte bytes_[kKeyBytes + 1] = {};  // the last is the absent key's
};

// Writes the first `events` pairs of `maker` into `engine` as `options` say, and reads them back.
IngestRun pair_run(const BenchOptions& options, const std::string& engine, const PeerSettings& settings,
                   const std::shared_ptr<const PairMaker>& maker);

}  // namespace hdb::bench
