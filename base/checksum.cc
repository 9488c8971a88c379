#include "base/checksum.h"

#include <xxhash.h>

#include <array>
#include <memory>
#include <new>
#include <string_view>

namespace hdb {

std::uint64_t checksum64(ByteView bytes, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

std::uint64_t checksum64(ByteView bytes, ByteView rest, std::uint64_t seed) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  if (state == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset_withSeed(state.get(), seed);
  XXH3_64bits_update(state.get(), bytes.data(), bytes.size());
  XXH3_64bits_update(state.get(), rest.data(), rest.size());
  return XXH3_64bits_digest(state.get());
}

std::uint64_t hash64(ByteView bytes) noexcept {
  return checksum64(bytes, 0);
}

std::uint64_t seed_of(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
  const std::array<std::uint64_t, 3> parts = {a, b, c};
  return checksum64(std::as_bytes(std::span(parts)));
}

std::string hex(std::uint64_t value) {
  std::array<char, 17> text;
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(value));
  return text.data();
}

std::string hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

}  // namespace hdb
