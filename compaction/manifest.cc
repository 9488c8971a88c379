#include "compaction/manifest.h"

#include <algorithm>
#include <new>
#include <span>
#include <utility>

#include "base/seeded_defect.h"
#include "io/file_name.h"

namespace hdb::compaction {

namespace {

constexpr std::uint64_t kCurrentBytesMax = 4096;
constexpr std::uint64_t kManifestBytesMax = 4ull << 30;
constexpr std::uint64_t kRewriteBytesMin = 1u << 20;  // below, a manifest is not worth rewriting
constexpr std::uint64_t kRewriteGrowth = 2;           // and it must have grown to this many times its snapshot
constexpr int kReadAttempts = 10;                     // against an open engine that rewrites its manifest meanwhile

// Without CURRENT: kNotFound if nothing was ever in the store.
Status missing_current(Env& env, const std::string& store) {
  const auto has_any = [&env](const std::string& directory, const auto& parse) -> Result<bool> {
    const Result<std::vector<std::string>> names = env.list(directory);
    if (!names.ok() && names.status().code() == StatusCode::kNotFound) return false;
    if (!names.ok()) return names.status();
    return std::any_of(names->begin(), names->end(), [&parse](const std::string& name) { return bool(parse(name)); });
  };
  const bool has_tables = HDB_TRY(has_any(table_directory(store), parse_table_name));
  const bool has_log = HDB_TRY(has_any(log_directory(store), parse_segment_name));
  if (!has_tables && !has_log) return Status::not_found(store + ": there is no store here");
  return Status::corruption(current_path(store) +
                            " is missing, but the store has tables or a log; restore CURRENT and "
                            "its manifest from a backup");
}

Result<FileNumber> read_current(Env& env, const std::string& store) {
  const Result<Buffer> content = read_file(env, current_path(store), kCurrentBytesMax);
  if (!content.ok() && content.status().code() == StatusCode::kNotFound) return missing_current(env, store);
  if (!content.ok()) return content.status();
  const Result<FileNumber> number = decode_current(bytes_of(content.value()));
  if (number.ok()) return number;
  return Status::corruption(current_path(store) + ": " + std::string(number.status().message()) +
                            "; restore CURRENT and its manifest from a backup");
}

Result<Recovered> decode_manifest(ByteView bytes, FileNumber number) {
  const ManifestHeader header = HDB_TRY(decode_header(bytes, number));
  StateReplay replay;
  const RecordsEnd end = HDB_TRY(for_each_record(bytes, header, [&replay](std::uint64_t, const Record& record) {
    if (record.header.kind == RecordKind::kDurable) return Status();
    Result<VersionEdit> edit = decode_edit(record.payload);
    if (!edit.ok()) return edit.status();
    return replay.apply(edit.value());
  }));
  Recovered recovered;
  recovered.manifest = number;
  recovered.state = HDB_TRY(std::move(replay).finish());
  recovered.state.store_id = header.store_id;
  recovered.edit_number = end.edit_number;
  recovered.torn_bytes = bytes.size() - end.offset;
  return recovered;
}

Result<Recovered> read_manifest(Env& env, const std::string& path, FileNumber number, bool is_from_the_device) {
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env.open(path));
  if (is_from_the_device) file->forget_cached();
  const Buffer content = HDB_TRY(read_file(*file, kManifestBytesMax));
  Result<Recovered> recovered = decode_manifest(bytes_of(content), number);
  if (!recovered.ok()) return recovered.status().in_context(path);
  return recovered;
}

bool names_keyspace_of(const ManifestState& state, ByteView stored_key) noexcept {
  return !state.keyspaces.empty() && load_be32(stored_key.data()) <= state.keyspaces.back().id;
}

Status keyspace_is_lost(ByteView stored_key) {
  return Status::corruption("has a key of keyspace " + std::to_string(load_be32(stored_key.data())) +
                            ", which the manifest does not name: the manifest has lost its last edits; restore the "
                            "store from a backup");
}

}  // namespace

