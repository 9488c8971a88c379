#include "base/postings.h"

#include <array>
#include <bit>
#include <limits>
#include <new>
#include <string>

#include <roaring/roaring.h>

namespace hdb {

namespace {

enum class SetKind : std::uint8_t { kDeltas = 0, kRoaring = 1 };  // on disk: append, never renumber

constexpr std::uint64_t kDeltasMax = 63;  // positions in a set of kind kDeltas

constexpr std::uint64_t kPositionsEnd = std::uint64_t{1} << 32;

// Numbers of the Roaring portable format.
constexpr std::uint32_t kCookieWithRuns = 12347;     // low 16 bits; the high ones are the number of containers - 1
constexpr std::uint32_t kCookieWithoutRuns = 12346;  // then the number of containers as u32
constexpr std::uint32_t kContainersMax = 65536;
constexpr std::uint32_t kOffsetsFrom = 4;  // with runs, offsets are there from this many containers
constexpr std::uint32_t kArrayMax = 4096;  // positions in an array container
constexpr std::size_t kBitsetBytes = 8192;

Status damaged_postings(const char* what) {
  return Status::corruption(std::string("set of positions: ") + what);
}

Status check_array(Cursor& cursor, std::uint32_t cardinality) {
  const ByteView values = HDB_TRY(cursor.bytes(2 * std::size_t{cardinality}));
  for (std::size_t i = 1; i < cardinality; ++i) {
    if (load<std::uint16_t>(&values[2 * i - 2]) >= load<std::uint16_t>(&values[2 * i])) {
      return damaged_postings("an array is out of order");
    }
  }
  return {};
}

Status check_bitset(Cursor& cursor, std::uint32_t cardinality) {
  const ByteView words = HDB_TRY(cursor.bytes(kBitsetBytes));
  int bits = 0;
  for (std::size_t at = 0; at < kBitsetBytes; at += 8) bits += std::popcount(load<std::uint64_t>(&words[at]));
  if (static_cast<std::uint32_t>(bits) != cardinality)
    return damaged_postings("a bitset has not as many bits as it says");
  return {};
}

Status check_runs(Cursor& cursor, std::uint32_t cardinality) {
  const auto count = HDB_TRY(cursor.fixed<std::uint16_t>());
  const ByteView runs = HDB_TRY(cursor.bytes(4 * std::size_t{count}));
  std::uint32_t positions = 0;
  std::uint32_t end = 0;  // of the run before
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t begin = load<std::uint16_t>(&runs[4 * i]);
    const std::uint32_t length = load<std::uint16_t>(&runs[4 * i + 2]) + 1u;
    if (i > 0 && begin <= end) return damaged_postings("runs touch or are out of order");
    end = begin + length;
    if (end > kContainersMax) return damaged_postings("a run goes past its container");
    positions += length;
  }
  if (positions != cardinality) return damaged_postings("runs have not as many positions as they say");
  return {};
}

// Whether `bytes` are one whole bitmap in the portable format with every property that CRoaring relies upon: its own
// check covers lengths only, and unsorted containers make it read and write out of bounds.
Status check_portable(ByteView bytes) {
  Cursor cursor(bytes);
  const auto cookie = HDB_TRY(cursor.fixed<std::uint32_t>());
  const bool may_have_runs = (cookie & 0xffff) == kCookieWithRuns;
  if (!may_have_runs && cookie != kCookieWithoutRuns) return damaged_postings("not a Roaring bitmap");
  const std::uint32_t containers = may_have_runs ? (cookie >> 16) + 1 : HDB_TRY(cursor.fixed<std::uint32_t>());
  if (containers > kContainersMax) return damaged_postings("too many containers");
  ByteView run_flags;
  if (may_have_runs) run_flags = HDB_TRY(cursor.bytes((containers + 7) / 8));
  const ByteView keys = HDB_TRY(cursor.bytes(4 * std::size_t{containers}));
  ByteView offsets;
  if (!may_have_runs || containers >= kOffsetsFrom) offsets = HDB_TRY(cursor.bytes(4 * std::size_t{containers}));

  for (std::size_t i = 0; i < containers; ++i) {
    if (i > 0 && load<std::uint16_t>(&keys[4 * i - 4]) >= load<std::uint16_t>(&keys[4 * i])) {
      return damaged_postings("containers are out of order");
    }
    if (!offsets.empty() && load<std::uint32_t>(&offsets[4 * i]) != cursor.offset()) {
      return damaged_postings("a container is not where it should be");
    }
    const std::uint32_t cardinality = load<std::uint16_t>(&keys[4 * i + 2]) + 1u;
    const bool is_run = may_have_runs && (std::to_integer<unsigned>(run_flags[i / 8]) >> (i % 8) & 1) != 0;
    if (is_run) {
      HDB_TRY(check_runs(cursor, cardinality));
    } else if (cardinality <= kArrayMax) {
      HDB_TRY(check_array(cursor, cardinality));
    } else {
      HDB_TRY(check_bitset(cursor, cardinality));
    }
  }
  if (!cursor.at_end()) return damaged_postings("bytes follow its end");
  return {};
}

std::uint32_t u32(std::uint64_t position) noexcept {
  return static_cast<std::uint32_t>(position);
}

}  // namespace

void PositionSet::Free::operator()(roaring_bitmap_s* bitmap) const noexcept {
  roaring_bitmap_free(bitmap);
}

PositionSet::PositionSet(roaring_bitmap_s* bitmap) : bitmap_(bitmap) {
  if (bitmap == nullptr) throw std::bad_alloc();
}

PositionSet::PositionSet() : PositionSet(roaring_bitmap_create()) {}

