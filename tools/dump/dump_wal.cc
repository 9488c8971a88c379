// A log segment as its file shows it. Whether it is part of the log is verify's question.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/batch.h"
#include "base/checksum.h"
#include "io/file_name.h"
#include "tools/dump/dump.h"
#include "wal/format.h"

namespace hdb::dump {
namespace {

constexpr std::size_t kSectionHeaderBytes = 8;
constexpr std::size_t kScanBytes = 1u << 20;

std::string_view section_name(std::uint16_t kind) {
  switch (static_cast<SectionKind>(kind)) {
    case SectionKind::kEvents:
      return "events";
    case SectionKind::kKeyValues:
      return "key values";
    case SectionKind::kLeafHashes:
      return "leaf hashes";
    case SectionKind::kVectors:
      return "vectors";
  }
  return "unknown";
}

std::string_view group_kind_name(wal::GroupKind kind) {
  switch (kind) {
    case wal::GroupKind::kBatches:
      return "batches";
    case wal::GroupKind::kMark:
      return "mark";
  }
  return "unknown";
}

std::string store_id_text(const StoreId& id) {
  return EventId(id).to_string();
}

// One dump of one segment. Single-owner.
class LogDump {
 public:
  LogDump(const RandomAccessFile& file, const DumpOptions& options, const Sink& sink)
      : file_(file), out_(options.form, sink) {}

  Status run();

 private:
  // A group whose checksum holds, with its bytes.
  struct Found {
    std::uint64_t begin = 0;
    Buffer bytes;
    wal::GroupParts parts;
  };

  Status show_header();
  Result<std::optional<Found>> group_at(std::uint64_t begin);
  Result<std::optional<Found>> group_after(std::uint64_t end);
  Result<std::optional<Found>> search(std::uint64_t from);
  void show_group(const Found& found);
  void show_group_header(ByteView bytes, const wal::GroupHeader& header);
  void show_batch(std::uint64_t begin, ByteView bytes, std::size_t index);
  void show_events(std::uint64_t begin, ByteView bytes, std::uint32_t count);
  void show_leaf_hashes(std::uint64_t begin, ByteView bytes);
  void show_changes(std::uint64_t begin, ByteView bytes, std::uint32_t count);
  void show_rest(std::uint64_t from, std::uint64_t to);
  void note_damage(Status damage) {
    if (first_damage_.ok()) first_damage_ = std::move(damage);
  }
  std::string place(std::uint64_t offset) const { return file_.path() + ": offset " + std::to_string(offset); }

  const RandomAccessFile& file_;
  Annotator out_;
  std::optional<Epoch> epoch_;  // empty: the segment header is damaged
  std::uint64_t log_key_ = 0;
  SegmentNumber segment_;
  std::string why_not_;         // what the last place that held no group had instead
  std::uint64_t used_end_ = 0;  // of the last search: behind the last byte that is not zero
  Status first_damage_;
};

Status LogDump::run() {
  HDB_TRY(show_header());
  std::uint64_t end = wal::kSegmentHeaderBytes;
  while (end < file_.size_bytes()) {
    std::optional<Found> found = HDB_TRY(group_after(end));
    if (!found) {
      const std::string why_not = why_not_;
      found = HDB_TRY(search(end));
      const std::uint64_t rest_end = found ? found->begin : file_.size_bytes();
      show_rest(end, rest_end);
      if (!found) break;
      if (found->parts.header.durable_end > LogPoint{segment_, end}) {
        note_damage(Status::corruption(place(end) + ": " + why_not + "; but the group at offset " +
                                       std::to_string(found->begin) + " says that the log was durable up to there"));
      }
    }
    show_group(*found);
    end = found->begin + found->bytes.size();
  }
  out_.finish();
  return first_damage_;
}

Status LogDump::show_header() {
  Buffer bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file_.size_bytes(), wal::kSegmentHeaderBytes)));
  HDB_TRY(file_.read(0, bytes));
  const Result<wal::SegmentHeader> decoded = wal::decode_segment_header(bytes_of(bytes), file_.path());
  out_.object("segment header", 0);
  if (bytes.size() < wal::kSegmentHeaderBytes) {
    out_.data(bytes_of(bytes), "too short for a header");
    out_.finish();
    return decoded.status();
  }
  const ByteView all = bytes_of(bytes);
  const auto header = load<wal::SegmentHeader>(all.data());
  log_key_ = wal::log_key_of(header.store_id);
  out_.text(all.first(8), "magic", as_text(all.first(8)));
  out_.number(all.subspan(8, 4), "version");
  out_.number(all.subspan(12, 4), "reserved");
  out_.text(all.subspan(16, 16), "store id", store_id_text(header.store_id));
  out_.number(all.subspan(32, 8), "epoch");
  out_.number(all.subspan(40, 8), "segment");
  out_.number(all.subspan(48, 8), "first sequence");
  out_.number(all.subspan(56, 8), "first position");
  out_.number(all.subspan(64, 8), "predecessor end");
  out_.number(all.subspan(72, 8), "durable end segment");
  out_.number(all.subspan(80, 8), "durable end offset");
  out_.data(all.subspan(88, 32), "reserved tail");
  out_.hexadecimal(all.subspan(120, 8), "checksum", header.checksum);
  if (decoded.ok()) {
    epoch_ = header.epoch;
    segment_ = header.segment;
    return {};
  }
  out_.note("damage", decoded.status().message());
  note_damage(decoded.status());
  const std::string& path = file_.path();
  segment_ = parse_segment_name(std::string_view(path).substr(path.rfind('/') + 1)).value_or(header.segment);
  return decoded.status().code() == StatusCode::kUnsupported ? decoded.status() : Status();
}