Result<Recovered> recover(Env& env, const std::string& store) {
  FileNumber number = HDB_TRY(read_current(env, store));
  for (int attempt = 1;; ++attempt) {
    const std::string path = manifest_path(store, number);
    Result<Recovered> recovered = read_manifest(env, path, number, /*is_from_the_device=*/false);
    // What looks torn may have been misread, and an open is about to leave it out for good.
    if (recovered.ok() && recovered->torn_bytes > 0 && !HDB_SEEDED(take_a_misread_for_a_torn_tail)) {
      recovered = read_manifest(env, path, number, /*is_from_the_device=*/true);
    }
    if (recovered.ok() || recovered.status().code() != StatusCode::kNotFound) return recovered;
    const FileNumber newer = HDB_TRY(read_current(env, store));
    if (newer == number || attempt == kReadAttempts) {
      return Status::corruption(current_path(store) + " names " + manifest_name(number) +
                                ", which is missing; restore both from a backup");
    }
    number = newer;
  }
}

bool is_unknown_to(const ManifestState& state, FileNumber number) noexcept {
  return !state.is_log_open && !state.is_copy && number >= state.next_file_number;
}

Status manifest_lost_edits(const std::string& path) {
  return Status::corruption(path +
                            ": is newer than anything the manifest knows: the manifest has lost its last edits; "
                            "restore the store from a backup");
}

Status check_keyspaces(const ManifestState& state, const BatchView& batch) {
  if (HDB_SEEDED(believe_in_keyspaces_that_nothing_names)) return {};
  Status status;
  batch.for_each_change([&](const BatchView::Change& change) {
    if (status.ok() && !names_keyspace_of(state, change.key)) status = keyspace_is_lost(change.key);
  });
  return status;
}

Status check_keyspaces(const ManifestState& state, const std::string& store) {
  if (HDB_SEEDED(believe_in_keyspaces_that_nothing_names)) return {};
  for (const TableRef& table : state.version->all_tables()) {
    const ByteView largest = bytes_of(table->largest_key);
    if (!largest.empty() && !names_keyspace_of(state, largest)) {
      return keyspace_is_lost(largest).in_context(table_path(store, table->number));
    }
  }
  return {};
}

Manifest::Manifest(Env& env, std::string store, ManifestState state, std::uint64_t edit_number, FileNumbers numbers)
    : env_(env),
      store_(std::move(store)),
      numbers_(std::move(numbers)),
      state_(std::move(state)),
      edit_number_(edit_number) {}

Manifest::~Manifest() = default;

Result<std::unique_ptr<Manifest>> Manifest::create(Env& env, std::string store, ManifestState state,
                                                   std::uint64_t edit_number, FileNumbers numbers) {
  std::unique_ptr<Manifest> manifest(new Manifest(env, std::move(store), state, edit_number, std::move(numbers)));
  HDB_TRY(manifest->start_file(std::move(state), edit_number));
  return manifest;
}

Status Manifest::append(const VersionEdit& edit) {
  Result<ManifestState> applied = apply(state_, edit);
  if (!applied.ok()) return applied.status().in_context(manifest_path(store_, file_.number) + ": refused");
  ManifestState next = std::move(applied).value();

  if (file_.file == nullptr || !write_edit(edit).ok()) {
    file_.file.reset();
    return start_file(std::move(next), edit_number_ + 1);
  }
  state_ = std::move(next);
  ++edit_number_;
  rewrite_if_large();
  return {};
}

void Manifest::rewrite_if_large() noexcept {
  if (file_.offset <= std::max(kRewriteBytesMin, kRewriteGrowth * file_.snapshot_bytes)) return;
  try {
    ignore(start_file(state_, edit_number_), "the edits are durable where they are; the next append tries again");
  } catch (const std::bad_alloc&) {  // likewise
  }
}

