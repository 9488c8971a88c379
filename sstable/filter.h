// sstable/filter.h: a Bloom filter of which a probe touches one cache line.
//
// Bytes: cache lines of 64, then u32 probes, u32 reserved (zero). A hash chooses a line by its high half, and
// `probes` of the line's 512 bits by two multiplications of the whole. (Putze, Sanders, Singler: Cache-, Hash- and
// Space-Efficient Bloom Filters, 2007.) False positives: about 1.2 % with 10 bits per key, 0.1 % with 18; uneven
// filling of the lines costs a little against the 0.8 % of one large filter.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace hdb::sstable {

// `hashes`: hash64 of each key; at least one. bits_per_key > 0.
Buffer build_filter(std::span<const std::uint64_t> hashes, std::uint32_t bits_per_key);

// Immutable.
class Filter {
 public:
  static Result<Filter> decode(ByteView bytes);

  // False: no key with this hash was added.
  bool may_contain(std::uint64_t hash) const noexcept;

  // What it takes in memory.
  std::uint64_t memory_bytes() const noexcept { return sizeof *this + lines_.size() * sizeof(Line); }
  std::uint32_t probes() const noexcept { return probes_; }

 private:
  struct alignas(64) Line {
    std::array<std::uint64_t, 8> words;
  };
  std::vector<Line> lines_;
  std::uint32_t probes_ = 0;
};

}  // namespace hdb::sstable
