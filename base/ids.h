// base/ids.h: integers that are one kind of thing, with no implicit way in or out. raw() marks the places that talk to
// bytes or count.
#pragma once

#include <array>
#include <compare>
#include <concepts>
#include <cstdint>
#include <functional>

namespace hdb {

template <typename Tag, std::unsigned_integral Rep>
class StrongInt {
 public:
  constexpr StrongInt() noexcept = default;
  constexpr explicit StrongInt(Rep value) noexcept : value_(value) {}
  constexpr Rep raw() const noexcept { return value_; }
  constexpr StrongInt next() const noexcept { return StrongInt(static_cast<Rep>(value_ + 1)); }
  friend constexpr auto operator<=>(StrongInt, StrongInt) noexcept = default;

 private:
  Rep value_ = 0;
};

// Numbers every event and every key-value change, from 1, without gaps: the order of commits.
using SequenceNumber = StrongInt<struct SequenceNumberTag, std::uint64_t>;
// Names a table or manifest file; never used twice in one store.
using FileNumber = StrongInt<struct FileNumberTag, std::uint64_t>;
// Names a log segment file; consecutive.
using SegmentNumber = StrongInt<struct SegmentNumberTag, std::uint64_t>;
// Counts the opens of a store for writing; seeds the log's checksums.
using Epoch = StrongInt<struct EpochTag, std::uint64_t>;

// 128 random bits, as a UUIDv4, made when a store is created.
using StoreId = std::array<std::uint8_t, 16>;

// A place in the log: a byte of a segment file.
struct LogPoint {
  SegmentNumber segment;
  std::uint64_t offset = 0;
  friend constexpr auto operator<=>(const LogPoint&, const LogPoint&) noexcept = default;
};

}  // namespace hdb

template <typename Tag, typename Rep>
struct std::hash<hdb::StrongInt<Tag, Rep>> {
  std::size_t operator()(hdb::StrongInt<Tag, Rep> value) const noexcept { return std::hash<Rep>{}(value.raw()); }
};
