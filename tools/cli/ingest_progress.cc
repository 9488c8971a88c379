#include "tools/cli/ingest_progress.h"

#include <algorithm>
#include <filesystem>

#include "base/bytes.h"
#include "base/checksum.h"

namespace hdb::cli {

namespace {

std::uint64_t hash_of(std::string_view text) noexcept {
  return hash64(as_bytes(text));
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.lexically_normal().string();
}

bool begins_with(const FileHead& head, const FileProgress& known) {
  return head.bytes.size() >= known.head_bytes &&
         hash_of(std::string_view(head.bytes).substr(0, known.head_bytes)) == known.head_hash;
}

// Whether the file at the entry's own path is still the one it describes: then a file elsewhere is a copy.
bool is_still_there(const FileProgress& known) {
  const auto is_file = is_regular_file(known.path);
  if (!is_file.ok() || !is_file.value()) return false;
  const auto head = read_head(known.path);
  return head.ok() && begins_with(head.value(), known);
}

bool is_same_file(const FileStamp& a, const FileStamp& b) noexcept {
  return a.device == b.device && a.inode == b.inode;
}

// The stream at the entry's offset; null if the file does not begin with what was read then.
Result<std::unique_ptr<InputStream>> open_behind_all(const std::string& path, const FileProgress& known) {
  auto stream = HDB_TRY(InputStream::open(path));
  Buffer piece(256u << 10);
  std::uint64_t hash = 0;
  while (stream->offset() < known.offset) {
    const std::uint64_t left = known.offset - stream->offset();
    const auto wanted =
        MutableBytes(piece).first(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), left)));
    const std::size_t count = HDB_TRY(stream->read(wanted));
    if (count == 0) break;
    hash = extended_hash(hash, ByteView(piece).first(count));
  }
  if (stream->offset() != known.offset || hash != known.hash) stream.reset();
  return stream;
}

// The same of a log that was only written on since, by its last line.
Result<std::unique_ptr<InputStream>> open_behind_line(const std::string& path, const FileProgress& known) {
  auto stream = HDB_TRY(InputStream::open(path));
  HDB_TRY(stream->skip_to(known.offset - known.tail_bytes));
  Buffer tail(known.tail_bytes);
  std::size_t filled = 0;
  while (filled < tail.size()) {
    const std::size_t count = HDB_TRY(stream->read(MutableBytes(tail).subspan(filled)));
    if (count == 0) break;
    filled += count;
  }
  if (stream->offset() != known.offset || hash64(tail) != known.tail_hash) stream.reset();
  return stream;
}

}  // namespace

Result<FileHead> read_head(const std::string& path) {
  const auto stream = HDB_TRY(InputStream::open(path));
  FileHead head;
  Buffer piece(FileHead::kBytesMax);
  while (head.bytes.size() < FileHead::kBytesMax) {
    const auto count = stream->read(MutableBytes(piece).first(FileHead::kBytesMax - head.bytes.size()));
    if (!count.ok() && count.status().code() == StatusCode::kInvalidArgument) break;
    if (!count.ok()) return count.status();
    if (count.value() == 0) break;
    head.bytes.append(as_text(ByteView(piece).first(count.value())));
  }
  return head;
}

Result<IngestProgress> IngestProgress::load(Engine& engine, std::string_view settings) {
  const Keyspace keyspace = HDB_TRY(engine.keyspace(kProgressKeyspace));
  IngestProgress progress(keyspace, hash_of(settings));
  const std::string prefix = hex(progress.settings_hash_);
  KeyCursor cursor = HDB_TRY(engine.scan(keyspace, KeyRange{.lower = {}, .upper = {}, .prefix = as_bytes(prefix)}));
  while (const auto entry = HDB_TRY(cursor.next())) {
    progress.known_.push_back(HDB_TRY(FileProgress::decode(as_text(entry->key), entry->value)));
  }
  return progress;
}

// Unique to the file; it stays with the entry when the file grows or moves.
std::string IngestProgress::key_of(const std::string& path, const FileStamp& stamp, const FileHead& head) const {
  const std::uint64_t file = seed_of(hash_of(path), stamp.device, stamp.inode);
  return hex(settings_hash_) + "/" + hex(file) + "/" + hex(hash_of(head.bytes));
}

// Entries that may be of this file, the furthest first. A short head proves little: then the path or the inode must
// agree too.
std::vector<const FileProgress*> IngestProgress::candidates(const std::string& path, const FileStamp& stamp,
                                                            const FileHead& head) const {
  std::vector<const FileProgress*> likely;
  for (const FileProgress& known : known_) {
    if (!begins_with(head, known)) continue;
    const bool is_telling = known.head_bytes == FileHead::kBytesMax;
    if (known.path == path || is_same_file(known.stamp, stamp) || (is_telling && !is_still_there(known)))
      likely.push_back(&known);
  }
  std::sort(likely.begin(), likely.end(),
            [](const FileProgress* a, const FileProgress* b) { return a->offset > b->offset; });
  return likely;
}

Result<IngestProgress::Start> IngestProgress::start(const std::string& path, bool is_anew) const {
  Start start;
  const std::string absolute = absolute_path(path);
  const FileStamp stamp = HDB_TRY(stamp_of(path));
  const FileHead head = HDB_TRY(read_head(path));
  const std::vector<const FileProgress*> likely = candidates(absolute, stamp, head);
  for (const FileProgress* known : is_anew ? std::vector<const FileProgress*>() : likely) {
    start.progress = *known;
    start.progress.path = absolute;
    if (known->is_finished && known->stamp == stamp) return start;
    const bool has_only_grown = is_same_file(known->stamp, stamp) && known->stamp.bytes < stamp.bytes;
    start.stream = HDB_TRY(has_only_grown ? open_behind_line(path, *known) : open_behind_all(path, *known));
    start.goes_on = start.stream != nullptr;
    start.has_moved = start.goes_on && !has_only_grown && known->stamp != stamp;
    if (start.goes_on) break;
  }
  if (start.stream == nullptr) {
    start.progress = FileProgress{};
    start.progress.path = absolute;
    start.progress.key = key_of(absolute, stamp, head);
    start.stream = HDB_TRY(InputStream::open(path));
  }
  // Taken anew, nothing may be left that a later run could take for a place further on.
  for (const FileProgress* known : likely) {
    if (is_anew && known->key != start.progress.key) start.superseded.push_back(known->key);
  }
  start.progress.stamp = stamp;
  start.progress.head_bytes = static_cast<std::uint32_t>(head.bytes.size());
  start.progress.head_hash = hash_of(head.bytes);
  start.progress.is_finished = false;
  return start;
}

KeyValueChange IngestProgress::change(const FileProgress& progress, const std::string& value) const {
  return {.keyspace = keyspace_, .key = as_bytes(progress.key), .value = as_bytes(value)};
}

void IngestProgress::remember(const FileProgress& progress) {
  const auto same = std::find_if(known_.begin(), known_.end(),
                                 [&progress](const FileProgress& known) { return known.key == progress.key; });
  if (same == known_.end()) {
    known_.push_back(progress);
  } else {
    *same = progress;
  }
}

}  // namespace hdb::cli
