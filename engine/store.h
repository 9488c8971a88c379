// engine/store.h: the state of an open store, its locks and its threads.
//
// Lock order (outer first): Submissions' → manifest_mutex_ → log_mutex_ → CommitQueue's → state_mutex_ → Visibility's →
// a block cache shard; LookUps' and Reserve's under log_mutex_, Background's under any of them, LockedEnv's under any
// and under Reserve's, and nothing under these two. Two are held across IO: log_mutex_ across
// the log's writes and syncs, which is what makes log order equal sequence order; manifest_mutex_ across an edit, which
// makes edits follow one another.
//
// thread        runs                        owns                         woken by         stopped by
// caller        commit.cc read.cc           its batch, its view          -                -
// commit        submit.cc                   the submissions under way    submit()         close(), after finishing
// flush         flush.cc, one at a time     the oldest sealed memtable   seal_active()    close(), after finishing
// flush's other side_by_side.cc             a part of it                 the flush        the flush, after finishing
// compaction    compaction.cc, n at a time  its plan's input tables      a flush, itself  close(), at the next block
// timer         log_timer.cc                -                            an append        close()
// read-ahead    log_read_ahead.cc           the reader of the log        open_as()        open_as(), on every way out
//
// Two threads serve flushes: one flush at a time, whose parts may be written by both. While a log is read at open its
// read-ahead has one of them. The lock of a flush's parts and that of the read-ahead are held with no other but the
// Background's.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hdb/backup.h>
#include <hdb/engine.h>

#include "base/clock.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "compaction/manifest.h"
#include "compaction/picker.h"
#include "compaction/version.h"
#include "engine/background.h"
#include "engine/commit_queue.h"
#include "engine/recent_ids.h"
#include "engine/reserve.h"
#include "engine/submission.h"
#include "engine/visibility.h"
#include "io/locked_env.h"
#include "memtable/memtable.h"
#include "sstable/block_cache.h"
#include "sstable/table_cache.h"
#include "wal/reader.h"
#include "wal/writer.h"

namespace hdb {

// What a store stands on; tests bring their own.
struct Platform {
  Env* env = nullptr;
  Clock* clock = nullptr;
  std::unique_ptr<Background> background;
  std::uint64_t seed = 0;  // of ids made by the store
};

// Counters since open; each is bumped where the thing happens, relaxed: nothing else is read on the strength of them.
struct Counters {
  std::atomic<std::uint64_t> events_appended{0}, duplicates{0}, key_value_changes{0}, batches{0}, log_groups{0};
  std::atomic<std::uint64_t> table_bytes_flushed{0}, table_bytes_compacted{0}, flushes{0}, compactions{0},
      table_moves{0};
  std::atomic<std::uint64_t> slowdowns{0}, stalls{0}, stall_us{0};
  std::atomic<std::uint64_t> recovered_groups{0}, torn_tail_bytes_cut{0};
};

// A place an event was found in: its bytes, kept alive by `pin`.
struct FoundEvent {
  Position position;
  Timestamp commit_time;
  RecordView record;
  std::shared_ptr<const void> pin;
};

// Thread-safe, as Engine, whose methods it implements; arguments are checked here.
class Store : public std::enable_shared_from_this<Store> {
 public:
  static Result<std::shared_ptr<Store>> open(const std::string& directory, const Options& options, OpenMode mode,
                                             Hooks hooks, Platform platform);
  // Changes no file; calls that would are refused by write_error_.
  static Result<std::shared_ptr<Store>> open_read_only(const std::string& directory, const Options& options,
                                                       Hooks hooks, Platform platform);
  ~Store();

  // commit.cc
  Result<AppendResult> append(const Batch& batch);
  Status sync();

  // submit.cc
  Result<std::shared_ptr<Submission>> submit(const Batch& batch, AppendCallback callback);

  // read.cc
  Result<std::optional<StoredEvent>> get(Position position, const Snapshot* at);
  Result<std::optional<StoredEvent>> get(const EventId& id, const Snapshot* at);
  Result<std::optional<Value>> get(Keyspace keyspace, ByteView key, const Snapshot* at);
  Result<KeyCursor> scan(Keyspace keyspace, const KeyRange& range, const Snapshot* at);
  Result<Snapshot> snapshot();

  // query.cc
  Result<EventCursor> query(const Query& query, const Snapshot* at);

  // keyspaces.cc
  Status check_keyspace(Keyspace keyspace) const;
  Result<Keyspace> keyspace(std::string_view name);
  std::vector<std::pair<std::string, Keyspace>> keyspaces();

  // flush.cc, compaction.cc, stats.cc
  Status flush();
  Status compact();
  Stats stats();

  // backup.cc
  Result<BackupReport> backup(const std::string& to, BackupMode mode);

