// base/checksum.h: XXH3-64. It detects damage, not tampering.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace hdb {

std::uint64_t checksum64(ByteView bytes, std::uint64_t seed = 0) noexcept;
// Of the two, one after the other. Throws std::bad_alloc.
std::uint64_t checksum64(ByteView bytes, ByteView rest, std::uint64_t seed);

// A hash for filters, columns and maps. Not for files unless their format says so: it is checksum64 with seed 0.
std::uint64_t hash64(ByteView bytes) noexcept;

// Mixes numbers into a seed, so that bytes are valid only in their own place.
std::uint64_t seed_of(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept;

// "9f3a01c2000000ff": how messages show a checksum.
std::string hex(std::uint64_t value);
// Two digits for each byte, in their order.
std::string hex(ByteView bytes);

}  // namespace hdb
