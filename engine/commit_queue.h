// engine/commit_queue.h: who writes the log: one leader at a time, for everyone who is waiting.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <hdb/event.h>
#include <hdb/options.h>
#include <hdb/status.h>

#include "base/batch.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "memtable/memtable.h"

namespace hdb {

// One append on its way through the log. Owned by its caller's stack; between submission and the end of run() the
// leader alone touches it.
struct PendingAppend {
  enum class Outcome : std::uint8_t {
    kWritten,  // in the log: the caller applies it to `memtable`
    kRetry,    // an id was committed since the caller looked: look again after `retry_after` is published
    kFailed,   // `error` says why
  };

  EncodedBatch batch;  // empty: a request to sync
  Durability durability = Durability::kSync;
  std::span<const EventId> ids;  // caller-made, of the batch's events
  SequenceNumber looked_up_to;   // ids below this were looked up
  Outcome outcome = Outcome::kFailed;
  Status error;
  SequenceNumber retry_after;
  SequenceNumber first_sequence;  // of the batch
  Position first_position = 0;    // of the batch
  SequenceNumber group_end;       // the next sequence after its group
  Timestamp commit_time;
  std::shared_ptr<MemTable> memtable;

  CondVar signal;        // under the queue's mutex
  bool is_done = false;  // under the queue's mutex
};

// Leader election among waiting appends: the first in line leads, and takes along everyone who has queued by the time
// it holds the log, so a group is as large as the last one was slow. Thread-safe.
class CommitQueue {
 public:
  // Returns when `pending` was led by some caller. `lead` runs in the leader's thread, by one thread at a time; it
  // calls take() once, and settles the outcome of all it took.
  void run(PendingAppend& pending, const std::function<void()>& lead);

  // The appends waiting now, in order, the leader's first: as many as have `batch_bytes_max` together, and at least
  // one; the next in line leads the rest. For `lead` only.
  std::span<PendingAppend* const> take(std::uint64_t batch_bytes_max);

 private:
  Mutex mutex_;
  bool has_leader_ HDB_GUARDED_BY(mutex_) = false;
  std::deque<PendingAppend*> waiting_ HDB_GUARDED_BY(mutex_);
  std::vector<PendingAppend*> group_;  // the leader's alone, between take() and the end of run()
};

}  // namespace hdb
