// hdb/engine.h: an embedded, durable, ordered store of events, with key-value keyspaces beside them.
//
// One directory is one store; one process has it open at a time. No exception leaves a call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/backup.h>
#include <hdb/batch.h>
#include <hdb/event.h>
#include <hdb/options.h>
#include <hdb/query.h>
#include <hdb/status.h>

namespace hdb {

class Store;

// A moment of the store: reads made at it see exactly what had been committed then. Holds back the reclaiming of old
// key versions, so let it go. Thread-safe; must not outlive the engine.
class HDB_EXPORT Snapshot {
 public:
  Position position_end() const noexcept;  // the snapshot sees the events below this

  class Pin;  // internal
  explicit Snapshot(std::shared_ptr<const Pin> pin) noexcept : pin_(std::move(pin)) {}
  const std::shared_ptr<const Pin>& pin() const noexcept { return pin_; }

 private:
  std::shared_ptr<const Pin> pin_;
};

// Walks the events a query matches. Single-owner. Sees the store as of its creation. Close it (destroy it) before the
// engine.
class HDB_EXPORT EventCursor {
 public:
  // The next event; empty at the end. After an error the cursor is done.
  Result<std::optional<StoredEvent>> next();

  // Appends up to `max` further events to `events`; returns how many: fewer than `max` only at the end. Each of them
  // keeps its block in memory: choose `max` by the size of the events.
  Result<std::size_t> next_batch(std::size_t max, std::vector<StoredEvent>& events);

  // A token for Query::resume_token that goes on after the last event returned. Syncs the log first if needed, so that
  // no power loss can make the token point at other events.
  Result<std::string> resume_token() const;

  class Impl;  // internal
  explicit EventCursor(std::unique_ptr<Impl> impl) noexcept;
  EventCursor(EventCursor&&) noexcept;
  EventCursor& operator=(EventCursor&&) noexcept;
  ~EventCursor();

 private:
  std::unique_ptr<Impl> impl_;
};

struct KeyValue {
  ByteView key;
  ByteView value;
};

// Which keys to walk: [lower, upper) and only those that begin with `prefix`; absent: no bound.
struct KeyRange {
  std::optional<ByteView> lower{};
  std::optional<ByteView> upper{};
  std::optional<ByteView> prefix{};
  bool is_backward = false;  // from the last key to the first
};

// Walks a keyspace in key order. Single-owner. The views it returns live until its next call.
class HDB_EXPORT KeyCursor {
 public:
  Result<std::optional<KeyValue>> next();

  class Impl;  // internal
  explicit KeyCursor(std::unique_ptr<Impl> impl) noexcept;
  KeyCursor(KeyCursor&&) noexcept;
  KeyCursor& operator=(KeyCursor&&) noexcept;
  ~KeyCursor();

 private:
  std::unique_ptr<Impl> impl_;
};

// A value as found: a view that keeps its bytes alive. Must not outlive the engine.
class Value {
 public:
  Value(ByteView bytes, std::shared_ptr<const void> pin) noexcept : bytes_(bytes), pin_(std::move(pin)) {}
  ByteView bytes() const noexcept { return bytes_; }

 private:
  ByteView bytes_;
  std::shared_ptr<const void> pin_;
};

class Submission;

// What Engine::submit() gives for a batch under way. Thread-safe; copies are of the same. Dropping it changes nothing;
// it may outlive the engine, which does not close before the batch is done.
class HDB_EXPORT AppendTicket {
 public:
  bool is_done() const;
  // Waits until the batch is as durable as asked and visible to every later read, or refused. The same at every call;
  // lives as long as the ticket. But in a callback of the same engine, where it would wait for itself, it is
  // kInvalidArgument for what is not done yet.
  const Result<AppendResult>& wait() const;

  explicit AppendTicket(std::shared_ptr<const Submission> submission) noexcept;  // internal

