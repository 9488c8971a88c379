// From a sealed memtable to tables: one flush at a time, oldest first, so that tables and the log's floor advance in
// commit order.
#include <deque>
#include <functional>
#include <optional>

#include "base/seeded_defect.h"
#include "compaction/retain.h"
#include "engine/ready_errors.h"
#include "engine/side_by_side.h"
#include "engine/store.h"
#include "engine/table_settings.h"
#include "io/file_name.h"
#include "sstable/event_table_builder.h"
#include "sstable/key_table_builder.h"

namespace hdb {

namespace {

constexpr std::chrono::milliseconds kFlushRetryDelay{1000};

struct PositionRange {
  Position begin;
  Position end;
};

// Of stored keys. Empty ends are open.
struct StoredKeyRange {
  ByteView begin;
  ByteView end;
  std::uint64_t entries_below;  // about so many of the memtable's are before `begin`
};

// Whether the events, or the keys, of a memtable are written in halves, side by side: less than half a memtable is not
// worth a table more.
bool is_halved(std::uint64_t bytes, std::uint64_t memtable_bytes) noexcept {
  return bytes >= memtable_bytes / 2;
}

// Events of one commit stay together if they can: repair tells by their times which of two tables comes first.
std::vector<PositionRange> event_parts(const MemTable& memtable, Position end, std::uint64_t memtable_bytes) {
  const Position begin = memtable.position_begin();
  if (begin == end) return {};
  const Position half = begin + (end - begin) / 2;
  if (!is_halved(memtable.event_bytes(), memtable_bytes) || half == begin) return {{begin, end}};
  Position middle = half;
  while (middle < end && memtable.event(middle).commit_time == memtable.event(middle - 1).commit_time) ++middle;
  if (middle == end) middle = half;
  return {{begin, middle}, {middle, end}};
}

std::vector<StoredKeyRange> key_parts(const MemTable& memtable, std::uint64_t memtable_bytes) {
  const auto entries = memtable.entries();
  if (!entries->seek_to_first()) return {};
  const std::vector<StoredKeyRange> whole = {StoredKeyRange{{}, {}, 0}};
  if (!is_halved(memtable.change_bytes(), memtable_bytes)) return whole;
  const ByteView middle = memtable.middle_key();
  if (equal_bytes(entries->entry().key, middle)) return whole;  // the first key has half of the changes by itself
  return {{{}, middle, 0}, {middle, {}, memtable.change_count() / 2}};
}

// Which keys a memtable may share with what is older and what is newer than it; empty: none.
struct KeyNeighbours {
  Buffer older_largest;   // the largest key of tables that ends inside the memtable's range
  Buffer newer_smallest;  // of the following memtable, so far
};

// Where a table of a memtable's keys ends and the next begins: behind the keys shared with what is older, and before
// those shared with what is newer, if both are few. What is between meets no other table, and moves down without being
// rewritten: so keys that ascend, but for what writers had under way when the memtable was sealed, are written once.
// Single-owner.
class KeyTableCuts {
 public:
  KeyTableCuts(KeyNeighbours neighbours, std::uint64_t entries)
      : neighbours_(std::move(neighbours)), entries_(entries) {}

  // Whether a table should begin with `key`, which is above all asked for before and has about `entries_below` before
  // it.
  bool is_before(ByteView key, std::uint64_t entries_below) {
    bool is_cut = false;
    if (has_older_ahead_ && compare_bytes(bytes_of(neighbours_.older_largest), key) < 0) {
      has_older_ahead_ = false;
      is_cut = entries_below <= entries_ / kFew;
    }
    if (has_newer_ahead_ && compare_bytes(bytes_of(neighbours_.newer_smallest), key) <= 0) {
      has_newer_ahead_ = false;
      is_cut = is_cut || entries_below + entries_ / kFew >= entries_;
    }
    return is_cut;
  }

 private:
  static constexpr std::uint64_t kFew = 8;

  KeyNeighbours neighbours_;
  std::uint64_t entries_;
  bool has_older_ahead_ = !neighbours_.older_largest.empty();
  bool has_newer_ahead_ = !neighbours_.newer_smallest.empty();
};

KeyNeighbours neighbours_of(const MemTable& memtable, const MemTable& next, const compaction::Version& version) {
  KeyNeighbours neighbours;
  const auto entries = memtable.entries();
  if (!entries->seek_to_first()) return neighbours;
  const ByteView smallest = entries->entry().key;
  entries->seek_to_last();
  const ByteView largest = entries->entry().key;
  for (std::uint32_t level = 0; level < compaction::Version::level_count(); ++level) {
    for (const auto& table : version.tables_for_range(level, smallest, largest)) {
      const ByteView end = bytes_of(table->largest_key);
      const bool is_inside = compare_bytes(end, largest) < 0;
      if (is_inside && compare_bytes(bytes_of(neighbours.older_largest), end) < 0) {
        neighbours.older_largest = table->largest_key;
      }
    }
  }
  const auto newer = next.entries();
  if (newer->seek_to_first()) {
    const ByteView begin = newer->entry().key;
    neighbours.newer_smallest.assign(begin.begin(), begin.end());
  }
  return neighbours;
}

// What one part of a flush writes. Single-owner.
class FlushPart {
 public:
  FlushPart(Env& env, const std::string& directory, std::function<FileNumber()> next_number)
      : env_(env), directory_(directory), next_number_(std::move(next_number)) {}

