// Which kind a file is, and whether a store as a whole holds together.
#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "compaction/manifest.h"
#include "io/file_name.h"
#include "io/unfinished_copy.h"
#include "sstable/format.h"
#include "sstable/verify.h"
#include "tools/dump/dump.h"
#include "wal/format.h"
#include "wal/reader.h"

namespace hdb::dump {
namespace {

constexpr std::size_t kMagicBytes = 8;

std::string bare_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::optional<FileKind> kind_by_name(const std::string& name) {
  if (name == bare_name(current_path("."))) return FileKind::kCurrent;
  if (parse_manifest_name(name)) return FileKind::kManifest;
  if (parse_segment_name(name)) return FileKind::kLog;
  if (parse_table_name(name)) return FileKind::kTable;
  return std::nullopt;
}

Result<std::optional<FileKind>> kind_by_magic(Env& env, const std::string& path) {
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env.open(path));
  const auto magic_at = [&file](std::uint64_t offset) -> Result<std::uint64_t> {
    std::array<std::byte, kMagicBytes> bytes;
    HDB_TRY(file->read(offset, bytes));
    return load<std::uint64_t>(bytes.data());
  };
  const std::optional<FileKind> none;
  if (file->size_bytes() < kMagicBytes) return none;
  const std::uint64_t first = HDB_TRY(magic_at(0));
  if (first == wal::kSegmentMagic) return std::optional(FileKind::kLog);
  if (first == compaction::kManifestMagic) return std::optional(FileKind::kManifest);
  const std::uint64_t last = HDB_TRY(magic_at(file->size_bytes() - kMagicBytes));
  return last == sstable::kTableMagic ? std::optional(FileKind::kTable) : none;
}

// Messages on tables send their reader to hdb-dump verify, which is what he runs.
std::string with_remedy_here(std::string_view message) {
  const std::size_t advice = message.find("; run 'hdb-dump verify");
  if (advice == std::string_view::npos) return std::string(message);
  return std::string(message.substr(0, advice)) + "; restore it from a backup";
}

// One verification of one store. Single-owner.
class Verification {
 public:
  Verification(Env& env, const std::string& store, const Sink& sink) : env_(env), store_(store), sink_(sink) {}

  Result<VerifyResult> run();

 private:
  // Batches of one segment that hold events which are not what their leaf hashes say.
  struct Differing {
    Status first;
    std::uint64_t batches = 0;

    Status status() const {
      if (batches == 1) return first;
      return Status::corruption(std::string(first.message()) + "; so it is with " + std::to_string(batches - 1) +
                                " more batches of the segment");
    }
  };

  Result<std::optional<compaction::Recovered>> check_manifest();
  Status check_tables(const compaction::ManifestState* state);
  Status check_log(const compaction::ManifestState* state);
  // The file within the store that an error's message begins with, or `otherwise`.
  std::string path_of(const Status& error, const std::string& otherwise) const {
    const std::string_view message = error.message();
    if (!message.starts_with(store_ + "/")) return otherwise;
    return std::string(message.substr(0, message.find_first_of(": ", store_.size())));
  }
  void check_hashes(const wal::Group& group);
  void show_segments(const wal::ReplayEnd& end);
  Status check_strangers(const std::optional<compaction::Recovered>& recovered);
  Result<std::vector<std::string>> names_in(const std::string& directory);

  void good(const std::string& path, const std::string& detail) {
    ++result_.files;
    line("ok", path, detail);
  }
  void bad(const std::string& path, const Status& status) {
    ++result_.files;
    ++result_.errors;
    if (status.code() == StatusCode::kUnsupported) ++result_.newer;
    if (status.code() == StatusCode::kIoError) ++result_.unreadable;
    line("error", path, with_remedy_here(status.message()));
  }
  void orphan(const std::string& path, const std::string& detail) {
    ++result_.orphans;
    line("orphan", path, detail);
  }
  // "ok      sstables/000004.sst  1000 events": the path within the store, which `detail` need not repeat.
  void line(const std::string& verdict, const std::string& path, std::string detail) {
    for (const char* separator : {": ", " "}) {
      const std::string prefix = path + separator;
      if (detail.starts_with(prefix)) detail.erase(0, prefix.size());
    }
    std::string text = verdict;
    text.resize(8, ' ');
    sink_(text + path.substr(store_.size() + 1) + "  " + detail);
  }

