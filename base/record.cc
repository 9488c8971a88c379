#include "base/record.h"

#include <array>

#include "base/utf8.h"

namespace hdb {

namespace {

constexpr std::uint64_t kPositionBits = 44;

// UUIDv7 as six bytes of milliseconds (big-endian), then version and the position's high 12 bits, then variant, its low
// 32 bits and 30 random bits: big-endian u64 halves.
std::array<std::uint8_t, 16> engine_id(Timestamp encoded_at, std::uint32_t id_random) noexcept {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(encoded_at.time_since_epoch()).count();
  const std::uint64_t high = (static_cast<std::uint64_t>(ms) << 16) | 0x7000;
  const std::uint64_t low = (std::uint64_t{2} << 62) | (id_random & 0x3fffffff);
  std::array<std::uint8_t, 16> id;
  const std::uint64_t halves[2] = {__builtin_bswap64(high), __builtin_bswap64(low)};
  std::memcpy(id.data(), halves, sizeof halves);
  return id;
}

std::array<std::string_view, kTextFields> texts_of(const Event& event) noexcept {
  return {event.type,      event.entity, event.host,         event.stream, event.source,
          event.collector, event.format, event.content_type, event.schema};
}

constexpr std::array<std::string_view, kTextFields> kTextNames = {
    "type", "entity", "host", "stream", "source", "collector", "format", "content_type", "schema"};

Status over_limit(std::string_view field, std::size_t bytes, std::size_t limit) {
  return Status::invalid_argument("event " + std::string(field) + " has " + std::to_string(bytes) + " bytes; at most " +
                                  std::to_string(limit) + " are allowed");
}

Status not_utf8(std::string_view field) {
  return Status::invalid_argument("event " + std::string(field) + " is not valid UTF-8; put raw bytes in the payload");
}

Status damaged_record(const std::string& what) {
  return Status::corruption("record " + what);
}

}  // namespace

Status validate_event(const Event& event) {
  const auto texts = texts_of(event);
  for (std::size_t field = 0; field < kTextFields; ++field) {
    if (texts[field].size() > kTextBytesMax) return over_limit(kTextNames[field], texts[field].size(), kTextBytesMax);
    if (!is_utf8(texts[field])) return not_utf8(kTextNames[field]);
  }
  if (event.tags.size() > kTagsMax) {
    return Status::invalid_argument("event has " + std::to_string(event.tags.size()) + " tags; at most " +
                                    std::to_string(kTagsMax) + " are allowed");
  }
  for (const std::string_view tag : event.tags) {
    if (tag.empty()) return Status::invalid_argument("event has an empty tag; leave it out");
    if (tag.size() > kTagBytesMax) return over_limit("tag", tag.size(), kTagBytesMax);
    if (!is_utf8(tag)) return not_utf8("tag");
  }
  if (event.metadata.size() > kMetadataBytesMax)
    return over_limit("metadata", event.metadata.size(), kMetadataBytesMax);
  if (!is_utf8(event.metadata)) return not_utf8("metadata");
  if (event.payload.size() > kPayloadBytesMax) return over_limit("payload", event.payload.size(), kPayloadBytesMax);
  if (event.id && event.id->is_nil()) {
    return Status::invalid_argument("event id is the nil UUID; leave it out to have one made");
  }
  return {};
}

std::size_t record_bytes(const Event& event) noexcept {
  std::size_t bytes = kRecordHeaderBytes + event.metadata.size() + event.payload.size();
  for (const std::string_view text : texts_of(event)) bytes += text.size();
  for (const std::string_view tag : event.tags) bytes += 2 + tag.size();
  return bytes;
}

void encode_record(const Event& event, const RecordStamp& stamp, std::byte* to) noexcept {
  std::byte* const body = to + kRecordHeaderBytes;
  std::byte* at = body;
  const auto put = [&at](std::string_view text) {
    if (!text.empty()) std::memcpy(at, text.data(), text.size());
    at += text.size();
    return at;
  };
  std::byte* end_at = to + 32;
  for (const std::string_view text : texts_of(event)) {
    store(end_at, static_cast<std::uint16_t>(put(text) - body));
    end_at += 2;
  }
  for (const std::string_view tag : event.tags) {
    store(at, static_cast<std::uint16_t>(tag.size()));
    at += 2;
    put(tag);
  }
  store(to + 50, static_cast<std::uint16_t>(event.tags.size()));
  store(to + 52, static_cast<std::uint32_t>(at - body));
  store(to + 56, static_cast<std::uint32_t>(put(event.metadata) - body));
  put(as_text(event.payload));

  std::uint16_t flags = 0;
  if (event.id) flags |= kRecordHasCallerId;
  if (!event.time) flags |= kRecordTimeIsDefault;
  store(to, static_cast<std::uint32_t>(at - to));
  store(to + 4, kRecordVersion);
  store(to + 5, RecordKind::kEvent);
  store(to + 6, flags);
  store(to + 8, static_cast<std::int64_t>(event.time.value_or(stamp.encoded_at).time_since_epoch().count()));
  store(to + 16, event.id ? event.id->bytes() : engine_id(stamp.encoded_at, stamp.id_random));
}

std::array<std::byte, kRecordHeaderBytes> encode_lost_record(Timestamp time) noexcept {
  std::array<std::byte, kRecordHeaderBytes> record;
  encode_record(Event{.time = time}, RecordStamp{}, record.data());
  store(record.data() + 5, RecordKind::kLost);
  return record;
}

Result<RecordView> RecordView::decode(ByteView bytes) {
  if (bytes.size() < kRecordHeaderBytes)
    return damaged_record("has " + std::to_string(bytes.size()) + " of 60 header bytes");
  const auto size = load<std::uint32_t>(bytes.data());
  if (size < kRecordHeaderBytes || size > kRecordBytesMax || size > bytes.size()) {
    return damaged_record("says it has " + std::to_string(size) + " bytes, with " + std::to_string(bytes.size()) +
                          " present");
  }
  const RecordView view(bytes.first(size));
  const bool is_known = view.kind() == RecordKind::kEvent || view.kind() == RecordKind::kLost;
  if (load<std::uint8_t>(bytes.data() + 4) != kRecordVersion || !is_known ||
      (view.flags() & ~(kRecordHasCallerId | kRecordTimeIsDefault)) != 0) {
    return Status::unsupported("record has a version, kind or flag this build does not know; use a newer one");
  }
  const std::size_t body_bytes = size - kRecordHeaderBytes;
  std::size_t end = 0;
  for (std::size_t field = 0; field < kTextFields; ++field) {
    const std::size_t next = load<std::uint16_t>(bytes.data() + 32 + 2 * field);
    if (next < end || next > body_bytes) return damaged_record("text ends are out of order");
    end = next;
  }
  const std::size_t tags_end = load<std::uint32_t>(bytes.data() + 52);
  const std::size_t metadata_end = load<std::uint32_t>(bytes.data() + 56);
  if (tags_end < end || metadata_end < tags_end || metadata_end > body_bytes || view.tag_count() > kTagsMax) {
    return damaged_record("tags or metadata ends are out of order");
  }
  for (std::size_t left = view.tag_count(); left > 0; --left) {
    if (tags_end - end < 2) return damaged_record("tags go past their end");
    const std::size_t tag = load<std::uint16_t>(bytes.data() + kRecordHeaderBytes + end);
    if (tags_end - end - 2 < tag) return damaged_record("tags go past their end");
    end += 2 + tag;
  }
  if (end != tags_end) return damaged_record("tags stop before their end");
  if (view.kind() == RecordKind::kLost && !equal_bytes(view.bytes(), encode_lost_record(view.time()))) {
    return damaged_record("of a lost event has more than its time");
  }
  return view;
}

Timestamp RecordView::time() const noexcept {
  return Timestamp(std::chrono::nanoseconds(load<std::int64_t>(bytes_.data() + 8)));
}

EventId RecordView::id(Position position) const noexcept {
  auto id = load<std::array<std::uint8_t, 16>>(bytes_.data() + 16);
  if (has_caller_id()) return EventId(id);
  std::uint64_t halves[2];
  std::memcpy(halves, id.data(), sizeof halves);
  halves[0] |= __builtin_bswap64((position >> 32) & 0xfff);
  halves[1] |= __builtin_bswap64((position & 0xffffffff) << 30);
  std::memcpy(id.data(), halves, sizeof halves);
  return EventId(id);
}

std::string_view RecordView::text(TextField field) const noexcept {
  const std::byte* ends = bytes_.data() + 32;
  const auto index = static_cast<std::size_t>(field);
  const std::size_t begin = index == 0 ? 0 : load<std::uint16_t>(ends + 2 * (index - 1));
  return as_text({bytes_.data() + kRecordHeaderBytes + begin, load<std::uint16_t>(ends + 2 * index) - begin});
}

const std::byte* RecordView::tags_begin() const noexcept {
  return bytes_.data() + kRecordHeaderBytes + load<std::uint16_t>(bytes_.data() + 32 + 2 * (kTextFields - 1));
}

std::string_view RecordView::tag(std::size_t index) const noexcept {
  const std::byte* at = tags_begin();
  for (; index > 0; --index) at += 2 + load<std::uint16_t>(at);
  return as_text({at + 2, load<std::uint16_t>(at)});
}

std::string_view RecordView::metadata() const noexcept {
  const std::size_t begin = load<std::uint32_t>(bytes_.data() + 52);
  return as_text(bytes_.subspan(kRecordHeaderBytes + begin, load<std::uint32_t>(bytes_.data() + 56) - begin));
}

ByteView RecordView::payload() const noexcept {
  return bytes_.subspan(kRecordHeaderBytes + load<std::uint32_t>(bytes_.data() + 56));
}

bool same_content(const RecordView& a, const RecordView& b) noexcept {
  constexpr std::size_t kTimeAt = 8, kTimeEnd = 16;
  if (a.time_is_default() != b.time_is_default()) return false;
  if (!a.time_is_default() && a.time() != b.time()) return false;
  return equal_bytes(a.bytes().first(kTimeAt), b.bytes().first(kTimeAt)) &&
         equal_bytes(a.bytes().subspan(kTimeEnd), b.bytes().subspan(kTimeEnd));
}

std::optional<Position> position_in(const EventId& id) noexcept {
  std::uint64_t halves[2];
  std::memcpy(halves, id.bytes().data(), sizeof halves);
  const std::uint64_t high = __builtin_bswap64(halves[0]);
  const std::uint64_t low = __builtin_bswap64(halves[1]);
  if ((high & 0xf000) != 0x7000 || (low >> 62) != 2) return std::nullopt;
  static_assert(kPositionBits == 12 + 32);
  return ((high & 0xfff) << 32) | ((low >> 30) & 0xffffffff);
}

}  // namespace hdb