  template <typename Builder>
  Result<Builder> begin_table(const sstable::TableSettings& settings) {
    const FileNumber number = next_number_();
    return Builder(HDB_TRY(env_.create(paths_.emplace_back(table_path(directory_, number)), settings.writes)), number,
                   settings);
  }
  void add(std::uint32_t level, sstable::TableMeta meta) {
    added_.push_back({level, std::make_shared<const sstable::TableMeta>(std::move(meta))});
  }

  const std::vector<compaction::AddedTable>& added() const noexcept { return added_; }
  void remove_files() const noexcept {
    for (const std::string& path : paths_) {
      ignore(without_exceptions([&] { return env_.remove(path); }), "an orphan is deleted at the next open");
    }
  }

 private:
  Env& env_;
  const std::string& directory_;
  const std::function<FileNumber()> next_number_;
  std::vector<std::string> paths_;  // of the files begun
  std::vector<compaction::AddedTable> added_;
};

Status write_event_table(const MemTable& memtable, const PositionRange& range, const sstable::TableSettings& settings,
                         FlushPart& part) {
  auto builder = HDB_TRY(part.begin_table<sstable::EventTableBuilder>(settings));
  for (Position position = range.begin; position < range.end; ++position) {
    const StoredRecord stored = memtable.event(position);
    HDB_TRY(builder.add(position, stored.commit_time, stored.record));
  }
  part.add(compaction::kEventLevel, HDB_TRY(builder.finish()));
  return {};
}

// What the parts that write keys have in common.
struct KeyFlush {
  sstable::TableSettings settings;
  KeyNeighbours neighbours;
  std::vector<SequenceNumber> held;
};

// Leaves out the versions nobody can see any more; tombstones stay, for what may lie beneath.
Status write_key_tables(const MemTable& memtable, const StoredKeyRange& range, const KeyFlush& flush, FlushPart& part) {
  KeyTableCuts cuts(flush.neighbours, memtable.change_count());
  std::optional<sstable::KeyTableBuilder> builder;
  const auto entries = memtable.entries();
  ByteView key;                         // of the entry before, whose bytes live as long as the memtable
  std::optional<SequenceNumber> newer;  // the version of it before
  std::uint64_t below = range.entries_below;
  const SequenceNumber newest(HDB_SEEDED(begin_a_part_within_a_key) ? 1 : UINT64_MAX);
  bool is_valid = range.begin.empty() ? entries->seek_to_first() : entries->seek(range.begin, newest);
  for (; is_valid; is_valid = entries->next(), ++below) {
    const Entry& entry = entries->entry();
    if (!range.end.empty() && compare_bytes(entry.key, range.end) >= 0) break;
    if (newer && !equal_bytes(entry.key, key)) newer.reset();
    if (!newer && cuts.is_before(entry.key, below) && builder) {
      part.add(0, HDB_TRY(builder->finish()));
      builder.reset();
    }
    const auto fate = compaction::fate_of(entry.kind, entry.sequence, newer, flush.held, /*may_lie_beneath=*/true);
    if (fate == compaction::Fate::kKeep) {
      if (!builder) builder.emplace(HDB_TRY(part.begin_table<sstable::KeyTableBuilder>(flush.settings)));
      HDB_TRY(builder->add(entry));
    }
    key = entry.key;
    newer = entry.sequence;
  }
  HDB_TRY(entries->status());
  part.add(0, HDB_TRY(builder->finish()));
  return {};
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
  std::deque<FlushPart> parts;
  const auto new_part = [&]() -> FlushPart& {
    return parts.emplace_back(env_, directory_, [this] { return next_file_number(); });
  };
  std::vector<std::function<Status()>> calls;
  const sstable::TableSettings event_settings = event_flush_settings(options_);
  for (const PositionRange& range : event_parts(memtable, sealed.position_end, options_.memtable_bytes)) {
    calls.emplace_back(
        [&, range, &part = new_part()] { return write_event_table(memtable, range, event_settings, part); });
  }
  std::shared_ptr<const MemTable> next;
  std::shared_ptr<const compaction::Version> version;
  {
    MutexLock lock(state_mutex_);
    next = sealed_.size() > 1 ? sealed_[1]->table : active_;
    version = version_;
  }
  const KeyFlush keys{key_flush_settings(options_), neighbours_of(memtable, *next, *version),
                      visibility_->held_sequences()};
  for (const StoredKeyRange& range : key_parts(memtable, options_.memtable_bytes)) {
    calls.emplace_back([&, range, &part = new_part()] { return write_key_tables(memtable, range, keys, part); });
  }

  Status status = run_side_by_side(*background_, Background::Priority::kFlush, std::move(calls));
  if (status.ok()) {
    status = without_exceptions([&]() -> Status {
      for (const FlushPart& part : parts) edit.added.insert(edit.added.end(), part.added().begin(), part.added().end());
      if (parts.empty() || HDB_SEEDED(forget_the_sync_of_the_table_directory)) return {};
      return env_.sync_directory(table_directory(directory_));
    });
  }
  if (!status.ok()) {
    for (const FlushPart& part : parts) part.remove_files();
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
