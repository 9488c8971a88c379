#include "compaction/manifest_format.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/checksum.h"
#include "io/file_name.h"

namespace hdb::compaction {

namespace {

// Damage to a manifest, with its remedy.
Status damaged(std::string what) {
  return Status::corruption(std::move(what) + "; restore the store from a backup");
}

constexpr std::size_t kHeaderChecked = offsetof(ManifestHeader, checksum);

constexpr std::array<std::pair<Tag, std::string_view>, 18> kTagNames = {{
    {Tag::kEpoch, "epoch"},
    {Tag::kLogFloor, "log_floor"},
    {Tag::kLogIsOpen, "log_is_open"},
    {Tag::kNextFileNumber, "next_file_number"},
    {Tag::kNextSequence, "next_sequence"},
    {Tag::kPositionEnd, "position_end"},
    {Tag::kLastCommitTime, "last_commit_time"},
    {Tag::kKeyspace, "keyspace"},
    {Tag::kRemovedTable, "removed_table"},
    {Tag::kAddedTable, "added_table"},
    {Tag::kIsCopy, "is_copy"},
    {Tag::kCreationOptions, "creation_options"},
    {Tag::kTreeSize, "tree_size"},
    {Tag::kOpenTileLeaves, "open_tile_leaves"},
    {Tag::kAddedVectors, "added_vectors"},
    {Tag::kRemovedVectors, "removed_vectors"},
    {Tag::kExpiryWatermark, "expiry_watermark"},
    {Tag::kRetentionClass, "retention_class"},
}};

std::uint64_t record_seed(RecordPlace place, std::uint64_t chain) noexcept {
  return seed_of(place.header_checksum, place.offset, chain);
}

std::uint64_t padded(std::uint64_t bytes) noexcept {
  return (bytes + kRecordAlignment - 1) / kRecordAlignment * kRecordAlignment;
}

std::int64_t raw(Timestamp time) noexcept {
  return time.time_since_epoch().count();
}
Timestamp timestamp(std::int64_t raw) noexcept {
  return Timestamp(std::chrono::nanoseconds(raw));
}

void append_field(Buffer& to, Tag tag, ByteView value) {
  append_varint(to, static_cast<std::uint64_t>(tag));
  append_varint(to, value.size());
  append(to, value);
}

void append_number(Buffer& to, Tag tag, std::uint64_t number) {
  Buffer value;
  append_varint(value, number);
  append_field(to, tag, bytes_of(value));
}

Buffer encode_added_table(const AddedTable& added) {
  const sstable::TableMeta& meta = *added.meta;
  Buffer value;
  append_varint(value, added.level);
  append_varint(value, meta.number.raw());
  append_varint(value, static_cast<std::uint64_t>(meta.kind));
  append_varint(value, meta.file_bytes);
  append_varint(value, meta.entry_count);
  if (meta.kind == sstable::TableKind::kEvents) {
    append_varint(value, meta.position_begin);
    append_varint(value, meta.position_end);
    for (const Timestamp time : {meta.time_min, meta.time_max, meta.commit_time_min, meta.commit_time_max}) {
      append_fixed(value, raw(time));
    }
    return value;
  }
  append_varint(value, meta.sequence_min.raw());
  append_varint(value, meta.sequence_max.raw());
  for (const Buffer* key : {&meta.smallest_key, &meta.largest_key}) {
    append_varint(value, key->size());
    append(value, bytes_of(*key));
  }
  return value;
}

Status expect_end(const Cursor& cursor) {
  if (cursor.at_end()) return {};
  return Status::corruption(std::to_string(cursor.rest().size()) + " bytes too many at byte " +
                            std::to_string(cursor.offset()));
}

Result<std::uint64_t> only_number(ByteView value) {
  Cursor cursor(value);
  const std::uint64_t number = HDB_TRY(cursor.varint());
  HDB_TRY(expect_end(cursor));
  return number;
}

Result<bool> only_flag(ByteView value) {
  const std::uint64_t flag = HDB_TRY(only_number(value));
  if (flag > 1) return Status::corruption("it is " + std::to_string(flag) + ", not 0 or 1");
  return flag == 1;
}

Result<std::uint32_t> small_number(Cursor& cursor) {
  const std::uint64_t number = HDB_TRY(cursor.varint());
  if (number <= std::numeric_limits<std::uint32_t>::max()) return static_cast<std::uint32_t>(number);
  return Status::corruption("the number " + std::to_string(number) + " has more than 32 bits");
}

template <typename T>
Status set_once(std::optional<T>& field, T value) {
  if (field) return Status::corruption("it is there twice");
  field = value;
  return {};
}

Result<LogPoint> decode_log_point(ByteView value) {
  Cursor cursor(value);
  LogPoint point;
  point.segment = SegmentNumber(HDB_TRY(cursor.varint()));
  point.offset = HDB_TRY(cursor.varint());
  HDB_TRY(expect_end(cursor));
  return point;
}

Result<Timestamp> decode_time(ByteView value) {
  Cursor cursor(value);
  const auto time = HDB_TRY(cursor.fixed<std::int64_t>());
  HDB_TRY(expect_end(cursor));
  return timestamp(time);
}

Result<AddedKeyspace> decode_keyspace(ByteView value) {
  Cursor cursor(value);
  AddedKeyspace keyspace;
  keyspace.id = HDB_TRY(small_number(cursor));
  keyspace.name = std::string(as_text(cursor.rest()));
  return keyspace;
}

Status decode_field(const Field& field, VersionEdit& edit) {
  const ByteView value = field.value;
  switch (static_cast<Tag>(field.tag)) {
    case Tag::kEpoch:
      return set_once(edit.epoch, Epoch(HDB_TRY(only_number(value))));
    case Tag::kLogFloor:
      return set_once(edit.log_floor, HDB_TRY(decode_log_point(value)));
    case Tag::kLogIsOpen:
      return set_once(edit.is_log_open, HDB_TRY(only_flag(value)));
    case Tag::kIsCopy:
      return set_once(edit.is_copy, HDB_TRY(only_flag(value)));
    case Tag::kNextFileNumber:
      return set_once(edit.next_file_number, FileNumber(HDB_TRY(only_number(value))));
    case Tag::kNextSequence:
      return set_once(edit.next_sequence, SequenceNumber(HDB_TRY(only_number(value))));
    case Tag::kPositionEnd:
      return set_once(edit.position_end, HDB_TRY(only_number(value)));
    case Tag::kLastCommitTime:
      return set_once(edit.last_commit_time, HDB_TRY(decode_time(value)));
    case Tag::kKeyspace:
      edit.keyspaces.push_back(HDB_TRY(decode_keyspace(value)));
      return {};
    case Tag::kRemovedTable:
      edit.removed.push_back(FileNumber(HDB_TRY(only_number(value))));
      return {};
    case Tag::kAddedTable:
      edit.added.push_back(HDB_TRY(decode_added_table(value)));
      return {};
    default:
      return Status::unsupported("it was written by a newer version; upgrade to read it");
  }
}

Status check_order(const RecordHeader& header, bool is_first, std::uint64_t chain, std::uint64_t edit_number) {
  if (header.chain != chain) return Status::corruption("the record does not follow the one before it");
  if (is_first != (header.kind == RecordKind::kSnapshot)) {
    return Status::corruption("a snapshot comes first, and only there");
  }
  const std::uint64_t expected = edit_number + (header.kind == RecordKind::kEdit ? 1 : 0);
  if (is_first || header.edit_number == expected) return {};
  return Status::corruption("the record has edit number " + std::to_string(header.edit_number) + ", expected " +
                            std::to_string(expected));
}

// The offset of a valid record behind `damage` that was written when the bytes there were durable.
std::optional<std::uint64_t> find_proof(ByteView manifest, const ManifestHeader& header, std::uint64_t damage) {
  for (std::uint64_t offset = damage + kRecordAlignment; offset + sizeof(RecordHeader) <= manifest.size();
       offset += kRecordAlignment) {
    const ByteView rest = manifest.subspan(static_cast<std::size_t>(offset));
    const auto claimed = load<RecordHeader>(rest.data());
    if (claimed.durable_end <= damage || claimed.durable_end > offset) continue;
    if (decode_record({header.checksum, offset}, rest).ok()) return offset;
  }
  return std::nullopt;
}

std::string field_name(const Field& field) {
  const std::string_view name = tag_name(field.tag);
  return "field " + (name.empty() ? std::to_string(field.tag) : std::string(name)) + " at byte " +
         std::to_string(field.offset);
}

}  // namespace

Buffer encode_header(const StoreId& store_id, FileNumber file_number) {
  ManifestHeader header;
  header.store_id = store_id;
  header.file_number = file_number.raw();
  Buffer bytes;
  append_fixed(bytes, header);
  store(bytes.data() + kHeaderChecked, checksum64(bytes_of(bytes).first(kHeaderChecked)));
  return bytes;
}

Result<ManifestHeader> decode_header(ByteView bytes, FileNumber number) {
  if (bytes.size() < sizeof(ManifestHeader)) {
    return damaged("it has " + std::to_string(bytes.size()) + " bytes, less than a manifest's header");
  }
  const auto header = load<ManifestHeader>(bytes.data());
  if (header.magic != kManifestMagic) return damaged("it is not a manifest of HDB");
  if (header.checksum != checksum64(bytes.first(kHeaderChecked))) {
    return damaged("its header is damaged (checksum " + hex(header.checksum) + ")");
  }
  if (header.version > kManifestVersion) {
    return Status::unsupported("it has version " + std::to_string(header.version) + ", this build reads up to " +
                               std::to_string(kManifestVersion) + "; upgrade to open it");
  }
  if (header.file_number != number.raw()) {
    return damaged("it was written as " + manifest_name(FileNumber(header.file_number)) +
                   "; a manifest is valid only under its own name");
  }
  return header;
}

Buffer encode_record(RecordPlace place, RecordHeader header, ByteView payload) {
  HDB_CHECK(payload.size() <= kRecordPayloadBytesMax);
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  Buffer bytes;
  bytes.reserve(padded(sizeof header + payload.size()));
  append_fixed(bytes, header);
  append(bytes, payload);
  bytes.resize(padded(bytes.size()));
  store(bytes.data(), checksum64(bytes_of(bytes).subspan(sizeof header.checksum), record_seed(place, header.chain)));
  return bytes;
}

Result<Record> decode_record(RecordPlace place, ByteView bytes) {
  if (bytes.size() < sizeof(RecordHeader)) return Status::corruption("the record's header is cut short");
  Record record{load<RecordHeader>(bytes.data()), {}, 0};
  const RecordHeader& header = record.header;
  record.record_bytes = padded(sizeof header + std::uint64_t{header.payload_bytes});
  if (header.payload_bytes > kRecordPayloadBytesMax || record.record_bytes > bytes.size()) {
    return Status::corruption("the record claims " + std::to_string(header.payload_bytes) + " bytes, more than follow");
  }
  const ByteView checked = bytes.first(static_cast<std::size_t>(record.record_bytes)).subspan(sizeof header.checksum);
  const std::uint64_t checksum = checksum64(checked, record_seed(place, header.chain));
  if (header.checksum != checksum) {
    return Status::corruption("the record's checksum is " + hex(header.checksum) + ", its bytes have " + hex(checksum));
  }
  if (header.kind < RecordKind::kSnapshot || header.kind > RecordKind::kDurable) {
    return Status::unsupported("the record is of kind " + std::to_string(static_cast<unsigned>(header.kind)) +
                               ", written by a newer version; upgrade to open it");
  }
  record.payload = bytes.subspan(sizeof header, header.payload_bytes);
  return record;
}

Result<RecordsEnd> for_each_record(ByteView manifest, const ManifestHeader& header,
                                   const std::function<Status(std::uint64_t offset, const Record&)>& visit) {
  RecordsEnd end{sizeof(ManifestHeader), 0, {}};
  std::uint64_t chain = header.checksum;
  while (end.offset < manifest.size()) {
    const bool is_first = end.offset == sizeof(ManifestHeader);
    const Result<Record> record =
        decode_record({header.checksum, end.offset}, manifest.subspan(static_cast<std::size_t>(end.offset)));
    if (!record.ok() && record.status().code() == StatusCode::kUnsupported) {
      return record.status().in_context("at offset " + std::to_string(end.offset));
    }
    Status status = record.status();
    if (status.ok()) status = check_order(record->header, is_first, chain, end.edit_number);
    if (!status.ok()) {
      end.reason = status.message();
      break;
    }
    const Status visited = visit(end.offset, record.value()).in_context("at offset " + std::to_string(end.offset));
    if (visited.code() == StatusCode::kCorruption) return damaged(std::string(visited.message()));
    HDB_TRY(visited);
    chain = record->header.checksum;
    end.edit_number = record->header.edit_number;
    end.offset += record->record_bytes;
  }
  const std::string where = "at offset " + std::to_string(end.offset) + ": ";
  if (end.offset == sizeof(ManifestHeader)) {
    return damaged(where + "the first record is damaged, or missing" + (end.reason.empty() ? "" : ": " + end.reason));
  }
  if (const auto proof = find_proof(manifest, header, end.offset)) {
    return damaged(where + end.reason + "; the record at offset " + std::to_string(*proof) +
                   " proves that it was durable");
  }
  return end;
}

Buffer encode_edit(const VersionEdit& edit) {
  Buffer to;
  if (edit.epoch) append_number(to, Tag::kEpoch, edit.epoch->raw());
  if (edit.log_floor) {
    Buffer value;
    append_varint(value, edit.log_floor->segment.raw());
    append_varint(value, edit.log_floor->offset);
    append_field(to, Tag::kLogFloor, bytes_of(value));
  }
  if (edit.is_log_open) append_number(to, Tag::kLogIsOpen, *edit.is_log_open ? 1 : 0);
  if (edit.is_copy) append_number(to, Tag::kIsCopy, *edit.is_copy ? 1 : 0);
  if (edit.next_file_number) append_number(to, Tag::kNextFileNumber, edit.next_file_number->raw());
  if (edit.next_sequence) append_number(to, Tag::kNextSequence, edit.next_sequence->raw());
  if (edit.position_end) append_number(to, Tag::kPositionEnd, *edit.position_end);
  if (edit.last_commit_time) {
    Buffer value;
    append_fixed(value, raw(*edit.last_commit_time));
    append_field(to, Tag::kLastCommitTime, bytes_of(value));
  }
  for (const AddedKeyspace& keyspace : edit.keyspaces) {
    Buffer value;
    append_varint(value, keyspace.id);
    append(value, as_bytes(keyspace.name));
    append_field(to, Tag::kKeyspace, bytes_of(value));
  }
  for (const FileNumber number : edit.removed) append_number(to, Tag::kRemovedTable, number.raw());
  for (const AddedTable& added : edit.added) append_field(to, Tag::kAddedTable, bytes_of(encode_added_table(added)));
  return to;
}

Result<std::vector<Field>> decode_fields(ByteView payload) {
  std::vector<Field> fields;
  Cursor cursor(payload);
  while (!cursor.at_end()) {
    const std::uint64_t offset = cursor.offset();
    const std::uint64_t tag = HDB_TRY(cursor.varint());
    const ByteView value = HDB_TRY(cursor.sized_bytes());
    fields.push_back({tag, offset, value});
  }
  return fields;
}

Result<AddedTable> decode_added_table(ByteView value) {
  Cursor cursor(value);
  const std::uint32_t level = HDB_TRY(small_number(cursor));
  sstable::TableMeta meta;
  meta.number = FileNumber(HDB_TRY(cursor.varint()));
  const std::uint64_t kind = HDB_TRY(cursor.varint());
  meta.file_bytes = HDB_TRY(cursor.varint());
  meta.entry_count = HDB_TRY(cursor.varint());
  if (kind == static_cast<std::uint64_t>(sstable::TableKind::kEvents)) {
    meta.kind = sstable::TableKind::kEvents;
    meta.position_begin = HDB_TRY(cursor.varint());
    meta.position_end = HDB_TRY(cursor.varint());
    for (Timestamp* time : {&meta.time_min, &meta.time_max, &meta.commit_time_min, &meta.commit_time_max}) {
      *time = timestamp(HDB_TRY(cursor.fixed<std::int64_t>()));
    }
  } else if (kind == static_cast<std::uint64_t>(sstable::TableKind::kKeys)) {
    meta.kind = sstable::TableKind::kKeys;
    meta.sequence_min = SequenceNumber(HDB_TRY(cursor.varint()));
    meta.sequence_max = SequenceNumber(HDB_TRY(cursor.varint()));
    for (Buffer* key : {&meta.smallest_key, &meta.largest_key}) {
      const ByteView bytes = HDB_TRY(cursor.sized_bytes());
      key->assign(bytes.begin(), bytes.end());
    }
  } else {
    return Status::unsupported("the table is of kind " + std::to_string(kind) +
                               ", written by a newer version; upgrade to read it");
  }
  HDB_TRY(expect_end(cursor));
  return AddedTable{level, std::make_shared<const sstable::TableMeta>(std::move(meta))};
}

Result<VersionEdit> decode_edit(ByteView payload) {
  VersionEdit edit;
  const std::vector<Field> fields = HDB_TRY(decode_fields(payload));
  for (const Field& field : fields) {
    HDB_TRY(decode_field(field, edit).in_context(field_name(field)));
  }
  return edit;
}

std::string_view tag_name(std::uint64_t tag) noexcept {
  const auto at = std::find_if(kTagNames.begin(), kTagNames.end(),
                               [tag](const auto& known) { return static_cast<std::uint64_t>(known.first) == tag; });
  return at == kTagNames.end() ? std::string_view() : at->second;
}

std::string encode_current(FileNumber manifest) {
  const std::string name = manifest_name(manifest);
  return name + " " + hex(checksum64(as_bytes(name))) + "\n";
}

Result<FileNumber> decode_current(ByteView content) {
  constexpr std::size_t kSuffixBytes = 18;  // space, 16 digits, newline
  const std::string_view text = as_text(content);
  const std::string_view name = text.substr(0, text.find(' '));
  const auto number = parse_manifest_name(name);
  if (!number || text.size() != name.size() + kSuffixBytes) {
    return Status::corruption("it does not name a manifest");
  }
  if (text != encode_current(*number)) {
    return Status::corruption("it names " + std::string(name) + ", but is damaged (checksum)");
  }
  return *number;
}

}  // namespace hdb::compaction
