// Opening a store: the directory, the manifest, the log behind it, and a fresh log segment for this open.
#include <algorithm>
#include <random>

#include "base/checksum.h"
#include "base/seeded_defect.h"
#include "engine/log_read_ahead.h"
#include "engine/store.h"
#include "engine/table_settings.h"
#include "io/file_name.h"
#include "io/unfinished_copy.h"
#include "wal/format.h"

namespace hdb {

namespace {

StoreId make_store_id(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::uint64_t halves[2] = {random(), random()};
  StoreId id;
  std::memcpy(id.data(), halves, sizeof halves);
  id[6] = static_cast<std::uint8_t>((id[6] & 0x0f) | 0x40);  // UUIDv4
  id[8] = static_cast<std::uint8_t>((id[8] & 0x3f) | 0x80);
  return id;
}

bool is_left_by_creation(const std::string& name) {
  return name == "LOCK" || name == "CURRENT" || name == "wal" || name == "sstables" || parse_manifest_name(name) ||
         is_temporary_name(name);
}

Result<std::vector<std::string>> list_if_present(Env& env, const std::string& directory) {
  auto names = env.list(directory);
  if (!names.ok() && names.status().code() == StatusCode::kNotFound) return std::vector<std::string>();
  return names;
}

// A view keeps a region of the log as it was read: smaller batches would hold far more memory than they count for.
constexpr std::size_t kViewedBytesMin = 256u << 10;

}  // namespace

Result<std::shared_ptr<Store>> Store::open(const std::string& directory, const Options& options, OpenMode mode,
                                           Hooks hooks, Platform platform) {
  return open_as(/*is_read_only=*/false, directory, options, mode, std::move(hooks), std::move(platform));
}

Result<std::shared_ptr<Store>> Store::open_read_only(const std::string& directory, const Options& options, Hooks hooks,
                                                     Platform platform) {
  return open_as(/*is_read_only=*/true, directory, options, OpenMode::kOpen, std::move(hooks), std::move(platform));
}

Result<std::shared_ptr<Store>> Store::open_as(bool is_read_only, const std::string& directory, const Options& options,
                                              OpenMode mode, Hooks hooks, Platform platform) {
  HDB_TRY(validate(options));
  const std::shared_ptr<Store> store(
      new Store(directory, options, std::move(hooks), std::move(platform), is_read_only));
  HDB_TRY(store->take_directory(mode));
  HDB_TRY(store->recover());
  return store;
}

Status Store::take_directory(OpenMode mode) {
  if (directory_.empty()) return Status::invalid_argument("the store's directory has an empty name; give it one");
  if (mode > OpenMode::kCreate) {
    return Status::invalid_argument("open mode " + std::to_string(static_cast<unsigned>(mode)) +
                                    " is none of enum OpenMode");
  }
  HDB_TRY(list_if_present(env_, directory_));  // a file of that name, or no permission
  const bool is_store = HDB_TRY(env_.exists(current_path(directory_)));
  if (is_store && mode == OpenMode::kCreate) {
    return already_a_store();
  }
  if (!is_store) {
    if (mode == OpenMode::kOpen) {
      HDB_TRY(check_finished(env_, directory_));
      HDB_TRY(check_holds_no_data());
      return Status::not_found(directory_ +
                               ": is not an HDB store (it has no file CURRENT); create one with 'hdb init'");
    }
    HDB_TRY(check_creatable());
    HDB_TRY(env_.create_directory(directory_));
  }
  if (is_read_only_) return env_.take_lock_read_only(lock_path(directory_));
  HDB_TRY(env_.take_lock(lock_path(directory_)));
  if (is_store) return {};
  // Another process may have created the store before the lock was ours.
  if (!HDB_TRY(env_.exists(current_path(directory_)))) return create_files();
  return mode == OpenMode::kCreate ? already_a_store() : Status();
}

Status Store::already_a_store() const {
  return Status::invalid_argument(directory_ + ": is a store already; open it, or choose another directory");
}

Status Store::check_creatable() {
  HDB_TRY(check_finished(env_, directory_));
  HDB_TRY(check_holds_no_data());
  for (const std::string& name : HDB_TRY(list_if_present(env_, directory_))) {
    if (is_left_by_creation(name)) continue;
    return Status::invalid_argument(directory_ + ": holds other files (" + name +
                                    ") and is no store; choose an empty or a new directory");
  }
  return {};
}

// Without CURRENT nothing says what the data is: neither to be opened, nor to be built upon.
Status Store::check_holds_no_data() {
  for (const std::string& held : {log_directory(directory_), table_directory(directory_)}) {
    if (HDB_TRY(list_if_present(env_, held)).empty()) continue;
    return Status::corruption(directory_ + ": has data in " + held +
                              " but no file CURRENT; restore CURRENT (it names the newest MANIFEST file), or move the "
                              "directory away");
  }
  return {};
}

Status Store::create_files() {
  HDB_TRY(env_.create_directory(log_directory(directory_)));
  HDB_TRY(env_.create_directory(table_directory(directory_)));
  HDB_TRY(env_.sync_directory(directory_));
  compaction::ManifestState empty;
  empty.store_id = make_store_id(seed_);
  return compaction::Manifest::create(env_, directory_, std::move(empty), 0, [this] { return next_file_number(); })
      .status();
}

Status Store::recover() {
  const compaction::Recovered on_disk = HDB_TRY(compaction::recover(env_, directory_));
  compaction::Recovered recovered = on_disk;  // and what this open makes of it
  compaction::ManifestState& state = recovered.state;
  if (recovered.torn_bytes > 0) {
    notify(Notice::kTornTail, "left out " + std::to_string(recovered.torn_bytes) +
                                  " bytes of a torn edit at the end of " +
                                  manifest_path(directory_, recovered.manifest));
  }
  if (state.is_copy && !is_read_only_) {  // from here on it goes its own way
    state.store_id = make_store_id(seed_);
    state.is_copy = false;
  }
  if (state.version->position_begin() != 0 || state.version->position_end() != state.position_end) {
    return Status::corruption(manifest_path(directory_, recovered.manifest) + ": its event tables hold positions " +
                              std::to_string(state.version->position_begin()) + " to " +
                              std::to_string(state.version->position_end()) + " of 0 to " +
                              std::to_string(state.position_end) + "; run 'hdb-dump verify " + directory_ + "'");
  }
  HDB_TRY(check_folders());
  id_ = state.store_id;
  epoch_ = is_read_only_ || HDB_SEEDED(use_an_epoch_twice) ? state.epoch : state.epoch.next();
  id_random_ = static_cast<std::uint32_t>(seed_of(seed_, epoch_.raw(), 0)) & 0x3fffffff;
  HDB_TRY(check_tables(*state.version));
  HDB_TRY(compaction::check_keyspaces(state, directory_));
  const std::vector<std::string> orphans = HDB_TRY(find_orphans(on_disk));
  auto first_view = std::make_shared<ReadView>();
  {
    MutexLock log_lock(log_mutex_);
    MutexLock lock(state_mutex_);
    next_sequence_ = state.next_sequence;
    next_position_ = state.position_end;
    last_commit_time_ = state.last_commit_time;
    active_ = std::make_shared<MemTable>(next_sequence_, next_position_);
    version_ = state.version;
    for (const auto& named : state.keyspaces) keyspaces_.emplace_back(named.name, Keyspace(named.id));
    keyspace_count_.store(static_cast<std::uint32_t>(keyspaces_.size()), std::memory_order_release);
    std::sort(keyspaces_.begin(), keyspaces_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    first_view->active = active_;
    first_view->version = version_;
    visibility_ = std::make_shared<Visibility>(std::move(first_view), Published{next_sequence_, next_position_});
    update_room();
  }
  if (is_read_only_) {
    HDB_TRY(read_log(recovered));
    is_closed_.store(false, std::memory_order_release);
    return {};
  }
  // Durably before anything is acknowledged: in a marked directory the copy may be made again, over what is there.
  if (!HDB_SEEDED(remove_the_mark_of_a_copy_too_late)) HDB_TRY(remove_mark(env_, directory_));
  HDB_TRY(start_log(recovered));
  // Last: until the log was read nobody knows that the manifest is not the one that lost its end.
  for (const std::string& path : orphans) {
    const Status removed = env_.remove(path);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) return removed;
  }
  ignore(reserve_.take(), "appends ask for it again");
  is_closed_.store(false, std::memory_order_release);
  MutexLock lock(state_mutex_);
  schedule_compactions();
  return {};
}

// A folder may be a link to another disk, which may not be there: a new one in its place would hide what is lost.
Status Store::check_folders() {
  for (const std::string& folder : {log_directory(directory_), table_directory(directory_)}) {
    const Status listed = env_.list(folder).status();
    if (listed.code() == StatusCode::kNotFound) {
      return Status::corruption(folder +
                                ": is missing, and is a part of the store; bring it back (is a disk not mounted?), or "
                                "restore the store from a backup");
    }
    HDB_TRY(listed);
  }
  return {};
}

// What the manifest names is there: else it is not the manifest of these files, and nothing may be deleted for it.
Status Store::check_tables(const compaction::Version& version) {
  for (const auto& table : version.all_tables()) {
    if (HDB_SEEDED(open_without_looking_for_the_tables)) break;
    const std::string path = table_path(directory_, table->number);
    const auto bytes = env_.file_bytes(path);
    if (bytes.ok() && bytes.value() == table->file_bytes) continue;
    if (!bytes.ok() && bytes.status().code() != StatusCode::kNotFound) return bytes.status();
    const std::string found = bytes.ok() ? "has " + std::to_string(bytes.value()) + " bytes" : "is missing";
    return Status::corruption(path + ": " + found + ", the manifest says " + std::to_string(table->file_bytes) +
                              "; restore it from a backup, or see what is left with 'hdb-dump verify " + directory_ +
                              "'");
  }
  return {};
}

// Files that no manifest names: left by a process that died, or of tables that were being read when it did. New files
// are numbered above all of them.
Result<std::vector<std::string>> Store::find_orphans(const compaction::Recovered& recovered) {
  std::vector<std::string> orphans;
  if (HDB_SEEDED(remove_the_mark_of_a_copy_too_late)) orphans.push_back(unfinished_path(directory_));
  std::uint64_t next = std::max(recovered.state.next_file_number.raw(), recovered.manifest.raw() + 1);
  const std::string tables = table_directory(directory_);
  for (const std::string& name : HDB_TRY(env_.list(tables))) {
    const auto number = parse_table_name(name);
    if (number && recovered.state.version->find(*number) != nullptr) continue;
    if (!number && !is_temporary_name(name)) continue;  // somebody else's
    if (number && compaction::is_unknown_to(recovered.state, *number)) {
      return compaction::manifest_lost_edits(tables + "/" + name);
    }
    if (number) next = std::max(next, number->raw() + 1);
    orphans.push_back(tables + "/" + name);
  }
  for (const std::string& name : HDB_TRY(env_.list(directory_))) {
    if (const auto number = parse_manifest_name(name)) next = std::max(next, number->raw() + 1);
    if (is_temporary_name(name)) orphans.push_back(directory_ + "/" + name);
  }
  file_number_.store(next, std::memory_order_relaxed);
  return orphans;
}

// A memtable that fills is flushed before the next begins, so that memory stays bounded.
Status Store::flush_replayed(const std::shared_ptr<const SealedMemTable>& full) {
  // The floor that the flush records must be durable, and a process that died may have left it to the page cache.
  HDB_TRY(env_.sync_file(segment_path(directory_, full->log_end.segment)));
  HDB_TRY(env_.sync_directory(log_directory(directory_)));
  return write_flush(full);
}

// Applies a group of the log to the memtable; the memtable, sealed, if the group filled it.
std::shared_ptr<const SealedMemTable> Store::apply_group(const wal::Group& group) {
  MutexLock log_lock(log_mutex_);
  std::shared_ptr<MemTable> memtable;
  {
    MutexLock lock(state_mutex_);
    memtable = active_;
  }
  std::uint64_t events = 0;
  std::uint64_t sequences = 0;
  for (const BatchView& batch : group.batches) {
    if (HDB_SEEDED(replay_half_a_group) && events > 0) break;
    const bool is_large = batch.bytes().size() >= kViewedBytesMin;
    memtable->add_in_turn(
        is_large ? EncodedBatch::view_of(batch.bytes(), group.bytes) : EncodedBatch::copy_of(batch.bytes()),
        SequenceNumber(group.first_sequence.raw() + sequences), group.first_position + events, group.commit_time);
    events += batch.event_count();
    sequences += batch.sequence_count();
  }
  next_sequence_ = SequenceNumber(group.first_sequence.raw() + sequences);
  next_position_ = group.first_position + events;
  last_commit_time_ = group.commit_time;
  visibility_->open_slot({next_sequence_, next_position_}, 1);
  visibility_->batch_applied(next_sequence_);
  active_claimed_bytes_.store(memtable->bytes(), std::memory_order_relaxed);
  if (memtable->bytes() < options_.memtable_bytes) return nullptr;

  const auto full = std::make_shared<const SealedMemTable>(SealedMemTable{.table = memtable,
                                                                          .next_sequence = next_sequence_,
                                                                          .position_end = next_position_,
                                                                          .log_end = group.end,
                                                                          .last_commit_time = last_commit_time_});
  {
    MutexLock lock(state_mutex_);
    sealed_.push_back(full);
    active_ = std::make_shared<MemTable>(next_sequence_, next_position_);
    active_claimed_bytes_.store(0, std::memory_order_relaxed);
    publish_view();
  }
  return full;
}

// The fresh manifest of this open replaces the one it was made from, so it comes when the log, from its floor and with
// its epochs, has been found to be the one that this manifest speaks of: a misread one must not replace the true one.
Status Store::begin_manifest(const compaction::Recovered& recovered) {
  MutexLock manifest_lock(manifest_mutex_);
  if (manifest_ != nullptr) return {};
  manifest_ = HDB_TRY(compaction::Manifest::create(env_, directory_, recovered.state, recovered.edit_number,
                                                   [this] { return next_file_number(); }));
  return {};
}

// Applies the log from its floor on to memtables. Those that fill are flushed; a store that is read only keeps them.
// Empty if the log was closed.
Result<std::optional<wal::ReplayEnd>> Store::replay_log(const compaction::Recovered& recovered) {
  const compaction::ManifestState& state = recovered.state;
  const wal::ReplayStart from{.store_id = id_,
                              .epoch_max = state.epoch,
                              .floor = state.log_floor,
                              .next_sequence = state.next_sequence,
                              .next_position = state.position_end,
                              .will_be_synced = true};
  if (!state.is_log_open) {
    HDB_TRY(wal::check_closed(env_, directory_, from));
    return std::optional<wal::ReplayEnd>();
  }
  const auto apply = [this, &recovered](const wal::Group& group) -> Status {
    for (const BatchView& batch : group.batches) {
      const Status known = compaction::check_keyspaces(recovered.state, batch);
      if (!known.ok()) return known.in_context(group.place(directory_));
    }
    const std::shared_ptr<const SealedMemTable> full = apply_group(group);
    if (full == nullptr || is_read_only_) return {};
    HDB_TRY(begin_manifest(recovered));
    return flush_replayed(full);
  };
  wal::GroupReader reader(env_, directory_, from, batch_memory_);
  {
    std::optional<LogReadAhead> ahead;
    if (!is_read_only_) ahead.emplace(*background_, reader);  // else there are no threads
    while (const std::optional<wal::Group> group = HDB_TRY(ahead ? ahead->next() : reader.next())) {
      HDB_TRY(apply(*group));
    }
  }
  wal::ReplayEnd end = reader.end();
  counters_.recovered_groups.store(end.groups, std::memory_order_relaxed);
  MutexLock log_lock(log_mutex_);
  last_commit_time_ = std::max(last_commit_time_, end.last_commit_time);
  return std::optional<wal::ReplayEnd>(std::move(end));
}

void Store::tell_torn_tail(const wal::ReplayEnd& end, std::string_view what_was_done) {
  if (end.torn_bytes == 0) return;
  notify(Notice::kTornTail, std::string(what_was_done) + " " + std::to_string(end.torn_bytes) +
                                " bytes of a torn log tail: " + end.torn_reason);
}

// What a read-only open shows is durable, as in any other: the log, and the manifest by which it was read.
Status Store::read_log(const compaction::Recovered& recovered) {
  const std::optional<wal::ReplayEnd> end = HDB_TRY(replay_log(recovered));
  if (!HDB_SEEDED(believe_a_manifest_that_is_not_durable)) {
    HDB_TRY(env_.sync_file(manifest_path(directory_, recovered.manifest)));
    HDB_TRY(env_.sync_directory(directory_));
  }
  std::uint64_t log_bytes = 0;
  if (end) {
    if (!HDB_SEEDED(read_what_is_not_durable)) HDB_TRY(wal::sync_replayed(env_, directory_, *end));
    for (const SegmentNumber number : end->segments) {
      log_bytes += HDB_TRY(env_.file_bytes(segment_path(directory_, number)));
    }
    counters_.torn_tail_bytes_cut.store(end->torn_bytes, std::memory_order_relaxed);
    tell_torn_tail(*end, "left out");
  }
  Status refusal = Status::error(StatusCode::kClosed, directory_ + ": was opened to be read only; open it to write");
  MutexLock log_lock(log_mutex_);
  active_log_bytes_ = log_bytes;
  durable_position_end_.store(next_position_, std::memory_order_release);
  MutexLock lock(state_mutex_);
  write_error_ = std::move(refusal);
  update_room();
  return {};
}

Status Store::start_log(const compaction::Recovered& recovered) {
  if (HDB_SEEDED(replace_the_manifest_before_the_log_is_read)) HDB_TRY(begin_manifest(recovered));
  wal::WriterStart start;
  start.store_id = id_;
  start.epoch = epoch_;
  start.segment = SegmentNumber(1);
  start.segment_bytes = options_.log_segment_bytes;
  start.writes = options_.log_writes;
  LogPoint floor = recovered.state.log_floor;
  const std::optional<wal::ReplayEnd> end = HDB_TRY(replay_log(recovered));
  HDB_TRY(begin_manifest(recovered));
  if (end) {
    HDB_TRY(wal::cut_tail(env_, directory_, *end));
    counters_.torn_tail_bytes_cut.store(end->torn_bytes, std::memory_order_relaxed);
    tell_torn_tail(*end, "cut");
    start.segment = end->end.segment.next();
    start.recovered_end = end->end;
  } else {
    HDB_TRY(remove_log_files());
    if (floor.segment.raw() > 0) start.segment = floor.segment;
  }

  MutexLock manifest_lock(manifest_mutex_);
  MutexLock log_lock(log_mutex_);
  start.next_sequence = next_sequence_;
  start.next_position = next_position_;
  log_ = HDB_TRY(wal::Writer::create(env_, directory_, start));
  durable_position_end_.store(next_position_, std::memory_order_release);
  active_log_bytes_ = log_->live_bytes();
  tell_log_fallback();
  bool is_replayed = false;
  {
    MutexLock lock(state_mutex_);
    is_replayed = !active_->is_empty();
  }
  // What was replayed and not flushed keeps its log.
  compaction::VersionEdit edit;
  edit.epoch = epoch_;
  edit.is_log_open = true;
  edit.next_file_number = FileNumber(file_number_.load(std::memory_order_relaxed));
  edit.last_commit_time = last_commit_time_;
  if (!is_replayed || HDB_SEEDED(drop_the_log_after_recovery)) {
    floor = {start.segment, wal::kSegmentHeaderBytes};
    edit.log_floor = floor;
  }
  HDB_TRY(manifest_->append(edit));
  return is_replayed ? Status() : log_->remove_below(floor);
}

}  // namespace hdb
