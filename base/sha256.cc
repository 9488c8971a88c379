#include "base/sha256.h"

#include <openssl/evp.h>

#include <new>

namespace hdb {

namespace {

// Fetching it costs more than a short hash.
const EVP_MD* algorithm() {
  static EVP_MD* const fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  HDB_CHECK(fetched != nullptr);
  return fetched;
}

unsigned char* out(Sha256Digest& digest) noexcept {
  return reinterpret_cast<unsigned char*>(digest.data());
}

}  // namespace

Sha256Digest sha256(ByteView message) {
  Sha256Digest digest;
  if (EVP_Digest(message.data(), message.size(), out(digest), nullptr, algorithm(), nullptr) != 1) {
    throw std::bad_alloc();  // its only way to fail
  }
  return digest;
}

void Sha256::Free::operator()(evp_md_ctx_st* context) const noexcept {
  EVP_MD_CTX_free(context);
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) throw std::bad_alloc();
  if (EVP_DigestInit_ex2(context_.get(), algorithm(), nullptr) != 1) throw std::bad_alloc();
}

void Sha256::update(ByteView bytes) noexcept {
  HDB_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
}

Sha256Digest Sha256::finish() noexcept {
  Sha256Digest digest;
  HDB_CHECK(EVP_DigestFinal_ex(context_.get(), out(digest), nullptr) == 1);
  HDB_CHECK(EVP_DigestInit_ex2(context_.get(), nullptr, nullptr) == 1);
  return digest;
}

}  // namespace hdb