 private:
  std::shared_ptr<const Submission> submission_;
};

// Called once, with what AppendTicket::wait() will return. Only when the call is over, and all that the callback owns
// is freed, is the ticket done. By a thread of the engine, which does nothing else for submitted batches meanwhile.
// Must return soon and not throw. It may call Engine::submit(), and nothing that waits for the engine: no other append,
// wait(), sync(), flush(), compact() or close(); so it must not own the engine either. wait() and close() refuse it
// there with kInvalidArgument.
using AppendCallback = std::function<void(const Result<AppendResult>& result)>;

// Counters since open, and sizes now.
struct Stats {
  std::uint64_t events = 0;             // in the store, and of a repaired one those lost, whose positions stay
  std::uint64_t events_appended = 0;    // by this open
  std::uint64_t duplicates = 0;         // events left out because the store had them
  std::uint64_t key_value_changes = 0;  // committed by this open
  std::uint64_t batches = 0;            // committed by this open
  std::uint64_t log_groups = 0;         // batches commit in groups
  std::uint64_t log_syncs = 0;
  std::uint64_t log_bytes_written = 0;  // padding, zero-filling and headers too
  std::uint64_t log_bytes_live = 0;     // in the log files now
  std::uint64_t table_bytes_flushed = 0;
  std::uint64_t table_bytes_compacted = 0;  // written by compaction
  std::uint64_t manifest_bytes_written = 0;
  std::uint64_t flushes = 0;
  std::uint64_t compactions = 0;     // merges and moves
  std::uint64_t table_moves = 0;     // compactions that rewrote nothing
  std::uint64_t memtable_bytes = 0;  // all memtables now
  std::uint64_t sealed_memtables = 0;
  std::uint64_t event_tables = 0;
  std::uint64_t keyspace_tables = 0;
  std::vector<std::uint64_t> keyspace_tables_by_level{};
  std::uint64_t table_bytes_live = 0;
  std::uint64_t block_cache_bytes = 0;
  std::uint64_t block_cache_hits = 0;
  std::uint64_t block_cache_misses = 0;
  std::uint64_t filter_negatives = 0;     // table look-ups a Bloom filter saved
  std::uint64_t slowdowns = 0;            // appends delayed by back-pressure
  std::uint64_t stalls = 0;               // appends stopped by back-pressure
  std::uint64_t stall_us = 0;             // time appends spent delayed or stopped
  std::uint64_t recovered_groups = 0;     // replayed from the log at open
  std::uint64_t torn_tail_bytes_cut = 0;  // unacknowledged or unsynced log bytes left out at open
};

enum class Notice : std::uint8_t {
  kFlush,
  kCompaction,
  kStall,
  kTornTail,
  kFallback,  // the system refuses what an option asks for, and the store does without; once in an open
  kError,
};

struct Hooks {
  // Called from the engine's threads when something happened; `text` is one line. Must return soon and not call the
  // engine.
  std::function<void(Notice notice, std::string_view text)> listener;
};

enum class OpenMode : std::uint8_t {
  kOpenOrCreate,
  kOpen,    // kNotFound if there is no store
  kCreate,  // kInvalidArgument if there is one, or the directory holds other files
};

// Thread-safe: any number of threads may call any method, except that close() and the destructor must come last.
class HDB_EXPORT Engine {
 public:
  // Opens the store in `directory` and replays its log. kBusy if another engine has it open; kCorruption names the
  // damaged file and offset; kUnsupported if a newer version wrote it. A torn log tail is cut and reported to
  // hooks.listener.
  static Result<std::unique_ptr<Engine>> open(const std::filesystem::path& directory, const Options& options,
                                              OpenMode mode = OpenMode::kOpenOrCreate, Hooks hooks = {});