PositionSet PositionSet::copy() const {
  return PositionSet(roaring_bitmap_copy(bitmap_.get()));
}

PositionSet PositionSet::range(std::uint64_t begin, std::uint64_t end) {
  PositionSet set;
  set.add_range(begin, end);
  return set;
}

PositionSet PositionSet::of(std::span<const std::uint32_t> positions) {
  PositionSet set;
  roaring_bitmap_add_many(set.bitmap_.get(), positions.size(), positions.data());
  return set;
}

void PositionSet::add(std::uint32_t position) {
  roaring_bitmap_add(bitmap_.get(), position);
}

void PositionSet::add_range(std::uint64_t begin, std::uint64_t end) {
  HDB_CHECK(end <= kPositionsEnd);
  if (begin < end) roaring_bitmap_add_range_closed(bitmap_.get(), u32(begin), u32(end - 1));
}

void PositionSet::keep_range(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end || begin >= kPositionsEnd) return roaring_bitmap_clear(bitmap_.get());
  if (begin > 0) roaring_bitmap_remove_range_closed(bitmap_.get(), 0, u32(begin - 1));
  if (end < kPositionsEnd) roaring_bitmap_remove_range_closed(bitmap_.get(), u32(end), u32(kPositionsEnd - 1));
}

bool PositionSet::contains(std::uint32_t position) const noexcept {
  return roaring_bitmap_contains(bitmap_.get(), position);
}

std::uint64_t PositionSet::cardinality() const noexcept {
  return roaring_bitmap_get_cardinality(bitmap_.get());
}

bool PositionSet::empty() const noexcept {
  return roaring_bitmap_is_empty(bitmap_.get());
}

PositionSet& PositionSet::operator&=(const PositionSet& other) {
  if (&other != this) roaring_bitmap_and_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

PositionSet& PositionSet::operator|=(const PositionSet& other) {
  if (&other != this) roaring_bitmap_or_inplace(bitmap_.get(), other.bitmap_.get());
  return *this;
}

PositionSet& PositionSet::operator-=(const PositionSet& other) {
  if (&other == this) {
    roaring_bitmap_clear(bitmap_.get());
  } else {
    roaring_bitmap_andnot_inplace(bitmap_.get(), other.bitmap_.get());
  }
  return *this;
}

bool PositionSet::equals(const PositionSet& other) const noexcept {
  return roaring_bitmap_equals(bitmap_.get(), other.bitmap_.get());
}

std::optional<std::uint32_t> PositionSet::next_at_or_after(std::uint32_t position) const {
  roaring_uint32_iterator_t at;
  roaring_init_iterator(bitmap_.get(), &at);
  if (!at.has_value || !roaring_move_uint32_iterator_equalorlarger(&at, position)) return std::nullopt;
  return at.current_value;
}

std::optional<std::uint32_t> PositionSet::previous_at_or_before(std::uint32_t position) const {
  const std::uint64_t rank = roaring_bitmap_rank(bitmap_.get(), position);
  if (rank == 0) return std::nullopt;
  std::uint32_t found = 0;
  HDB_CHECK(roaring_bitmap_select(bitmap_.get(), u32(rank - 1), &found));
  return found;
}

std::vector<std::uint32_t> PositionSet::to_vector() const {
  std::vector<std::uint32_t> positions(cardinality());
  roaring_bitmap_to_uint32_array(bitmap_.get(), positions.data());
  return positions;
}

void PositionSet::encode(Buffer& to) const {
  const std::uint64_t count = cardinality();
  if (count > kDeltasMax) return copy().encode_portable(to);
  std::array<std::uint32_t, kDeltasMax> positions;
  roaring_bitmap_to_uint32_array(bitmap_.get(), positions.data());
  encode_ascending(std::span(positions).first(count), to);
}

void PositionSet::encode_ascending(std::span<const std::uint32_t> positions, Buffer& to) {
  if (positions.size() > kDeltasMax) return of(positions).encode_portable(to);
  append_fixed(to, SetKind::kDeltas);
  append_varint(to, positions.size());
  std::uint32_t before = 0;
  for (const std::uint32_t position : positions) {
    append_varint(to, position - before);
    before = position;
  }
}

void PositionSet::encode_portable(Buffer& to) {
  roaring_bitmap_run_optimize(bitmap_.get());
  append_fixed(to, SetKind::kRoaring);
  const std::size_t begin = to.size();
  to.resize(begin + roaring_bitmap_portable_size_in_bytes(bitmap_.get()));
  roaring_bitmap_portable_serialize(bitmap_.get(), reinterpret_cast<char*>(to.data() + begin));
}

Result<PositionSet> PositionSet::decode(ByteView bytes) {
  Cursor cursor(bytes);
  const auto kind = HDB_TRY(cursor.fixed<SetKind>());
  if (kind == SetKind::kRoaring) {
    const ByteView portable = cursor.rest();
    HDB_TRY(check_portable(portable));
    return PositionSet(
        roaring_bitmap_portable_deserialize_safe(reinterpret_cast<const char*>(portable.data()), portable.size()));
  }
  if (kind != SetKind::kDeltas) return damaged_postings("of unknown kind");
  const std::uint64_t count = HDB_TRY(cursor.varint());
  if (count > kDeltasMax) return damaged_postings("has more distances than its kind allows");
  PositionSet set;
  std::uint64_t position = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t distance = HDB_TRY(cursor.varint());
    if ((i > 0 && distance == 0) || distance >= kPositionsEnd - position)
      return damaged_postings("distances are out of order");
    position += distance;
    set.add(u32(position));
  }
  if (!cursor.at_end()) return damaged_postings("bytes follow its end");
  return set;
}

}  // namespace hdb
