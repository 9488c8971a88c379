// base/sha256.h: SHA-256 (FIPS 180-4), by libcrypto.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>

#include "base/bytes.h"

namespace hdb {

using Sha256Digest = std::array<std::byte, 32>;

// Of the parts, one after the other, as one message. Thread-safe; takes no memory.
Sha256Digest sha256(std::initializer_list<ByteView> parts) noexcept;

}  // namespace hdb
