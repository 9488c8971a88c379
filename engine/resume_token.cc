#include "engine/resume_token.h"

#include "base/bytes.h"
#include "base/checksum.h"

namespace hdb {

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::string_view kDigits = "0123456789abcdef";

Status malformed_token() {
  return Status::invalid_argument("resume token is not one this store made; copy it whole, or start without one");
}

}  // namespace

std::string ResumeToken::encode() const {
  Buffer bytes;
  append_fixed(bytes, kVersion);
  append_fixed(bytes, store);
  append_fixed(bytes, epoch.raw());
  append_fixed(bytes, query_fingerprint);
  append_fixed(bytes, static_cast<std::uint8_t>(has_event));
  append_fixed(bytes, position);
  append_fixed(bytes, static_cast<std::int64_t>(time.time_since_epoch().count()));
  append_fixed(bytes, static_cast<std::uint32_t>(checksum64(bytes_of(bytes))));
  return hex(bytes_of(bytes));
}

Result<ResumeToken> ResumeToken::decode(std::string_view text) {
  if (text.size() % 2 != 0) return malformed_token();
  Buffer bytes;
  for (std::size_t at = 0; at < text.size(); at += 2) {
    const std::size_t high = kDigits.find(text[at]);
    const std::size_t low = kDigits.find(text[at + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return malformed_token();
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  constexpr std::size_t kChecksumBytes = 4;
  constexpr std::size_t kBodyBytes = 1 + sizeof(StoreId) + 8 + 8 + 1 + 8 + 8;
  if (bytes.size() != kBodyBytes + kChecksumBytes) return malformed_token();
  const ByteView body = bytes_of(bytes).first(kBodyBytes);
  if (load<std::uint32_t>(bytes.data() + kBodyBytes) != static_cast<std::uint32_t>(checksum64(body)))
    return malformed_token();
  Cursor cursor(body);
  if (HDB_TRY(cursor.fixed<std::uint8_t>()) != kVersion) return malformed_token();
  ResumeToken token;
  token.store = HDB_TRY(cursor.fixed<StoreId>());
  token.epoch = Epoch(HDB_TRY(cursor.fixed<std::uint64_t>()));
  token.query_fingerprint = HDB_TRY(cursor.fixed<std::uint64_t>());
  token.has_event = HDB_TRY(cursor.fixed<std::uint8_t>()) != 0;
  token.position = HDB_TRY(cursor.fixed<std::uint64_t>());
  token.time = Timestamp(std::chrono::nanoseconds(HDB_TRY(cursor.fixed<std::int64_t>())));
  return token;
}

}  // namespace hdb
