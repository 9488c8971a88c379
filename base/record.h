// base/record.h: the bytes of a record: one codec for log, memtable, tables and tools. Only this file and record.cc
// know them.
//
// A record does not hold its position: that is its place in the log, and nothing here depends on it.
//
//   offset  size  field         meaning
//        0     4  record_bytes  the whole record, this header included
//        4     1  version       1
//        5     1  kind          RecordKind
//        6     2  flags         RecordFlag bits; others zero
//        8     8  time          i64 ns since the Unix epoch
//       16    16  id            caller-made: as given. Engine-made: UUIDv7 with zero in the 44 position bits
//       32    18  text_ends     9 x u16: where type, entity, host, stream, source, collector, format, content type and
//                               schema end, from byte 60
//       50     2  tag_count     0..64
//       52     4  tags_end      from byte 60; tags: each a u16 length and its bytes
//       56     4  metadata_end  from byte 60; the payload is the rest
//       60        the texts, tags, metadata and payload, in that order, without gaps
//
// Little-endian. The payload begins where the metadata ends and ends with the record.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <hdb/event.h>

#include "base/bytes.h"

namespace hdb {

inline constexpr std::uint8_t kRecordVersion = 1;
inline constexpr std::size_t kRecordHeaderBytes = 60;
inline constexpr std::size_t kTextBytesMax = 4096;  // type, entity, host and the other short texts
inline constexpr std::size_t kTagBytesMax = 512;
inline constexpr std::size_t kTagsMax = 64;
inline constexpr std::size_t kMetadataBytesMax = 1u << 20;
inline constexpr std::size_t kPayloadBytesMax = 16u << 20;
inline constexpr std::size_t kRecordBytesMax =
    kRecordHeaderBytes + 9 * kTextBytesMax + kTagsMax * (2 + kTagBytesMax) + kMetadataBytesMax + kPayloadBytesMax;

enum class RecordKind : std::uint8_t {  // on disk: append, never renumber
  kEvent = 1,
  kLost = 2,  // in tables only: an event was here that could not be read when the store was repaired; all else is empty
};

// Bits of `flags`, on disk.
inline constexpr std::uint16_t kRecordHasCallerId = 1;
inline constexpr std::uint16_t kRecordTimeIsDefault = 2;  // the caller gave no time

// The short texts, in the order of the record.
enum class TextField : std::uint8_t {
  kType,
  kEntity,
  kHost,
  kStream,
  kSource,
  kCollector,
  kFormat,
  kContentType,
  kSchema
};
inline constexpr std::size_t kTextFields = 9;

// What an encoder adds to a caller's event.
struct RecordStamp {
  Timestamp encoded_at;         // the time of an event without one, and in engine-made ids
  std::uint32_t id_random = 0;  // 30 bits, one draw per open
};

// kInvalidArgument names the field that is over its limit or not UTF-8, a malformed metadata object excepted: that is
// the engine's to check.
Status validate_event(const Event& event);

// Bytes that encode_record will write for a valid event.
std::size_t record_bytes(const Event& event) noexcept;
// Writes the record to `to`, of record_bytes(event) bytes.
void encode_record(const Event& event, const RecordStamp& stamp, std::byte* to) noexcept;

// The record that stands for a lost event. `time` is that of a neighbour: nobody knows its own.
std::array<std::byte, kRecordHeaderBytes> encode_lost_record(Timestamp time) noexcept;

// A checked view of an encoded record. Immutable; the bytes must outlive it.
class RecordView {
 public:
  // The record at the start of `bytes`, which may go on after it. kCorruption if its lengths do not fit together,
  // kUnsupported for a newer version, kind or flag.
  static Result<RecordView> decode(ByteView bytes);
  // Of bytes that decode() accepted before.
  static RecordView trusted(ByteView bytes) noexcept { return RecordView(bytes); }

  ByteView bytes() const noexcept { return bytes_; }  // exactly the record
  RecordKind kind() const noexcept { return static_cast<RecordKind>(bytes_[5]); }
  bool has_caller_id() const noexcept { return (flags() & kRecordHasCallerId) != 0; }
  bool time_is_default() const noexcept { return (flags() & kRecordTimeIsDefault) != 0; }
  Timestamp time() const noexcept;
  EventId id(Position position) const noexcept;  // position: the record's own; not read for caller-made ids
  std::string_view text(TextField field) const noexcept;
  std::size_t tag_count() const noexcept { return load<std::uint16_t>(bytes_.data() + 50); }
  std::string_view tag(std::size_t index) const noexcept;
  // Calls visit(std::string_view) for each tag, in order; cheaper than tag(i) in a loop.
  template <typename Visit>
  void for_each_tag(Visit visit) const {
    const std::byte* at = tags_begin();
    for (std::size_t left = tag_count(); left > 0; --left) {
      const std::size_t size = load<std::uint16_t>(at);
      visit(as_text({at + 2, size}));
      at += 2 + size;
    }
  }
  std::string_view metadata() const noexcept;
  ByteView payload() const noexcept;

 private:
  explicit RecordView(ByteView bytes) noexcept : bytes_(bytes) {}
  std::uint16_t flags() const noexcept { return load<std::uint16_t>(bytes_.data() + 6); }
  const std::byte* tags_begin() const noexcept;

  ByteView bytes_;
};

// Whether two records with the same caller-made id are the same event: equal in everything but the times of those
// that were given none.
bool same_content(const RecordView& a, const RecordView& b) noexcept;

// The position inside an engine-made id; empty if `id` is not of that form.
std::optional<Position> position_in(const EventId& id) noexcept;

}  // namespace hdb