Buffer Manifest::encode_next(File& file, RecordKind kind, std::uint64_t edit_number, ByteView payload) {
  RecordHeader header;
  header.chain = file.chain;
  header.edit_number = edit_number;
  header.durable_end = file.durable_end;
  header.kind = kind;
  Buffer record = encode_record({file.header_checksum, file.offset}, header, payload);
  file.chain = load<RecordHeader>(record.data()).checksum;
  file.offset += record.size();
  return record;
}

Status Manifest::write_edit(const VersionEdit& edit) {
  // Whatever interrupts this, nothing more may be written behind it: file_.file is null until it has ended well.
  File file = std::move(file_);
  const Buffer payload = encode_edit(edit);
  const Buffer record = encode_next(file, RecordKind::kEdit, edit_number_ + 1, bytes_of(payload));
  const ByteView piece = bytes_of(record);
  HDB_TRY(file.file->append({&piece, 1}));
  if (!HDB_SEEDED(forget_the_sync_of_an_edit)) HDB_TRY(file.file->sync());
  write_durable(file, edit_number_ + 1);
  file_ = std::move(file);
  return {};
}

void Manifest::write_durable(File& file, std::uint64_t edit_number) noexcept {
  file.durable_end = file.offset;
  bool is_written = false;
  try {
    const Buffer record = encode_next(file, RecordKind::kDurable, edit_number, {});
    const ByteView piece = bytes_of(record);
    is_written = file.file->append({&piece, 1}).ok();
  } catch (const std::bad_alloc&) {
  }
  // The edit is durable without it; only this file cannot go on behind it.
  if (!is_written) file.file.reset();
}

Status Manifest::start_file(ManifestState state, std::uint64_t edit_number) {
  File fresh;
  fresh.number = numbers_();
  HDB_CHECK(fresh.number >= state.next_file_number);
  state.next_file_number = fresh.number.next();
  const Buffer header = encode_header(state.store_id, fresh.number);
  fresh.header_checksum = load<ManifestHeader>(header.data()).checksum;
  fresh.chain = fresh.header_checksum;
  fresh.offset = header.size();
  const Buffer payload = encode_edit(edit_of(state));
  const Buffer snapshot = encode_next(fresh, RecordKind::kSnapshot, edit_number, bytes_of(payload));
  fresh.durable_end = fresh.offset;
  fresh.snapshot_bytes = fresh.offset;
  // Written before it is true: nobody reads the file until CURRENT names it, which is after the sync.
  const Buffer durable = encode_next(fresh, RecordKind::kDurable, edit_number, {});
  const ByteView pieces[] = {bytes_of(header), bytes_of(snapshot), bytes_of(durable)};
  const std::string path = manifest_path(store_, fresh.number);
  fresh.file = HDB_TRY(env_.create(path));
  Status written = fresh.file->append(pieces);
  if (written.ok() && !HDB_SEEDED(forget_the_sync_of_a_manifest)) written = fresh.file->sync();
  if (written.ok()) written = env_.sync_directory(store_);
  if (!written.ok()) {  // else each retry on a full disk would leave a file
    fresh.file.reset();
    ignore(env_.remove(path), "the next manifest, or the next open, removes it");
    return written;
  }

  // From here on CURRENT may name the fresh file, even if replacing it fails.
  file_.file.reset();
  HDB_TRY(replace_file(env_, current_path(store_), as_bytes(encode_current(fresh.number))));
  replaced_bytes_ += file_.offset;
  file_ = std::move(fresh);
  state_ = std::move(state);
  edit_number_ = edit_number;
  remove_other_manifests();
  return {};
}

// What stays is removed after the next manifest, or by the next open.
void Manifest::remove_other_manifests() noexcept {
  try {
    const Result<std::vector<std::string>> names = env_.list(store_);
    if (!names.ok()) return;
    for (const std::string& name : names.value()) {
      const auto number = parse_manifest_name(name);
      if (!number || *number == file_.number) continue;
      ignore(env_.remove(store_ + "/" + name), "as above");
    }
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace hdb::compaction