Result<std::optional<LogDump::Found>> LogDump::group_at(std::uint64_t begin) {
  std::optional<Found> none;
  why_not_ = "the file ends";
  const std::uint64_t room = file_.size_bytes() > begin ? file_.size_bytes() - begin : 0;
  if (room < wal::kGroupHeaderBytes) return none;
  Found found{.begin = begin, .bytes = Buffer(wal::kGroupHeaderBytes), .parts = {}};
  HDB_TRY(file_.read(begin, found.bytes));
  const wal::GroupPlace place{log_key_, {segment_, begin}};
  const auto claimed = wal::stated_group_bytes(bytes_of(found.bytes), room, place);
  why_not_ = claimed.ok() ? "" : claimed.status().message();
  if (!claimed.ok()) return none;
  const auto header = load<wal::GroupHeader>(found.bytes.data());
  found.bytes.resize(claimed.value());
  HDB_TRY(file_.read(begin, found.bytes));
  Result<wal::GroupParts> parts = wal::split_group(bytes_of(found.bytes), epoch_.value_or(header.epoch), place);
  why_not_ = parts.ok() ? "" : parts.status().message();
  if (!parts.ok()) return none;
  found.parts = std::move(parts).value();
  return std::optional(std::move(found));
}

// The group that follows one that ended at `end`: there, or at the next block.
Result<std::optional<LogDump::Found>> LogDump::group_after(std::uint64_t end) {
  std::optional<Found> here = HDB_TRY(group_at(end));
  if (here) return here;
  const std::string why_not = why_not_;
  std::optional<Found> there = HDB_TRY(group_at(wal::round_up(end, wal::kBlockBytes)));
  if (there && there->parts.header.predecessor_end == end) return there;
  why_not_ = why_not;
  return std::optional<Found>();
}

Result<std::optional<LogDump::Found>> LogDump::search(std::uint64_t from) {
  Buffer chunk;
  used_end_ = from;
  for (std::uint64_t at = from; at < file_.size_bytes(); at += chunk.size()) {
    chunk.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kScanBytes, file_.size_bytes() - at)));
    HDB_TRY(file_.read(at, chunk));
    for (std::size_t index = 0; index < chunk.size(); ++index) {
      if (chunk[index] != std::byte{0}) used_end_ = at + index + 1;
      if (index % 8 != 0 || chunk.size() - index < 8) continue;
      if (load<std::uint32_t>(chunk.data() + index) != wal::kGroupMagic) continue;
      std::optional<Found> found = HDB_TRY(group_at(at + index));
      if (found) return found;
    }
  }
  return std::optional<Found>();
}

void LogDump::show_rest(std::uint64_t from, std::uint64_t to) {
  used_end_ = std::min(used_end_, to);
  if (used_end_ > from) {
    out_.object("bytes that are no group", from);
    out_.note("bytes", used_end_ - from);
  }
  if (to > used_end_) {
    out_.object("zeros", used_end_);
    out_.note("bytes", to - used_end_);
  }
}

void LogDump::show_group(const Found& found) {
  const ByteView bytes = bytes_of(found.bytes);
  out_.object("group", found.begin);
  show_group_header(bytes, found.parts.header);
  for (Status status : {wal::check_supported(found.parts), wal::check_batches(found.parts)}) {
    if (status.ok()) continue;
    out_.note("damage", status.message());
    note_damage(status.in_context(place(found.begin)));
  }
  std::uint64_t begin = found.begin + wal::kGroupHeaderBytes;
  if (!found.parts.extras.empty()) {
    out_.object("extras", begin);
    out_.data(found.parts.extras, "sections");
    begin += found.parts.extras.size();
  }
  for (std::size_t index = 0; index < found.parts.batches.size(); ++index) {
    show_batch(begin, found.parts.batches[index], index);
    begin += found.parts.batches[index].size();
  }
}

void LogDump::show_group_header(ByteView bytes, const wal::GroupHeader& header) {
  out_.text(bytes.first(4), "magic", as_text(bytes.first(4)));
  out_.number(bytes.subspan(4, 4), "group bytes");
  out_.hexadecimal(bytes.subspan(8, 8), "checksum", header.checksum);
  out_.number(bytes.subspan(16, 2), "version");
  out_.text(bytes.subspan(18, 1), "kind", group_kind_name(header.kind));
  out_.number(bytes.subspan(19, 1), "flags");
  out_.number(bytes.subspan(20, 4), "batch count");
  out_.number(bytes.subspan(24, 8), "epoch");
  out_.number(bytes.subspan(32, 8), "predecessor end");
  out_.number(bytes.subspan(40, 8), "first sequence");
  out_.number(bytes.subspan(48, 8), "first position");
  out_.time(bytes.subspan(56, 8), "commit time", wal::commit_time_of(header));
  out_.number(bytes.subspan(64, 8), "durable end segment");
  out_.number(bytes.subspan(72, 8), "durable end offset");
  out_.number(bytes.subspan(80, 4), "extras bytes");
  out_.hexadecimal(bytes.subspan(84, 4), "header checksum", header.header_checksum);
}

