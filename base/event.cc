// What the public headers event.h and status.h declare and do not define inline.
#include <hdb/event.h>

#include "base/bytes.h"
#include "base/record.h"
#include "base/sha256.h"

namespace hdb {

namespace {

// The value of a hexadecimal digit; -1 for any other character.
int digit_value(char digit) noexcept {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

constexpr bool is_dash_place(std::size_t index) noexcept {
  return index == 8 || index == 13 || index == 18 || index == 23;
}
constexpr std::size_t kUuidCharacters = 36;

RecordView view_of(ByteView record) noexcept {
  return RecordView::trusted(record);
}

}  // namespace

std::string_view status_code_name(StatusCode code) noexcept {
  switch (code) {
    case StatusCode::kOk:
      return "ok";
    case StatusCode::kNotFound:
      return "not found";
    case StatusCode::kInvalidArgument:
      return "invalid argument";
    case StatusCode::kConflict:
      return "conflict";
    case StatusCode::kCorruption:
      return "corruption";
    case StatusCode::kIoError:
      return "io error";
    case StatusCode::kNoSpace:
      return "no space";
    case StatusCode::kBusy:
      return "busy";
    case StatusCode::kUnsupported:
      return "unsupported";
    case StatusCode::kClosed:
      return "closed";
    case StatusCode::kLost:
      return "lost";
    case StatusCode::kOutOfMemory:
      return "out of memory";
  }
  return "unknown status code";
}

// The hashed bytes are, for each of the two: its length as u64 little-endian, then it. Stored ids depend on this.
EventId EventId::from_name(std::string_view source, std::string_view text) {
  Buffer named;
  named.reserve(2 * sizeof(std::uint64_t) + source.size() + text.size());
  for (const std::string_view part : {source, text}) {
    append_fixed(named, static_cast<std::uint64_t>(part.size()));
    append(named, as_bytes(part));
  }
  const auto digest = sha256({bytes_of(named)});
  std::array<std::uint8_t, 16> id;
  std::memcpy(id.data(), digest.data(), id.size());
  id[6] = static_cast<std::uint8_t>((id[6] & 0x0f) | 0x80);  // version 8
  id[8] = static_cast<std::uint8_t>((id[8] & 0x3f) | 0x80);  // variant of RFC 9562
  return EventId(id);
}

Result<EventId> EventId::parse(std::string_view text) {
  const auto malformed = [&] {
    return Status::invalid_argument("\"" + std::string(text.substr(0, 2 * kUuidCharacters)) +
                                    "\" is not an event id; write it as 01890a5d-ac96-774b-bcce-b302099a8057");
  };
  if (text.size() != kUuidCharacters) return malformed();
  std::array<std::uint8_t, 16> id;
  std::size_t at = 0;
  for (std::uint8_t& byte : id) {
    if (is_dash_place(at) && text[at++] != '-') return malformed();
    const int high = digit_value(text[at]);
    const int low = digit_value(text[at + 1]);
    if (high < 0 || low < 0) return malformed();
    byte = static_cast<std::uint8_t>(high * 16 + low);
    at += 2;
  }
  return EventId(id);
}

std::string EventId::to_string() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(kUuidCharacters);
  for (const std::uint8_t byte : bytes_) {
    if (is_dash_place(text.size())) text += '-';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 0xf];
  }
  return text;
}

EventId StoredEvent::id() const noexcept {
  return view_of(record_).id(position_);
}
bool StoredEvent::has_caller_id() const noexcept {
  return view_of(record_).has_caller_id();
}
Timestamp StoredEvent::time() const noexcept {
  return view_of(record_).time();
}
std::string_view StoredEvent::type() const noexcept {
  return view_of(record_).text(TextField::kType);
}
std::string_view StoredEvent::entity() const noexcept {
  return view_of(record_).text(TextField::kEntity);
}
std::string_view StoredEvent::host() const noexcept {
  return view_of(record_).text(TextField::kHost);
}
std::size_t StoredEvent::tag_count() const noexcept {
  return view_of(record_).tag_count();
}
std::string_view StoredEvent::tag(std::size_t index) const noexcept {
  return view_of(record_).tag(index);
}
std::string_view StoredEvent::stream() const noexcept {
  return view_of(record_).text(TextField::kStream);
}
std::string_view StoredEvent::source() const noexcept {
  return view_of(record_).text(TextField::kSource);
}
std::string_view StoredEvent::collector() const noexcept {
  return view_of(record_).text(TextField::kCollector);
}
std::string_view StoredEvent::format() const noexcept {
  return view_of(record_).text(TextField::kFormat);
}
std::string_view StoredEvent::content_type() const noexcept {
  return view_of(record_).text(TextField::kContentType);
}
std::string_view StoredEvent::schema() const noexcept {
  return view_of(record_).text(TextField::kSchema);
}
std::string_view StoredEvent::metadata() const noexcept {
  return view_of(record_).metadata();
}
ByteView StoredEvent::payload() const noexcept {
  return view_of(record_).payload();
}

}  // namespace hdb
