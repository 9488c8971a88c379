// base/sha256.h: SHA-256 (FIPS 180-4), by libcrypto.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include "base/bytes.h"

struct evp_md_ctx_st;

namespace hdb {

using Sha256Digest = std::array<std::byte, 32>;

// Throws std::bad_alloc.
Sha256Digest sha256(ByteView message);

// The hash of one message after the other, without memory taken for each. Single-owner.
class Sha256 {
 public:
  Sha256();  // throws std::bad_alloc

  void update(ByteView bytes) noexcept;  // goes on with the message
  Sha256Digest finish() noexcept;        // ends it; the next begins

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace hdb
