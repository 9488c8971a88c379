// Shows MANIFEST and CURRENT by compaction/manifest_format.h.
#include <algorithm>
#include <string>

#include "compaction/manifest_format.h"
#include "io/file_name.h"
#include "tools/dump/dump.h"

namespace hdb::dump {

namespace {

using compaction::Field;
using compaction::ManifestHeader;
using compaction::Record;
using compaction::Tag;

constexpr std::uint64_t kFileBytesMax = 4ull << 30;

// Describes the parts of one field's value: they are known to decode.
class ValueWalk {
 public:
  ValueWalk(Annotator& annotator, ByteView value) : annotator_(annotator), value_(value), cursor_(value) {}

  Status number(std::string_view name) {
    const std::uint64_t value = HDB_TRY(cursor_.varint());
    annotator_.number(taken(), name, value);
    return {};
  }
  Status time(std::string_view name) {
    const auto value = HDB_TRY(cursor_.fixed<std::int64_t>());
    annotator_.time(taken(), name, Timestamp(std::chrono::nanoseconds(value)));
    return {};
  }
  Status sized_text(std::string_view name) {
    const ByteView value = HDB_TRY(cursor_.sized_bytes());
    annotator_.text(taken(), name, as_text(value));
    return {};
  }
  void rest_as_text(std::string_view name) { annotator_.text(cursor_.rest(), name, as_text(cursor_.rest())); }
  void rest_as_data(std::string_view name) { annotator_.data(cursor_.rest(), name); }

 private:
  // The bytes read since the last call.
  ByteView taken() {
    const ByteView bytes = value_.subspan(begin_, cursor_.offset() - begin_);
    begin_ = cursor_.offset();
    return bytes;
  }

  Annotator& annotator_;
  ByteView value_;
  Cursor cursor_;
  std::size_t begin_ = 0;
};

Status show_added_table(ValueWalk& walk, ByteView value) {
  const compaction::AddedTable added = HDB_TRY(compaction::decode_added_table(value));
  for (const char* name : {"level", "file number", "kind", "file bytes", "entry count"}) HDB_TRY(walk.number(name));
  if (added.meta->kind == sstable::TableKind::kEvents) {
    HDB_TRY(walk.number("position begin"));
    HDB_TRY(walk.number("position end"));
    for (const char* name : {"time min", "time max", "commit time min", "commit time max"}) HDB_TRY(walk.time(name));
    return {};
  }
  HDB_TRY(walk.number("sequence min"));
  HDB_TRY(walk.number("sequence max"));
  HDB_TRY(walk.sized_text("smallest key"));
  return walk.sized_text("largest key");
}

bool is_repeated(Tag tag) {
  return tag == Tag::kKeyspace || tag == Tag::kRemovedTable || tag == Tag::kAddedTable;
}

Status show_value(Annotator& annotator, const Field& field, std::string_view name) {
  ValueWalk walk(annotator, field.value);
  switch (static_cast<Tag>(field.tag)) {
    case Tag::kEpoch:
    case Tag::kLogIsOpen:
    case Tag::kIsCopy:
    case Tag::kNextFileNumber:
    case Tag::kNextSequence:
    case Tag::kPositionEnd:
    case Tag::kRemovedTable:
      return walk.number(name);
    case Tag::kLogFloor:
      HDB_TRY(walk.number("log floor segment"));
      return walk.number("log floor offset");
    case Tag::kLastCommitTime:
      return walk.time(name);
    case Tag::kKeyspace:
      HDB_TRY(walk.number("id"));
      walk.rest_as_text("name");
      return {};
    case Tag::kAddedTable:
      return show_added_table(walk, field.value);
    default:
      walk.rest_as_data(name);
      return {};
  }
}

std::string spaced(std::string_view tag_name) {
  std::string text(tag_name.empty() ? "unknown field" : tag_name);
  for (char& character : text) {
    if (character == '_') character = ' ';
  }
  return text;
}

// A field that may come again is an object of its own, so that names are unique within an object.
Status show_fields(Annotator& annotator, ByteView payload, std::uint64_t payload_offset) {
  const std::vector<Field> fields = HDB_TRY(compaction::decode_fields(payload));
  bool is_in_record = true;
  for (const Field& field : fields) {
    const std::string name = spaced(compaction::tag_name(field.tag));
    const std::uint64_t offset = payload_offset + field.offset;
    const bool is_own_object = is_repeated(static_cast<Tag>(field.tag));
    if (is_own_object) annotator.object(name, offset);
    if (!is_own_object && !is_in_record) annotator.object("fields", offset);
    is_in_record = !is_own_object;
    const auto value_offset = static_cast<std::size_t>(field.value.data() - payload.data());
    annotator.data(
        payload.subspan(static_cast<std::size_t>(field.offset), value_offset - static_cast<std::size_t>(field.offset)),
        is_own_object ? "tag and size" : name + " tag and size");
    HDB_TRY(show_value(annotator, field, name));
  }
  return {};
}

std::string_view kind_name(compaction::RecordKind kind) {
  switch (kind) {
    case compaction::RecordKind::kSnapshot:
      return "snapshot";
    case compaction::RecordKind::kEdit:
      return "edit";
    case compaction::RecordKind::kDurable:
      return "durable";
  }
  return "record";
}

Status show_record(Annotator& annotator, ByteView file, std::uint64_t offset, const Record& record) {
  const ByteView bytes = file.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(record.record_bytes));
  annotator.object(kind_name(record.header.kind), offset);
  annotator.hexadecimal(bytes.first(8), "checksum", record.header.checksum);
  annotator.hexadecimal(bytes.subspan(8, 8), "chain", record.header.chain);
  annotator.number(bytes.subspan(16, 8), "edit number");
  annotator.number(bytes.subspan(24, 8), "durable end");
  annotator.number(bytes.subspan(32, 4), "payload bytes");
  annotator.number(bytes.subspan(36, 1), "kind");
  annotator.data(bytes.subspan(37, 3), "reserved");
  HDB_TRY(show_fields(annotator, record.payload, offset + sizeof(compaction::RecordHeader)));
  annotator.data(bytes.subspan(sizeof(compaction::RecordHeader) + record.payload.size()), "padding");
  return {};
}

void show_header(Annotator& annotator, ByteView bytes, const ManifestHeader& header) {
  annotator.object("manifest header", 0);
  annotator.text(bytes.first(8), "magic", as_text(bytes.first(8)));
  annotator.number(bytes.subspan(8, 4), "version");
  annotator.data(bytes.subspan(12, 4), "reserved");
  annotator.text(bytes.subspan(16, 16), "store id", EventId(header.store_id).to_string());
  annotator.number(bytes.subspan(32, 8), "file number");
  annotator.data(bytes.subspan(40, 16), "reserved to come");
  annotator.hexadecimal(bytes.subspan(56, 8), "checksum", header.checksum);
}

// What lies behind the last valid record: records that are still valid by themselves, and what is between them.
void show_rest(Annotator& annotator, ByteView file, const ManifestHeader& header, std::uint64_t offset,
               std::string_view name, std::string_view reason) {
  while (offset < file.size()) {
    std::uint64_t end = offset;
    const auto found = [&] {
      return compaction::decode_record({header.checksum, end}, file.subspan(static_cast<std::size_t>(end)));
    };
    Result<Record> record = found();
    while (!record.ok() && end < file.size()) {
      end = std::min<std::uint64_t>(file.size(), end + compaction::kRecordAlignment);
      record = found();
    }
    if (end > offset) {
      annotator.object(name, offset);
      annotator.note("reason", reason);
      annotator.data(file.subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(end - offset)), "bytes");
    }
    if (!record.ok()) return;
    ignore(show_record(annotator, file, end, record.value()), "the first damage is reported");
    offset = end + record->record_bytes;
  }
}