  // store.cc
  std::string store_id() const;
  // As Engine::close(). With `is_forced`, also while cursors live: their next call fails.
  Status close(bool is_forced);

  // For cursors: they live in their own files and read through these.
  std::shared_ptr<const ReadView> view() const { return visibility_->view(); }
  std::uint64_t generation() const noexcept { return visibility_->generation(); }
  // The event at a position that `view` holds and that is published. kCorruption if a table is damaged.
  Result<FoundEvent> fetch(const ReadView& view, Position position);
  sstable::TableCache& tables() noexcept { return *tables_; }
  const StoreId& id() const noexcept { return id_; }
  Epoch epoch() const noexcept { return epoch_; }
  // Makes the log durable at least up to the event before `position_end`.
  Status make_durable(Position position_end);
  Status make_durable_as(Durability durability, Position position_end);
  // kClosed after close(), and in a forked child.
  Status check_open() const;
  Result<std::shared_ptr<const Snapshot::Pin>> pin_for(const Snapshot* at);

 private:
  Store(const std::string& directory, const Options& options, Hooks hooks, Platform platform, bool is_read_only);

  // recover.cc: the steps of open(), in order.
  static Result<std::shared_ptr<Store>> open_as(bool is_read_only, const std::string& directory, const Options& options,
                                                OpenMode mode, Hooks hooks, Platform platform);
  Status take_directory(OpenMode mode);
  Status check_creatable();
  Status check_holds_no_data();
  Status already_a_store() const;
  Status create_files();
  Status recover();
  Status check_folders();
  Status check_tables(const compaction::Version& version);
  Result<std::vector<std::string>> find_orphans(const compaction::Recovered& recovered);
  Status begin_manifest(const compaction::Recovered& recovered);
  Result<std::optional<wal::ReplayEnd>> replay_log(const compaction::Recovered& recovered);
  void tell_torn_tail(const wal::ReplayEnd& end, std::string_view what_was_done);
  Status read_log(const compaction::Recovered& recovered);
  Status start_log(const compaction::Recovered& recovered);
  std::shared_ptr<const SealedMemTable> apply_group(const wal::Group& group);
  Status flush_replayed(const std::shared_ptr<const SealedMemTable>& full);

  // commit.cc
  struct Fresh;  // the events of a batch the store does not have yet
  Status check_batch(const Batch& batch) const;
  // Everything of an append that comes before the queue.
  Status prepare(const Batch& batch, Appending& appending);
  // And what comes after it, unless it has to be tried again.
  Result<AppendResult> finish(Appending& appending);
  Result<Fresh> leave_out_duplicates(std::span<const Event> events, Appending& appending);
  Status wait_for_room(std::uint64_t batch_bytes);
  bool lead_commit();
  void settle(std::span<PendingAppend* const> group) noexcept HDB_REQUIRES(log_mutex_);
  Status write_group(std::span<PendingAppend* const> group) HDB_REQUIRES(log_mutex_);
  // The appends of a group that go into the log together, and their sums.
  struct Admitted {
    std::vector<PendingAppend*> members;
    std::vector<ByteView> batches;
    std::uint64_t bytes = 0;
    std::uint64_t events = 0;
    std::uint64_t changes = 0;
    std::uint64_t large = 0;  // of the batches: those with a block of their own
  };
  const Admitted& admit(std::span<PendingAppend* const> group) HDB_REQUIRES(log_mutex_);
  Status log_group(const Admitted& admitted, bool is_durable) HDB_REQUIRES(log_mutex_);
  Status write_log(const Admitted& admitted, Timestamp commit_time, bool is_durable) HDB_REQUIRES(log_mutex_);
  Status append_to_log(const Admitted& admitted, Timestamp commit_time, bool is_durable) HDB_REQUIRES(log_mutex_);
  void accept_group(std::span<PendingAppend* const> members, Timestamp commit_time, Published end)
      HDB_REQUIRES(log_mutex_);
  enum class Applier : std::uint8_t { kLeader, kCaller };  // there is one leader at a time
  Status apply(PendingAppend& pending, Applier applier) noexcept;
  Status check_log_place(bool is_durable) HDB_REQUIRES(log_mutex_);
  Status make_active_writable(const Admitted& admitted, bool is_durable) HDB_REQUIRES(log_mutex_);
  Status seal_active() HDB_REQUIRES(log_mutex_) HDB_EXCLUDES(state_mutex_);
  // What appends have to wait for.
  struct Pressure {
    bool is_at_bound = false;  // they stop
    double bytes_per_s = 0;    // that all of them together may take up, before; 0: no bound
    std::string reason;
    Status error;  // why the debt is not being worked off
  };
  Pressure pressure_now() HDB_REQUIRES(state_mutex_);
  Pressure pressure_of_memtables() HDB_REQUIRES(state_mutex_);
  Pressure pressure_of_level0() HDB_REQUIRES(state_mutex_);
  std::chrono::microseconds delay_of(std::uint64_t batch_bytes, double bytes_per_s) HDB_REQUIRES(state_mutex_);
  // The first error of the log stops all later writes; reads go on.
  void stop_writes(const Status& error) noexcept;