void LogDump::show_batch(std::uint64_t begin, ByteView bytes, std::size_t index) {
  out_.object("batch", begin);
  out_.hexadecimal(bytes.first(8), "checksum", load<std::uint64_t>(bytes.data()));
  out_.number(bytes.subspan(8, 4), "batch bytes");
  out_.number(bytes.subspan(12, 4), "event count");
  out_.number(bytes.subspan(16, 4), "change count");
  out_.number(bytes.subspan(20, 2), "section count");
  out_.number(bytes.subspan(22, 2), "reserved");
  const Result<BatchView> batch = BatchView::decode(bytes);
  if (!batch.ok()) {
    out_.note("damage", batch.status().message());
    out_.data(bytes.subspan(kBatchHeaderBytes), "sections");
    note_damage(batch.status().in_context(place(begin) + ", batch " + std::to_string(index)));
    return;
  }
  if (const Status hashes = check_leaf_hashes(batch.value()); !hashes.ok()) {
    out_.note("damage", hashes.message());
    note_damage(hashes.in_context(place(begin) + ", batch " + std::to_string(index)));
  }
  ByteView rest = bytes.subspan(kBatchHeaderBytes);
  const auto sections = load<std::uint16_t>(bytes.data() + 20);
  for (std::uint16_t left = sections; left > 0; --left) {
    const std::uint64_t section_begin = begin + bytes.size() - rest.size();
    const auto kind = load<std::uint16_t>(rest.data());
    const auto size = load<std::uint32_t>(rest.data() + 4);
    out_.object("section", section_begin);
    out_.text(rest.first(2), "kind", section_name(kind));
    out_.number(rest.subspan(2, 2), "version");
    out_.number(rest.subspan(4, 4), "bytes");
    const ByteView content = rest.subspan(kSectionHeaderBytes, size);
    const std::uint64_t content_begin = section_begin + kSectionHeaderBytes;
    if (kind == static_cast<std::uint16_t>(SectionKind::kEvents)) {
      show_events(content_begin, content, batch->event_count());
    } else if (kind == static_cast<std::uint16_t>(SectionKind::kLeafHashes)) {
      show_leaf_hashes(content_begin, content);
    } else {
      show_changes(content_begin, content, batch->change_count());
    }
    rest = rest.subspan(kSectionHeaderBytes + size);
  }
  if (rest.empty()) return;
  out_.object("padding", begin + bytes.size() - rest.size());
  out_.data(rest, "zeros");
}

void LogDump::show_events(std::uint64_t begin, ByteView bytes, std::uint32_t count) {
  for (std::uint32_t left = count; left > 0; --left) {
    const RecordView record = RecordView::trusted(bytes.first(load<std::uint32_t>(bytes.data())));
    out_.object("record", begin);
    annotate_record(out_, record);
    begin += record.bytes().size();
    bytes = bytes.subspan(record.bytes().size());
  }
}

void LogDump::show_leaf_hashes(std::uint64_t begin, ByteView bytes) {
  for (; !bytes.empty(); bytes = bytes.subspan(sizeof(LeafHash)), begin += sizeof(LeafHash)) {
    const ByteView hash = bytes.first(sizeof(LeafHash));
    out_.object("leaf hash", begin);
    out_.text(hash, "sha256", hex(hash));
  }
}

void LogDump::show_changes(std::uint64_t begin, ByteView bytes, std::uint32_t count) {
  for (std::uint32_t left = count; left > 0; --left) {
    const BatchView::Change change = BatchView::change_at(bytes.data());
    const std::size_t size = kChangeHeaderBytes + change.key.size() + change.value.size();
    out_.object("change", begin);
    out_.number(bytes.first(4), "value bytes");
    out_.number(bytes.subspan(4, 2), "key bytes");
    out_.text(bytes.subspan(6, 1), "kind", change.kind == EntryKind::kPut ? "put" : "erase");
    out_.number(bytes.subspan(7, 1), "reserved");
    out_.number(change.key.first(kKeyspacePrefixBytes), "keyspace", load_be32(change.key.data()));
    out_.text(change.key.subspan(kKeyspacePrefixBytes), "key", as_text(change.key.subspan(kKeyspacePrefixBytes)));
    if (!change.value.empty()) out_.text(change.value, "value", as_text(change.value));
    begin += size;
    bytes = bytes.subspan(size);
  }
}

}  // namespace

Status dump_log(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink) {
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env.open(path));
  return LogDump(*file, options, sink).run();
}

}  // namespace hdb::dump