std::string file_name_of(const std::string& path) {
  return path.substr(path.find_last_of('/') + 1);
}

}  // namespace

Status dump_manifest(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink) {
  const Buffer content = HDB_TRY(read_file(env, path, kFileBytesMax));
  const ByteView file = bytes_of(content);
  Annotator annotator(options.form, sink);
  // Under a name that is no manifest's (a copy) the header's own number counts.
  auto number = parse_manifest_name(file_name_of(path));
  if (!number && file.size() >= sizeof(ManifestHeader)) {
    number = FileNumber(load<ManifestHeader>(file.data()).file_number);
  }
  const Result<ManifestHeader> header = compaction::decode_header(file, number.value_or(FileNumber()));
  if (!header.ok()) {
    annotator.object("not decoded", 0);
    annotator.data(file, "bytes");
    annotator.finish();
    return header.status().in_context(path);
  }
  show_header(annotator, file, header.value());
  std::uint64_t shown = sizeof(ManifestHeader);
  const auto end = compaction::for_each_record(file, header.value(), [&](std::uint64_t offset, const Record& record) {
    shown = offset + record.record_bytes;
    return show_record(annotator, file, offset, record);
  });
  if (end.ok()) {
    show_rest(annotator, file, header.value(), shown, "torn tail", end->reason);
  } else {
    show_rest(annotator, file, header.value(), shown, "damaged", end.status().message());
  }
  annotator.finish();
  return end.status().in_context(path);
}

Status dump_current(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink) {
  const Buffer content = HDB_TRY(read_file(env, path, kFileBytesMax));
  Annotator annotator(options.form, sink);
  annotator.object("current", 0);
  const Result<FileNumber> manifest = compaction::decode_current(bytes_of(content));
  if (!manifest.ok()) {
    annotator.text(bytes_of(content), "text", as_text(bytes_of(content)));
    annotator.finish();
    return manifest.status().in_context(path);
  }
  const std::string name = manifest_name(manifest.value());
  annotator.text(bytes_of(content).first(name.size()), "manifest", name);
  annotator.text(bytes_of(content).subspan(name.size()), "checksum", as_text(bytes_of(content).subspan(name.size())));
  annotator.finish();
  return {};
}

}  // namespace hdb::dump