  // submit.cc
  Result<AppendResult> finish_submitted(CommitQueue::Place place, Appending& appending);
  Result<AppendResult> append_again(Appending& appending);

  // log_timer.cc
  void arm_log_timer() noexcept HDB_REQUIRES(log_mutex_);
  void arm_log_timer(std::chrono::nanoseconds due) noexcept HDB_REQUIRES(log_mutex_);
  bool is_flushing() HDB_EXCLUDES(state_mutex_);
  void on_log_timer(std::chrono::nanoseconds due) noexcept;
  Status sync_by_timer(std::chrono::nanoseconds due);

  // read.cc
  Result<std::optional<Position>> find_id(const ReadView& view, Position position_end, const EventId& id);

  // flush.cc
  void schedule_flush() noexcept HDB_REQUIRES(state_mutex_);
  void schedule_flush_retry() noexcept HDB_REQUIRES(state_mutex_);
  void run_flush() noexcept;
  Status remove_log_below(LogPoint floor) HDB_EXCLUDES(log_mutex_);
  Status flush_oldest(const std::shared_ptr<const SealedMemTable>& sealed);
  // Tables and edit of a sealed memtable, and the view without it.
  Status write_flush(const std::shared_ptr<const SealedMemTable>& sealed);
  Status write_flush_once(const std::shared_ptr<const SealedMemTable>& sealed);
  Status write_tables(const SealedMemTable& sealed, compaction::VersionEdit& edit);
  Status wait_for_flushes(SequenceNumber up_to);
  // Records `edit` durably, then shows its version to readers, without the memtable it flushed, if any.
  Status install(const compaction::VersionEdit& edit, const SealedMemTable* flushed);
  Status record(const compaction::VersionEdit& edit) HDB_REQUIRES(manifest_mutex_);
  void remove_unsettled() noexcept HDB_REQUIRES(manifest_mutex_);
  FileNumber next_file_number();

  // compaction.cc
  void schedule_compactions() noexcept HDB_REQUIRES(state_mutex_);
  // Throws for want of memory, with nothing changed.
  void start_compaction(compaction::Plan plan) HDB_REQUIRES(state_mutex_);
  void run_compaction(std::shared_ptr<const compaction::Plan> plan) noexcept;
  void schedule_compaction_retry() noexcept HDB_REQUIRES(state_mutex_);
  Status compact_once(const compaction::Plan& plan);
  void discard(const compaction::VersionEdit& edit);
  void pace_compaction(std::uint64_t bytes);

  // store.cc
  bool is_forked() const noexcept;
  Status check_place();
  Status sync_log();
  Status end_log(const Status& flushed);
  Status close_log();
  Status remove_log_files();
  void update_room() noexcept HDB_REQUIRES(state_mutex_);
  void publish_view() HDB_REQUIRES(state_mutex_);
  // A view with room for the sealed memtables, so that filling it cannot fail.
  std::shared_ptr<ReadView> make_view() HDB_EXCLUDES(state_mutex_);
  void publish_view(std::shared_ptr<ReadView> view) HDB_REQUIRES(state_mutex_);
  void notify(Notice notice, std::string_view text) const noexcept;
  void tell_log_fallback() noexcept HDB_REQUIRES(log_mutex_);
  void collect_garbage() noexcept;
  void note_first_error(const Status& error) noexcept;

  // Constant after open.
  const std::string directory_;
  const Options options_;
  const Hooks hooks_;
  const bool is_read_only_;  // manifest_ and log_ stay null
  LockedEnv env_;
  Clock& clock_;
  const std::uint64_t seed_;
  const std::uint32_t process_generation_;
  StoreId id_{};
  Epoch epoch_;
  std::uint32_t id_random_ = 0;

  // Each its own synchronisation.
  std::unique_ptr<sstable::BlockCache> block_cache_;
  std::unique_ptr<sstable::TableCache> tables_;
  std::shared_ptr<Visibility> visibility_;
  Reserve reserve_;
  CommitQueue commit_queue_;
  BatchMemory batch_memory_;  // of large batches, until they are flushed
  LookUps look_ups_;
  Counters counters_;
  std::atomic<std::uint64_t> file_number_{1};           // the next; relaxed, unique by fetch_add
  std::atomic<std::uint64_t> active_claimed_bytes_{0};  // log and memory the active memtable will hold: written under
                                                        // log_mutex_, read without in wait_for_room()
  std::atomic<std::uint64_t> durable_position_end_{0};  // release in write_group(), acquire in make_durable()
  std::atomic<std::uint32_t> keyspace_count_{0};        // release in keyspace(), acquire in check_keyspace()
  std::atomic<bool> is_stopping_{false};                // release in close(), acquire in compaction jobs
  std::atomic<bool> is_closed_{true};  // but between open() and close(): release there, acquire in check_open()

