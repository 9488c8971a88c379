// base/bytes.h: little-endian loads and stores, and the one bounds-checked decoder.
#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <hdb/event.h>
#include <hdb/status.h>

namespace hdb {

static_assert(std::endian::native == std::endian::little, "files are little-endian: big-endian hosts need byte swaps");

using MutableBytes = std::span<std::byte>;
using Buffer = std::vector<std::byte>;

template <typename T>
requires std::is_trivially_copyable_v<T> T load(const std::byte* from)
noexcept {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename T>
requires std::is_trivially_copyable_v<T>
void store(std::byte* to, const T& value) noexcept {
  std::memcpy(to, &value, sizeof value);
}

inline void append(Buffer& to, ByteView bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

template <typename T>
requires std::is_trivially_copyable_v<T>
void append_fixed(Buffer& to, const T& value) {
  append(to, std::as_bytes(std::span<const T, 1>(&value, 1)));
}

// LEB128, as in protocol buffers: 7 bits a byte, low bits first.
inline constexpr std::size_t kVarintBytesMax = 10;

// Returns where it ends.
inline std::byte* put_varint(std::byte* at, std::uint64_t value) noexcept {
  while (value >= 0x80) {
    *at++ = static_cast<std::byte>(value | 0x80);
    value >>= 7;
  }
  *at++ = static_cast<std::byte>(value);
  return at;
}

inline void append_varint(Buffer& to, std::uint64_t value) {
  std::array<std::byte, kVarintBytesMax> bytes;
  append(to, {bytes.data(), put_varint(bytes.data(), value)});
}

inline std::uint32_t load_be32(const std::byte* from) noexcept {
  return __builtin_bswap32(load<std::uint32_t>(from));
}
inline void store_be32(std::byte* to, std::uint32_t value) noexcept {
  store(to, __builtin_bswap32(value));
}

inline ByteView bytes_of(const Buffer& buffer) noexcept {
  return {buffer.data(), buffer.size()};
}

// By unsigned byte, a prefix before what it is a prefix of. <0, 0, >0.
inline int compare_bytes(ByteView a, ByteView b) noexcept {
  const std::size_t shared = a.size() < b.size() ? a.size() : b.size();
  const int order = shared == 0 ? 0 : std::memcmp(a.data(), b.data(), shared);
  if (order != 0) return order;
  return a.size() < b.size() ? -1 : (a.size() > b.size() ? 1 : 0);
}

inline bool equal_bytes(ByteView a, ByteView b) noexcept {
  return a.size() == b.size() && compare_bytes(a, b) == 0;
}

inline bool has_prefix(ByteView bytes, ByteView prefix) noexcept {
  return bytes.size() >= prefix.size() && equal_bytes(bytes.first(prefix.size()), prefix);
}

// Walks over encoded bytes. Every step either yields a value or reports where the bytes ended too early.
class Cursor {
 public:
  explicit Cursor(ByteView bytes) noexcept : all_(bytes), rest_(bytes) {}

  template <typename T>
  requires std::is_trivially_copyable_v<T> Result<T> fixed() {
    const ByteView head = HDB_TRY(bytes(sizeof(T)));
    return load<T>(head.data());
  }

  Result<ByteView> bytes(std::size_t count) {
    if (count > rest_.size()) return too_short(count);
    const ByteView head = rest_.first(count);
    rest_ = rest_.subspan(count);
    return head;
  }

  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint64_t>(HDB_TRY(fixed<std::uint8_t>()));
      if (shift == 63 && byte > 1) break;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return Status::corruption("a varint before byte " + std::to_string(offset()) + " is longer than 64 bits");
  }

  // A varint length, then that many bytes.
  Result<ByteView> sized_bytes() {
    const std::uint64_t count = HDB_TRY(varint());
    if (count > rest_.size()) return too_short(count);
    return bytes(static_cast<std::size_t>(count));
  }

  std::size_t offset() const noexcept { return all_.size() - rest_.size(); }
  ByteView rest() const noexcept { return rest_; }
  bool at_end() const noexcept { return rest_.empty(); }

 private:
  Status too_short(std::uint64_t count) const {
    return Status::corruption("needs " + std::to_string(count) + " bytes at byte " + std::to_string(offset()) +
                              ", has " + std::to_string(rest_.size()));
  }

  ByteView all_;
  ByteView rest_;
};

}  // namespace hdb
