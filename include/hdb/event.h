// hdb/event.h: the words of the data model: bytes, times, ids, events as given and events as stored.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <hdb/status.h>

namespace hdb {

using ByteView = std::span<const std::byte>;

inline ByteView as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}
inline std::string_view as_text(ByteView bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Nanoseconds since the Unix epoch, UTC.
using Timestamp = std::chrono::sys_time<std::chrono::nanoseconds>;

HDB_EXPORT Timestamp now() noexcept;

// [from, to); an absent end is open.
struct TimeRange {
  std::optional<Timestamp> from{};
  std::optional<Timestamp> to{};

  bool contains(Timestamp time) const noexcept { return (!from || time >= *from) && (!to || time < *to); }
  bool is_unbounded() const noexcept { return !from && !to; }
};

// The place of a record in the store: dense from 0, in commit order. Whoever has seen position p can have seen all
// below it.
using Position = std::uint64_t;

// 128 bits, shown as a UUID (RFC 9562).
//
// Engine-made ids are UUIDv7: 48 bits of milliseconds, 44 bits of position, 30 bits random per open of the store.
// Caller-made ids are any other UUID; giving the same one again makes an append idempotent.
class HDB_EXPORT EventId {
 public:
  constexpr EventId() noexcept = default;  // all zero: the nil UUID, no event's id
  constexpr explicit EventId(std::array<std::uint8_t, 16> bytes) noexcept : bytes_(bytes) {}

  // A UUIDv8 made of SHA-256 over the length-prefixed `source` and `text`: the same pair always gives the same id.
  static EventId from_name(std::string_view source, std::string_view text);

  // "01890a5d-ac96-774b-bcce-b302099a8057", in either case. kInvalidArgument for anything else.
  static Result<EventId> parse(std::string_view text);
  std::string to_string() const;

  constexpr const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
  bool is_nil() const noexcept { return bytes_ == std::array<std::uint8_t, 16>{}; }
  friend constexpr auto operator<=>(const EventId&, const EventId&) noexcept = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

// An event as the caller gives it. Views: the caller keeps the bytes alive until append returns. An empty text is an
// absent one. Texts are UTF-8. Limits are checked by append: kInvalidArgument names the field.
struct Event {
  std::optional<EventId> id{};               // absent: the engine makes one
  std::optional<Timestamp> time{};           // when it happened; absent: the time of the append
  std::string_view type{};                   // dns, ProcessStart, ...; at most 4 KiB, as each text below unless said
  std::string_view entity{};                 // what the event is about: connection uid, user, order
  std::string_view host{};                   // where it happened
  std::span<const std::string_view> tags{};  // 0..64 texts "key:value" of 1..512 B
  std::string_view stream{};                 // the event-sourcing stream it belongs to
  std::string_view source{};                 // who produced it
  std::string_view collector{};              // which sensor brought it
  std::string_view format{};                 // OCSF, Zeek, Syslog, ...
  std::string_view content_type{};           // media type of the payload
  std::string_view schema{};
  std::string_view metadata{};  // a JSON object, at most 1 MiB
  ByteView payload{};           // the raw event, returned to the bit; at most 16 MiB
};

// The security event types every collector knows. Any other text is a type too.
namespace event_types {
inline constexpr std::string_view kNetworkConnection = "NetworkConnection";
inline constexpr std::string_view kNetworkTraffic = "NetworkTraffic";
inline constexpr std::string_view kDnsQuery = "DNSQuery";
inline constexpr std::string_view kHttpRequest = "HTTPRequest";
inline constexpr std::string_view kAuthentication = "Authentication";
inline constexpr std::string_view kAuthorization = "Authorization";
inline constexpr std::string_view kPasswordChange = "PasswordChange";
inline constexpr std::string_view kFileCreate = "FileCreate";
inline constexpr std::string_view kFileModify = "FileModify";
inline constexpr std::string_view kFileDelete = "FileDelete";
inline constexpr std::string_view kFileAccess = "FileAccess";
inline constexpr std::string_view kProcessStart = "ProcessStart";
inline constexpr std::string_view kProcessStop = "ProcessStop";
inline constexpr std::string_view kProcessInject = "ProcessInject";
inline constexpr std::string_view kMalwareDetected = "MalwareDetected";
inline constexpr std::string_view kAnomalyDetected = "AnomalyDetected";
inline constexpr std::string_view kPolicyViolation = "PolicyViolation";
}  // namespace event_types

// An event as the store returns it: a view into a block or a memtable, which it keeps alive. Copies are cheap.
// Immutable, and valid for as long as the object lives, also after the cursor that returned it moved on; but
// Engine::close() is refused (kBusy) while cursors live, and views must not outlive the engine.
class HDB_EXPORT StoredEvent {
 public:
  StoredEvent(Position position, Timestamp commit_time, ByteView record, std::shared_ptr<const void> pin) noexcept
      : position_(position), commit_time_(commit_time), record_(record), pin_(std::move(pin)) {}

  Position position() const noexcept { return position_; }
  EventId id() const noexcept;
  bool has_caller_id() const noexcept;
  Timestamp time() const noexcept;
  Timestamp commit_time() const noexcept { return commit_time_; }  // never decreases with position
  std::string_view type() const noexcept;
  std::string_view entity() const noexcept;
  std::string_view host() const noexcept;
  std::size_t tag_count() const noexcept;
  std::string_view tag(std::size_t index) const noexcept;  // index < tag_count()
  std::string_view stream() const noexcept;
  std::string_view source() const noexcept;
  std::string_view collector() const noexcept;
  std::string_view format() const noexcept;
  std::string_view content_type() const noexcept;
  std::string_view schema() const noexcept;
  std::string_view metadata() const noexcept;
  ByteView payload() const noexcept;

 private:
  Position position_;
  Timestamp commit_time_;
  ByteView record_;  // encoded as base/record.h says; checked when it was read
  std::shared_ptr<const void> pin_;
};

}  // namespace hdb