  // Opens the store in `directory` without changing a byte of it, as for a backup that shall stay one, a full disk or a
  // read-only medium. Any number of processes may have it open so, while none has it open for writing (if the
  // file LOCK is there: one that was removed keeps nobody out). Errors as for
  // open(), kNotFound if there is no store. What the log holds is kept in memory, and was made durable; a torn tail is
  // left out and reported to hooks.listener. Calls that would change the store return kClosed.
  static Result<std::unique_ptr<Engine>> open_read_only(const std::filesystem::path& directory, const Options& options,
                                                        Hooks hooks = {});

  // Commits the batch atomically and returns when it is as durable as asked, visible to every later read. Waits while
  // memory or compaction debt is over its bound. kInvalidArgument if it is empty or over a limit; kConflict if an id
  // exists with other content (the message names its position); kNoSpace leaves the store as it was; kClosed after an
  // error of the log, with that error's text.
  Result<AppendResult> append(const Batch& batch);
  Result<AppendResult> append(std::span<const Event> events) {
    return append(Batch{.events = events, .changes = {}, .durability = {}});
  }
  Result<AppendResult> append(const Event& event) { return append(std::span<const Event>(&event, 1)); }

  // The same without waiting for it: for event loops, and to have many batches under way from one thread, which share
  // writes of the log. The batch is encoded before the call returns, so its views need not live on. Batches commit in
  // the order of their submission, except that one with a caller-made id that another append committed at the same
  // time comes later, with all its key-value changes. Errors that can be told at once are returned and not given to
  // `callback`, all others by both ticket and callback. Waits as append() does while memory or compaction debt is over
  // its bound, and while submissions hold 64 MiB; not for the latter when called by a callback.
  Result<AppendTicket> submit(const Batch& batch, AppendCallback callback = {});

  // kLost if the event was damaged and the store is the copy that a repair made; queries leave such positions out. An
  // engine-made id names its position, a caller-made id that was lost is absent.
  Result<std::optional<StoredEvent>> get(Position position, const Snapshot* at = nullptr) const;
  Result<std::optional<StoredEvent>> get(const EventId& id, const Snapshot* at = nullptr) const;
  Result<EventCursor> query(const Query& query, const Snapshot* at = nullptr) const;

  // The keyspace called `name` (1..255 B), created durably if the store has none.
  Result<Keyspace> keyspace(std::string_view name);
  // The existing ones, by name; none if memory runs out.
  std::vector<std::pair<std::string, Keyspace>> keyspaces() const;
  Status put(Keyspace keyspace, ByteView key, ByteView value);
  Status erase(Keyspace keyspace, ByteView key);
  Result<std::optional<Value>> get(Keyspace keyspace, ByteView key, const Snapshot* at = nullptr) const;
  Result<KeyCursor> scan(Keyspace keyspace, const KeyRange& range, const Snapshot* at = nullptr) const;

  Result<Snapshot> snapshot() const;

  Status sync();     // makes every acknowledged append durable
  Status flush();    // memtables to table files; returns when they are durable
  Status compact();  // merges until there is nothing left to merge
  // Makes `directory` a copy of the store as of now, or of a little later, while appends go on: what was appended
  // before the call is in it. A new directory, or an earlier backup of this store, of which sound tables are kept.
  // Should it fail or be interrupted, the directory is what it was: run it again. kInvalidArgument if it holds anything
  // else.
  Result<BackupReport> backup(const std::filesystem::path& directory, BackupMode mode = BackupMode::kLink);
  Stats stats() const;           // all zero after close(), or if memory runs out
  std::string store_id() const;  // a UUID, made at creation; empty if memory runs out

  // Finishes submitted appends, taking no more of them, and running work, flushes, and reports the first background
  // error, if any. kBusy while cursors or snapshots live, with the engine still open. The destructor closes too, but
  // cannot report.
  Status close();
  ~Engine();

  explicit Engine(std::shared_ptr<Store> store) noexcept;  // internal

 private:
  std::shared_ptr<Store> store_;
};

}  // namespace hdb
