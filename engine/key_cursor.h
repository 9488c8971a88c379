// engine/key_cursor.h: walks one keyspace as of a moment, over memtables and tables.
#pragma once

#include <memory>
#include <optional>

#include <hdb/engine.h>

#include "base/bytes.h"
#include "base/entry_iterator.h"
#include "engine/store.h"
#include "engine/visibility.h"

namespace hdb {

// The stored key of a user's key: the keyspace's number, big-endian, in front.
Buffer stored_key(Keyspace keyspace, ByteView key);

// Every source of `view` that may hold keys of [lower, upper] as one iterator in entry order. What it points into lives
// as long as `view` and the result.
Result<std::unique_ptr<EntryIterator>> merged_entries(Store& store, const ReadView& view, ByteView lower,
                                                      ByteView upper);

// Single-owner. Moves to the current view when the one it walks is replaced, so that a forgotten cursor holds no
// memtable that has been flushed longer than until its next call; its pin keeps compaction from taking the versions it
// may still meet.
class KeyCursor::Impl {
 public:
  Impl(std::shared_ptr<Store> store, std::shared_ptr<const Snapshot::Pin> pin, Keyspace keyspace,
       const KeyRange& range);

  Result<std::optional<KeyValue>> next();

 private:
  Status reposition();
  Status step_forward();
  Status step_backward();
  bool is_in_range(ByteView key) const;

  std::shared_ptr<Store> store_;
  std::shared_ptr<const Snapshot::Pin> pin_;
  SequenceNumber at_;
  Buffer lower_;                 // stored key, included
  std::optional<Buffer> upper_;  // stored key, not included; absent: no bound
  bool is_backward_;
  bool is_done_ = false;

  std::shared_ptr<const ReadView> view_;
  std::uint64_t generation_ = 0;
  std::unique_ptr<EntryIterator> entries_;
  bool is_on_entry_ = false;  // entries_ stands on an entry not looked at yet

  std::optional<Buffer> last_key_;  // stored key of the last result
  Buffer key_;                      // of the result
  Buffer value_;
  bool has_result_ = false;
};

}  // namespace hdb
