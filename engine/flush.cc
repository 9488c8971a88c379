// From a sealed memtable to tables: one flush at a time, oldest first, so that tables and the log's floor advance in
// commit order.
#include "base/seeded_defect.h"
#include "compaction/retain.h"
#include "engine/ready_errors.h"
#include "engine/store.h"
#include "engine/table_settings.h"
#include "io/file_name.h"
#include "sstable/event_table_builder.h"
#include "sstable/key_table_builder.h"

namespace hdb {

namespace {

constexpr std::chrono::milliseconds kFlushRetryDelay{1000};

Result<sstable::TableMeta> write_event_table(Env& env, const std::string& path, FileNumber number,
                                             const sstable::TableSettings& settings, const MemTable& memtable,
                                             Position end) {
  auto file = HDB_TRY(env.create(path, settings.writes));
  sstable::EventTableBuilder builder(std::move(file), number, settings);
  for (Position position = memtable.position_begin(); position < end; ++position) {
    const StoredRecord stored = memtable.event(position);
    HDB_TRY(builder.add(position, stored.commit_time, stored.record));
  }
  return builder.finish();
}

// Leaves out the versions nobody can see any more; tombstones stay, for what may lie beneath.
Result<sstable::TableMeta> write_key_table(Env& env, const std::string& path, FileNumber number,
                                           const sstable::TableSettings& settings, const MemTable& memtable,
                                           std::span<const SequenceNumber> held) {
  auto file = HDB_TRY(env.create(path, settings.writes));
  sstable::KeyTableBuilder builder(std::move(file), number, settings);
  const auto entries = memtable.entries();
  ByteView key;                         // of the entry before, whose bytes live as long as the memtable
  std::optional<SequenceNumber> newer;  // the version of it before
  for (bool is_valid = entries->seek_to_first(); is_valid; is_valid = entries->next()) {
    const Entry& entry = entries->entry();
    if (newer && !equal_bytes(entry.key, key)) newer.reset();
    const auto fate = compaction::fate_of(entry.kind, entry.sequence, newer, held, /*may_lie_beneath=*/true);
    if (fate == compaction::Fate::kKeep) HDB_TRY(builder.add(entry));
    key = entry.key;
    newer = entry.sequence;
  }
  HDB_TRY(entries->status());
  return builder.finish();
}

}  // namespace

void Store::schedule_flush() noexcept {
  if (is_flushing_ || sealed_.empty()) return;
  try {
    background_->submit(Background::Priority::kFlush, [this] { run_flush(); });
    is_flushing_ = true;
    flush_began_ = clock_.monotonic();
  } catch (...) {  // whoever waits for the flush hears of it, and asks for it again
    flush_error_ = out_of_memory();
    state_signal_.notify_all();
  }
}

void Store::schedule_flush_retry() noexcept {
  if (is_flush_retry_set_) return;
  try {
    background_->after(kFlushRetryDelay, [this] {
      MutexLock lock(state_mutex_);
      is_flush_retry_set_ = false;
      schedule_flush();
    });
    is_flush_retry_set_ = true;
  } catch (...) {  // wait_for_room() and flush() ask again
  }
}

void Store::run_flush() noexcept {
  std::shared_ptr<const SealedMemTable> oldest;
  {
    MutexLock lock(state_mutex_);
    oldest = sealed_.front();
  }
  const Status status = without_exceptions([&] { return flush_oldest(oldest); });
  collect_garbage();
  if (!status.ok()) note_first_error(status);
  MutexLock lock(state_mutex_);
  is_flushing_ = false;
  flush_error_ = status;
  if (status.ok()) {
    schedule_flush();
    schedule_compactions();
  } else if (write_error_.ok()) {
    // A failed table is discarded; the memtable and its log are still there to make another.
    schedule_flush_retry();
  }
  state_signal_.notify_all();
}

Status Store::flush_oldest(const std::shared_ptr<const SealedMemTable>& sealed) {
  if (!HDB_SEEDED(flush_before_all_is_applied)) HDB_TRY(visibility_->wait_published(sealed->next_sequence));
  HDB_TRY(write_flush(sealed));
  const Status removed = remove_log_below(sealed->log_end);
  // The flush stands; segments that stay are tried again by the next one.
  if (!removed.ok()) notify(Notice::kError, removed.message());
  return {};
}

// Freeing a large file takes as long as writing it to the page cache: appends do not wait for that.
Status Store::remove_log_below(LogPoint floor) {
  std::vector<SegmentNumber> below;
  {
    MutexLock lock(log_mutex_);
    below = HDB_TRY(log_->segments_below(floor));
  }
  for (const SegmentNumber segment : below) {
    const Status status = env_.remove(segment_path(directory_, segment));
    if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
    std::unique_ptr<LogFile> file;
    MutexLock lock(log_mutex_);
    file = log_->forget(segment);
  }
  return {};
}

// On a full disk by the space kept for it.
Status Store::write_flush(const std::shared_ptr<const SealedMemTable>& sealed) {
  Status status = write_flush_once(sealed);
  if (status.code() == StatusCode::kNoSpace && reserve_.release()) status = write_flush_once(sealed);
  return status;
}

Status Store::write_flush_once(const std::shared_ptr<const SealedMemTable>& sealed) {
  const auto began = clock_.monotonic();
  compaction::VersionEdit edit;
  HDB_TRY(write_tables(*sealed, edit));
  edit.next_sequence = sealed->next_sequence;
  edit.position_end = sealed->position_end;
  edit.last_commit_time = sealed->last_commit_time;
  edit.log_floor = sealed->log_end;
  edit.next_file_number = FileNumber(file_number_.load(std::memory_order_relaxed));
  HDB_TRY(install(edit, sealed.get()));

  std::uint64_t bytes = 0;
  for (const auto& added : edit.added) bytes += added.meta->file_bytes;
  const std::chrono::duration<double> took = clock_.monotonic() - began;
  {
    MutexLock lock(state_mutex_);
    if (took.count() > 0) flush_bytes_per_s_ = static_cast<double>(sealed->table->bytes()) / took.count();
  }
  counters_.flushes.fetch_add(1, std::memory_order_relaxed);
  counters_.table_bytes_flushed.fetch_add(bytes, std::memory_order_relaxed);
  notify(Notice::kFlush, "flushed " + std::to_string(sealed->table->event_count()) + " events and " +
                             std::to_string(sealed->table->change_count()) + " key-value changes into " +
                             std::to_string(bytes) + " bytes");
  return {};
}

Status Store::write_tables(const SealedMemTable& sealed, compaction::VersionEdit& edit) {
  const MemTable& memtable = *sealed.table;
  const sstable::TableSettings settings = flush_settings(options_);
  std::vector<std::string> written;
  const auto write = [&](std::uint32_t level, const auto& make) -> Status {
    const FileNumber number = next_file_number();
    const std::string path = table_path(directory_, number);
    written.push_back(path);
    Result<sstable::TableMeta> meta = make(path, number);
    if (!meta.ok()) return meta.status();
    edit.added.push_back({level, std::make_shared<const sstable::TableMeta>(std::move(meta).value())});
    return {};
  };
  Status status;
  if (sealed.position_end > memtable.position_begin()) {
    status = write(compaction::kEventLevel, [&](const std::string& path, FileNumber number) {
      return write_event_table(env_, path, number, settings, memtable, sealed.position_end);
    });
  }
  if (status.ok() && memtable.change_count() > 0) {
    const std::vector<SequenceNumber> held = visibility_->held_sequences();
    status = write(0, [&](const std::string& path, FileNumber number) {
      return write_key_table(env_, path, number, settings, memtable, held);
    });
  }
  const bool has_names = !written.empty() && !HDB_SEEDED(forget_the_sync_of_the_table_directory);
  if (status.ok() && has_names) status = env_.sync_directory(table_directory(directory_));
  if (!status.ok()) {
    for (const std::string& path : written) ignore(env_.remove(path), "an orphan is deleted at the next open");
  }
  return status;
}

Status Store::install(const compaction::VersionEdit& edit, const SealedMemTable* flushed) {
  // What can fail for want of memory comes before the edit is on disk.
  std::shared_ptr<ReadView> view = make_view();
  MutexLock manifest_lock(manifest_mutex_);
  {
    MutexLock lock(state_mutex_);
    obsolete_.reserve(obsolete_.size() + edit.removed.size());
  }
  unsettled_.reserve(unsettled_.size() + edit.added.size());
  HDB_TRY(record(edit));
  const std::shared_ptr<const compaction::Version> after = manifest_->state().version;
  MutexLock lock(state_mutex_);
  for (const FileNumber removed : edit.removed) {
    if (after->find(removed) == nullptr) obsolete_.emplace_back(removed, version_->find(removed));
  }
  version_ = after;
  if (flushed != nullptr) {
    HDB_CHECK(!sealed_.empty() && sealed_.front().get() == flushed);
    sealed_.pop_front();
  }
  publish_view(std::move(view));
  state_signal_.notify_all();
  return {};
}

// A full disk leaves the store as it is, and the edit may be tried again; one that does not fit was not written. After
// any other error nobody knows what the next open will find, so nothing more is written.
Status Store::record(const compaction::VersionEdit& edit) {
  HDB_TRY(check_place());
  const Status recorded = manifest_->append(edit);
  if (recorded.ok()) {
    remove_unsettled();
  } else if (recorded.code() == StatusCode::kNoSpace) {
    for (const auto& added : edit.added) {
      if (unsettled_.size() < unsettled_.capacity()) unsettled_.push_back(added.meta->number);
    }
  } else if (recorded.code() != StatusCode::kCorruption) {
    stop_writes(recorded);
  }
  return recorded;
}

// What the disk says is what manifest_ says again.
void Store::remove_unsettled() noexcept {
  for (const FileNumber number : unsettled_) {
    const bool is_named = manifest_->state().version->find(number) != nullptr;
    const Status removed =
        without_exceptions([&] { return is_named ? Status() : env_.remove(table_path(directory_, number)); });
    ignore(removed, "an orphan is deleted at the next open");
  }
  unsettled_.clear();
}

Status Store::flush() {
  HDB_TRY(check_open());
  SequenceNumber up_to;
  {
    MutexLock log_lock(log_mutex_);
    bool has_unflushed = false;
    {
      MutexLock lock(state_mutex_);
      if (!write_error_.ok()) return write_error_;
      has_unflushed = next_sequence_ > active_->sequence_begin();
    }
    up_to = next_sequence_;
    if (has_unflushed) HDB_TRY(seal_active());
    MutexLock lock(state_mutex_);
    flush_error_ = {};  // tried again now, whatever the last one met
    schedule_flush();
  }
  return wait_for_flushes(up_to);
}

Status Store::wait_for_flushes(SequenceNumber up_to) {
  MutexLock lock(state_mutex_);
  while (!sealed_.empty() && sealed_.front()->table->sequence_begin() < up_to) {
    if (!write_error_.ok()) return write_error_;
    if (!flush_error_.ok()) return flush_error_;
    background_->wait(state_mutex_, state_signal_);
  }
  return {};
}

FileNumber Store::next_file_number() {
  return FileNumber(file_number_.fetch_add(1, std::memory_order_relaxed));
}

}  // namespace hdb
