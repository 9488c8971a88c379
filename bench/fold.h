// bench/fold.h: the bytes that an engine returns, folded into one number, so that each is really read, at the same cost
// in every engine, and can be checked later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace hdb::bench {

// Up to 8 bytes.
inline std::uint64_t load_short(ByteView bytes) {
  std::uint64_t word = 0;
  if (!bytes.empty()) std::memcpy(&word, bytes.data(), bytes.size());
  return word;
}

// The next value behind those folded before: swapped values fold to something else.
inline std::uint64_t fold_word(std::uint64_t fold, std::uint64_t word) {
  return fold * 0x9e3779b97f4a7c15 + word;
}

// By its first and last 8 bytes.
inline std::uint64_t fold_ends(std::uint64_t fold, ByteView value) {
  const std::size_t count = value.size() < 8 ? value.size() : 8;
  return fold_word(fold, load_short(value.first(count)) + 3 * load_short(value.last(count)) + value.size());
}

// By every byte.
inline std::uint64_t fold_all(std::uint64_t fold, ByteView value) {
  std::uint64_t sum = value.size();
  std::size_t offset = 0;
  for (; offset + 8 <= value.size(); offset += 8) sum += load<std::uint64_t>(value.data() + offset);
  return fold_word(fold, sum + load_short(value.subspan(offset)));
}

}  // namespace hdb::bench
