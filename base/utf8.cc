#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace hdb {

namespace {

// Bytes of the character that `first` begins, 0 if none may begin so.
std::size_t character_bytes(std::uint8_t first) noexcept {
  if (first < 0x80) return 1;
  if (first < 0xc2) return 0;  // a continuation, or an overlong form of ASCII
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 3;
  return first < 0xf5 ? 4 : 0;  // f5 and above are over U+10FFFF
}

// Whether `second` may follow `first`: excludes overlong forms, surrogates and what is over U+10FFFF.
bool may_follow(std::uint8_t first, std::uint8_t second) noexcept {
  const std::uint8_t low = first == 0xe0 ? 0xa0 : (first == 0xf0 ? 0x90 : 0x80);
  const std::uint8_t high = first == 0xed ? 0x9f : (first == 0xf4 ? 0x8f : 0xbf);
  return second >= low && second <= high;
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
  const auto* at = reinterpret_cast<const std::uint8_t*>(text.data());
  const auto* const end = at + text.size();
  while (at != end) {
    // Nearly all text is ASCII: take it a word at a time.
    while (end - at >= 8) {
      std::uint64_t word;
      std::memcpy(&word, at, sizeof word);
      if ((word & 0x8080808080808080) != 0) break;
      at += 8;
    }
    if (at == end) return true;
    const std::size_t size = character_bytes(*at);
    if (size == 0 || size > static_cast<std::size_t>(end - at)) return false;
    if (size > 1 && !may_follow(at[0], at[1])) return false;
    for (std::size_t i = 2; i < size; ++i) {
      if ((at[i] & 0xc0) != 0x80) return false;
    }
    at += size;
  }
  return true;
}

}  // namespace hdb