  Env& env_;
  const std::string& store_;
  const Sink& sink_;
  VerifyResult result_;
  std::uint64_t logged_events_ = 0;
  std::uint64_t hashed_events_ = 0;  // of these, with leaf hashes
  std::map<SegmentNumber, Differing> differing_;
};

Result<VerifyResult> Verification::run() {
  const Status finished = check_finished(env_, store_);
  if (!finished.ok() && finished.code() != StatusCode::kInvalidArgument) return finished;
  if (!finished.ok() && !HDB_TRY(env_.exists(current_path(store_)))) {
    ++result_.unfinished;
    bad(unfinished_path(store_), finished);
    return result_;
  }
  if (!finished.ok()) orphan(unfinished_path(store_), "of a copy that is whole: the next open for writing removes it");
  const std::optional<compaction::Recovered> recovered = HDB_TRY(check_manifest());
  const compaction::ManifestState* state = recovered ? &recovered->state : nullptr;
  HDB_TRY(check_tables(state));
  HDB_TRY(check_log(state));
  HDB_TRY(check_strangers(recovered));
  return result_;
}

Result<std::vector<std::string>> Verification::names_in(const std::string& directory) {
  Result<std::vector<std::string>> names = env_.list(directory);
  if (!names.ok() && names.status().code() == StatusCode::kNotFound) return std::vector<std::string>();
  return names;
}

// CURRENT and the manifest it names. Empty if one is damaged.
Result<std::optional<compaction::Recovered>> Verification::check_manifest() {
  const std::optional<compaction::Recovered> none;
  Result<compaction::Recovered> recovered = compaction::recover(env_, store_);
  const std::string current = current_path(store_);
  if (recovered.ok()) {
    good(current, "names " + manifest_name(recovered->manifest));
    std::string detail = std::to_string(recovered->state.version->table_count()) + " tables, edit " +
                         std::to_string(recovered->edit_number);
    result_.torn_bytes += recovered->torn_bytes;
    if (recovered->torn_bytes > 0) detail += ", " + std::to_string(recovered->torn_bytes) + " bytes of a torn edit";
    good(manifest_path(store_, recovered->manifest), detail);
    return std::optional(std::move(recovered).value());
  }
  const Status status = recovered.status();
  if (status.code() == StatusCode::kNotFound && !HDB_TRY(env_.exists(current))) return status;
  // Which of the two files is to blame: the message begins with its path.
  if (!status.message().starts_with(current)) good(current, "names a manifest");
  bad(path_of(status, current), status);
  return none;
}

// With a manifest, the tables it names; without one, those that are there, by themselves.
Status Verification::check_tables(const compaction::ManifestState* state) {
  const auto check = [this](FileNumber number, const sstable::TableMeta* meta) {
    const std::string path = table_path(store_, number);
    const Status status = sstable::verify_table(env_, path, number, meta);
    if (status.code() == StatusCode::kNotFound) {
      return bad(path, Status::not_found("it is missing; restore it from a backup"));
    }
    if (!status.ok()) return bad(path, status);
    if (meta == nullptr) return good(path, "sound by itself");
    good(path, std::to_string(meta->entry_count) +
                   (meta->kind == sstable::TableKind::kEvents ? " events" : " versions of keys"));
  };
  if (state != nullptr) {
    for (const compaction::TableRef& table : state->version->all_tables()) check(table->number, table.get());
    const Status named = compaction::check_keyspaces(*state, store_);
    if (!named.ok()) bad(path_of(named, table_directory(store_)), named);
    return {};
  }
  for (const std::string& name : HDB_TRY(names_in(table_directory(store_)))) {
    if (const auto number = parse_table_name(name)) check(*number, nullptr);
  }
  return {};
}

Status Verification::check_log(const compaction::ManifestState* state) {
  if (state == nullptr) return {};
  const wal::ReplayStart start{.store_id = state->store_id,
                               .epoch_max = state->epoch,
                               .floor = state->log_floor,
                               .next_sequence = state->next_sequence,
                               .next_position = state->position_end};
  if (!state->is_log_open) {
    const Status closed = wal::check_closed(env_, store_, start);
    if (!closed.ok()) bad(path_of(closed, log_directory(store_)), closed);
    return {};
  }
  const auto check_group = [this, state](const wal::Group& group) -> Status {
    for (const BatchView& batch : group.batches) {
      const Status known = compaction::check_keyspaces(*state, batch);
      if (!known.ok()) return known.in_context(group.place(store_));
    }
    check_hashes(group);
    return {};
  };
  const Result<wal::ReplayEnd> end = wal::replay(env_, store_, start, check_group);
  if (end.ok()) {
    show_segments(end.value());
    return {};
  }
  for (const auto& [segment, differing] : differing_) bad(segment_path(store_, segment), differing.status());
  bad(path_of(end.status(), log_directory(store_)), end.status());
  return {};
}

void Verification::check_hashes(const wal::Group& group) {
  for (std::size_t index = 0; index < group.batches.size(); ++index) {
    const BatchView& batch = group.batches[index];
    logged_events_ += batch.event_count();
    if (!batch.has_leaf_hashes()) continue;
    hashed_events_ += batch.event_count();
    const Status hashes = check_leaf_hashes(batch);
    if (hashes.ok()) continue;
    Differing& differing = differing_[group.begin.segment];
    if (differing.batches++ == 0) {
      differing.first = hashes.in_context(group.place(store_) + ", batch " + std::to_string(index));
    }
  }
}

void Verification::show_segments(const wal::ReplayEnd& end) {
  for (const SegmentNumber number : end.segments) {
    const bool is_last = number == end.end.segment;
    std::string detail = "sound";
    if (is_last) {
      detail = "the log ends at offset " + std::to_string(end.end.offset) + "; " + std::to_string(end.groups) +
               " groups not yet in tables";
    }
    if (is_last && hashed_events_ > 0 && differing_.empty()) {
      detail += "; " + std::to_string(hashed_events_) + " of the log's " + std::to_string(logged_events_) +
                " events have leaf hashes, and are what these say";
    }
    if (is_last && end.torn_bytes > 0) {
      detail +=
          "; a torn tail of " + std::to_string(end.torn_bytes) + " bytes, which the next open cuts: " + end.torn_reason;
    }
    const auto differing = differing_.find(number);
    if (differing == differing_.end()) {
      good(segment_path(store_, number), detail);
    } else {
      bad(segment_path(store_, number), differing->second.status());
    }
  }
  for (const SegmentNumber number : end.torn_segments) good(segment_path(store_, number), "part of the torn tail");
  for (const SegmentNumber number : end.orphans) orphan(segment_path(store_, number), "of an open that was cut short");
  for (const SegmentNumber number : end.below_floor) orphan(segment_path(store_, number), "already in tables");
  result_.torn_bytes += end.torn_bytes;
}

// What lies in the store's directories that nothing names. Orphans of an open log are the replay's to tell.
Status Verification::check_strangers(const std::optional<compaction::Recovered>& recovered) {
  for (const std::string& name : HDB_TRY(names_in(store_))) {
    const std::string path = store_ + "/" + name;
    const auto manifest = parse_manifest_name(name);
    if (is_temporary_name(name)) {
      orphan(path, "was being made when the process died");
    } else if (manifest && recovered && *manifest != recovered->manifest) {
      orphan(path, "a manifest that CURRENT does not name");
    }
  }
  if (!recovered) return {};
  for (const std::string& name : HDB_TRY(names_in(table_directory(store_)))) {
    const auto number = parse_table_name(name);
    if (number && recovered->state.version->find(*number) != nullptr) continue;
    const std::string path = table_directory(store_) + "/" + name;
    if (number && compaction::is_unknown_to(recovered->state, *number)) {
      bad(path, compaction::manifest_lost_edits(path));
    } else {
      orphan(path, "no table of the manifest");
    }
  }
  for (const std::string& name : HDB_TRY(names_in(log_directory(store_)))) {
    const bool is_told = recovered->state.is_log_open && parse_segment_name(name);
    if (!is_told) orphan(log_directory(store_) + "/" + name, "no log is open");
  }
  return {};
}

}  // namespace

Result<FileKind> detect_file_kind(Env& env, const std::string& path) {
  if (const auto kind = kind_by_name(bare_name(path))) return *kind;
  const std::optional<FileKind> kind = HDB_TRY(kind_by_magic(env, path));
  if (kind) return *kind;
  return Status::invalid_argument(path +
                                  ": no file of an HDB store, by its name or its magic; give a log segment, a table, a "
                                  "manifest or CURRENT");
}

Status dump_file(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink) {
  switch (HDB_TRY(detect_file_kind(env, path))) {
    case FileKind::kLog:
      return dump_log(env, path, options, sink);
    case FileKind::kTable:
      return dump_table(env, path, options, sink);
    case FileKind::kManifest:
      return dump_manifest(env, path, options, sink);
    case FileKind::kCurrent:
      return dump_current(env, path, options, sink);
  }
  return Status::invalid_argument(path + ": a kind of file that cannot be dumped");
}

Result<VerifyResult> verify_store(Env& env, const std::string& store, const Sink& sink) {
  return Verification(env, store, sink).run();
}

}  // namespace hdb::dump
