// base/postings.h: sets of positions: the unit of index look-ups, filters and set operations on them.
//
// Encoded (in tables; only this file and postings.cc know the bytes):
//
//   kind 0  u8 0, varint count (under 64), then the first position and the distances from one to the next, as varints
//   kind 1  u8 1, then the Roaring portable format (github.com/RoaringBitmap/RoaringFormatSpec)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"

struct roaring_bitmap_s;

namespace hdb {

// A set of 32-bit positions, relative to a base that the owner knows. Single-owner while it changes; const calls may
// run concurrently. A moved-from set may only be assigned to or destroyed. Throws std::bad_alloc.
class PositionSet {
 public:
  PositionSet();
  PositionSet(PositionSet&&) noexcept = default;
  PositionSet& operator=(PositionSet&&) noexcept = default;
  ~PositionSet() = default;
  PositionSet copy() const;

  // The positions [begin, end), end at most 2^32; empty if end <= begin.
  static PositionSet range(std::uint64_t begin, std::uint64_t end);
  static PositionSet of(std::span<const std::uint32_t> positions);  // in any order

  void add(std::uint32_t position);
  void add_range(std::uint64_t begin, std::uint64_t end);   // as range()
  void keep_range(std::uint64_t begin, std::uint64_t end);  // removes what is outside of [begin, end)

  bool contains(std::uint32_t position) const noexcept;
  std::uint64_t cardinality() const noexcept;
  bool empty() const noexcept;

  PositionSet& operator&=(const PositionSet& other);
  PositionSet& operator|=(const PositionSet& other);
  PositionSet& operator-=(const PositionSet& other);
  friend bool operator==(const PositionSet& a, const PositionSet& b) noexcept { return a.equals(b); }

  // The smallest position >= `position`, the greatest <= `position`. To walk a whole set, to_vector() is faster.
  std::optional<std::uint32_t> next_at_or_after(std::uint32_t position) const;
  std::optional<std::uint32_t> previous_at_or_before(std::uint32_t position) const;
  std::vector<std::uint32_t> to_vector() const;  // ascending

  void encode(Buffer& to) const;
  // As of(positions).encode(to), without making the set of a few; each is greater than the one before.
  static void encode_ascending(std::span<const std::uint32_t> positions, Buffer& to);
  // The set that all of `bytes` encode. Safe on any bytes: kCorruption if they are no set; memory is bounded by a
  // constant times bytes.size().
  static Result<PositionSet> decode(ByteView bytes);

 private:
  struct Free {
    void operator()(roaring_bitmap_s* bitmap) const noexcept;
  };
  explicit PositionSet(roaring_bitmap_s* bitmap);  // takes it over; null is std::bad_alloc
  bool equals(const PositionSet& other) const noexcept;
  void encode_portable(Buffer& to);  // as kind 1; changes the form of the set, not what is in it

  std::unique_ptr<roaring_bitmap_s, Free> bitmap_;
};

}  // namespace hdb
