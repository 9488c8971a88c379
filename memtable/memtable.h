// memtable/memtable.h: what was committed and not yet flushed, in memory, readable while it grows.
//
// Three structures over the bytes of the batches, which the memtable takes over and never copies: events by position
// in chunks of columns (memtable/event_columns.h), key-value changes in a skip list by (stored key, sequence
// descending), and caller-made ids in a second skip list.
//
// Which of it may be read is the caller's knowledge: the engine publishes an end of positions and a sequence number,
// with release, after add() returned, and readers acquire them and ask for nothing beyond. Changes may be iterated at
// any time: those not published have sequence numbers above the reader's own.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/batch.h"
#include "base/entry_iterator.h"
#include "base/ids.h"
#include "base/postings.h"
#include "base/record.h"
#include "memtable/event_columns.h"
#include "memtable/key_index.h"
#include "memtable/skip_list.h"

namespace hdb {

// An event as the memtable has it: views into the memtable.
struct StoredRecord {
  RecordView record;
  Timestamp commit_time;
};

// Thread-safe: add() for different batches, and all reads, at once. The views it returns, and its iterators, must not
// outlive it.
class MemTable {
 public:
  // Everything added later has a sequence number and a position at or above these.
  MemTable(SequenceNumber first_sequence, Position first_position);
  ~MemTable();
  MemTable(const MemTable&) = delete;
  MemTable& operator=(const MemTable&) = delete;

  // Takes the batch over. Its events have consecutive positions and sequence numbers from those given, its changes the
  // following sequence numbers. After std::bad_alloc the batch may be there in part: such a memtable must not be
  // published beyond the batches before, nor added to.
  void add(EncodedBatch batch, SequenceNumber first_sequence, Position first_position, Timestamp commit_time);
  // The same by one thread at a time, each after the last, also while others add(): fastest where keys ascend from
  // batch to batch.
  void add_in_turn(EncodedBatch batch, SequenceNumber first_sequence, Position first_position, Timestamp commit_time);

  // Memory in use: the batches, and what indexes them. Grows with every add; cheap.
  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  // Of these, for events and for changes.
  std::uint64_t event_bytes() const noexcept { return event_bytes_.load(std::memory_order_relaxed); }
  std::uint64_t change_bytes() const noexcept { return change_bytes_.load(std::memory_order_relaxed); }
  std::uint64_t event_count() const noexcept { return event_count_.load(std::memory_order_relaxed); }
  std::uint64_t change_count() const noexcept { return change_count_.load(std::memory_order_relaxed); }
  bool is_empty() const noexcept { return event_count() == 0 && change_count() == 0; }
  SequenceNumber sequence_begin() const noexcept { return sequence_begin_; }
  Position position_begin() const noexcept { return events_.position_begin(); }

  // The event at a published position, at or above position_begin().
  StoredRecord event(Position position) const noexcept;

  // The published positions in [begin, end) whose columns match, relative to position_begin(). A superset of the events
  // that match: texts are compared by 32-bit hash, times exactly.
  PositionSet candidates(const ColumnFilter& filter, Position begin, Position end) const {
    return events_.candidates(filter, begin, end);
  }

  // The first position below `end` whose event has this caller-made id.
  std::optional<Position> find_id(const EventId& id, Position end) const noexcept;

  // The newest version of the key with a sequence number at or below `at`, tombstones included.
  std::optional<Entry> find(ByteView stored_key, SequenceNumber at) const noexcept;

  // A key with about half of all changes before it; empty if there are none.
  ByteView middle_key() const noexcept;

  // All changes in entry order; those added during the walk may or may not be met.
  std::unique_ptr<EntryIterator> entries() const;

 private:
  // Keeps a batch's bytes alive; a link of a list that only grows.
  struct KeptBatch {
    EncodedBatch batch;
    KeptBatch* next;
  };

  using KeyInserter = SkipList<KeyItem>::Inserter;

  void take_over(EncodedBatch encoded, SequenceNumber first_sequence, Position first_position, Timestamp commit_time,
                 KeyInserter& inserter);
  std::size_t add_events(const BatchView& batch, Position first_position, Timestamp commit_time);
  std::size_t add_changes(const BatchView& batch, SequenceNumber first_sequence, KeyInserter& inserter);

  const SequenceNumber sequence_begin_;
  Arena arena_;  // nodes and tag hashes; before what points into it
  EventColumns events_;
  SkipList<KeyItem> keys_;
  KeyInserter in_turn_{keys_};  // of whose turn it is
  SkipList<IdItem> ids_;
  std::atomic<KeptBatch*> batches_ = nullptr;  // pushed by add(); walked by the destructor alone
  // Counters: add() to any reader. Relaxed: nothing else is read on the strength of them.
  std::atomic<std::uint64_t> bytes_ = 0;
  std::atomic<std::uint64_t> event_bytes_ = 0;
  std::atomic<std::uint64_t> change_bytes_ = 0;
  std::atomic<std::uint64_t> event_count_ = 0;
  std::atomic<std::uint64_t> change_count_ = 0;
};

}  // namespace hdb
