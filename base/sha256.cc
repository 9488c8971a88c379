#include "base/sha256.h"

// The functions that OpenSSL 3 calls deprecated: those it recommends take memory for every message, and fail where an
// application's configuration of OpenSSL names no provider with SHA-256.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

namespace hdb {

Sha256Digest sha256(std::initializer_list<ByteView> parts) noexcept {
  SHA256_CTX state;
  SHA256_Init(&state);
  for (const ByteView part : parts) {
    if (!part.empty()) SHA256_Update(&state, part.data(), part.size());
  }
  Sha256Digest digest;
  SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &state);
  return digest;
}

}  // namespace hdb