  Mutex manifest_mutex_ HDB_ACQUIRED_BEFORE(log_mutex_, state_mutex_);
  Mutex log_mutex_ HDB_ACQUIRED_BEFORE(state_mutex_);
  Mutex state_mutex_;

  std::unique_ptr<compaction::Manifest> manifest_ HDB_GUARDED_BY(manifest_mutex_);
  // Tables of edits that a full disk refused: the disk may name them until the next edit is recorded.
  std::vector<FileNumber> unsettled_ HDB_GUARDED_BY(manifest_mutex_);

  std::unique_ptr<wal::Writer> log_ HDB_GUARDED_BY(log_mutex_);
  SequenceNumber next_sequence_ HDB_GUARDED_BY(log_mutex_){1};
  Position next_position_ HDB_GUARDED_BY(log_mutex_) = 0;
  Timestamp last_commit_time_ HDB_GUARDED_BY(log_mutex_){};
  RecentIds recent_ids_ HDB_GUARDED_BY(log_mutex_);
  Admitted admitted_ HDB_GUARDED_BY(log_mutex_);                   // of the group being written; kept for its memory
  std::uint64_t active_log_bytes_ HDB_GUARDED_BY(log_mutex_) = 0;  // written since the active memtable began
  bool is_log_fallback_told_ HDB_GUARDED_BY(log_mutex_) = false;
  std::optional<std::chrono::nanoseconds> timer_due_
      HDB_GUARDED_BY(log_mutex_);  // of the timer that counts; empty: none
  std::chrono::nanoseconds last_append_ HDB_GUARDED_BY(log_mutex_){0};
  std::optional<std::chrono::nanoseconds> place_checked_ HDB_GUARDED_BY(log_mutex_);
  std::optional<std::chrono::nanoseconds> first_unsynced_ HDB_GUARDED_BY(log_mutex_);  // of kInterval appends

  std::shared_ptr<MemTable> active_ HDB_GUARDED_BY(state_mutex_);
  std::deque<std::shared_ptr<const SealedMemTable>> sealed_ HDB_GUARDED_BY(state_mutex_);  // oldest first
  std::shared_ptr<const compaction::Version> version_ HDB_GUARDED_BY(state_mutex_);
  std::vector<std::pair<std::string, Keyspace>> keyspaces_ HDB_GUARDED_BY(state_mutex_);  // by name; ids from 1 on
  compaction::FileNumberSet compacting_ HDB_GUARDED_BY(state_mutex_);  // inputs of running compactions
  std::uint32_t running_compactions_ HDB_GUARDED_BY(state_mutex_) = 0;
  std::uint32_t closed_level_ HDB_GUARDED_BY(state_mutex_) =
      0;  // a running compaction merges all keys into it; 0: none
  bool is_flushing_ HDB_GUARDED_BY(state_mutex_) = false;
  bool is_flush_retry_set_ HDB_GUARDED_BY(state_mutex_) = false;  // a timer will schedule a flush
  std::vector<std::pair<FileNumber, std::weak_ptr<const sstable::TableMeta>>> obsolete_ HDB_GUARDED_BY(state_mutex_);
  // Whether an append may go on without a look at what is below: nothing of it slows appends down, or stops them.
  // Stored by update_room(), read by appends; relaxed, as they may be late to know anyway.
  std::atomic<bool> has_room_ = false;
  Status write_error_ HDB_GUARDED_BY(state_mutex_);              // of the log or the manifest, or read only: no writes
  Status flush_error_ HDB_GUARDED_BY(state_mutex_);              // of the last flush; OK again once one succeeds
  Status compaction_error_ HDB_GUARDED_BY(state_mutex_);         // likewise
  Status first_background_error_ HDB_GUARDED_BY(state_mutex_);   // what close() reports
  double compact_bytes_per_s_ HDB_GUARDED_BY(state_mutex_) = 0;  // of the last compaction; 0: unknown
  double flush_bytes_per_s_ HDB_GUARDED_BY(state_mutex_) = 0;    // of the last flush; 0: unknown
  std::chrono::nanoseconds flush_began_ HDB_GUARDED_BY(state_mutex_){0};    // while is_flushing_
  std::chrono::nanoseconds appends_until_ HDB_GUARDED_BY(state_mutex_){0};  // those let through are paced up to here
  CondVar state_signal_;  // state_mutex_: a flush or a compaction ended, or failed

  // Last: its threads use all of the above.
  std::unique_ptr<Background> background_;
  std::unique_ptr<Submissions> submissions_;
};

}  // namespace hdb
