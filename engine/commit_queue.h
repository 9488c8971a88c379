// engine/commit_queue.h: who writes the log: one leader at a time, for everyone who is waiting.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
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

// One append on its way through the log. Owned by its caller, or by a Submission; from entering the queue until it was
// led the leader alone touches it.
struct PendingAppend {
  enum class Outcome : std::uint8_t {
    kWritten,  // in the log: whoever finds `is_applied` false applies it to `memtable`
    kRetry,    // an id was committed since the caller looked: look again after `retry_after` is published
    kFailed,   // `error` says why
  };

  EncodedBatch batch;  // empty: a request to sync
  Durability durability = Durability::kSync;
  bool is_submitted = false;     // its leader applies it: flushes wait for that, and its finisher may wait for a flush
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
  bool is_applied = false;
};

// Leader election among waiting appends: the first to wait while a group is being written leads the next one, and takes
// along everyone who has come by the time that one is done, so a group is as large as the last one was slow.
// Thread-safe.
class CommitQueue {
 public:
  // Where an append is in the queue.
  using Place = std::uint32_t;  // the number of its group; wraps around

  // Runs in the leader's thread, by one thread at a time; calls take() once, settles the outcome of all it took, and
  // does not throw. Returns whether the next leader should wait for this one's group to come back, for a moment: so it
  // should where waking them is cheap beside writing a group.
  using Lead = std::function<bool()>;

  // Adds `pending`, which is led when somebody waits. Throws std::bad_alloc.
  Place enter(PendingAppend& pending) HDB_EXCLUDES(mutex_);
  // Returns when what entered at `place` was led: by this caller, if nobody else does.
  void wait(Place place, const Lead& lead) noexcept HDB_EXCLUDES(mutex_);
  // Both.
  void run(PendingAppend& pending, const Lead& lead) HDB_EXCLUDES(mutex_);

  // The appends waiting now, in order, the leader's first. For `lead` only.
  std::span<PendingAppend* const> take() noexcept;

  // How many wait to be led.
  std::size_t waiting() const;

 private:
  using GroupNumber = Place;

  void lead_group(GroupNumber group, const Lead& lead) noexcept;
  void wait_for(GroupNumber group, const std::atomic<GroupNumber>& newest) noexcept;
  void gather() noexcept;
  template <typename IsOver>
  bool yield_until(IsOver is_over, std::chrono::nanoseconds longest) noexcept;

  mutable Mutex mutex_;
  std::vector<PendingAppend*> waiting_ HDB_GUARDED_BY(mutex_);
  GroupNumber open_group_ HDB_GUARDED_BY(mutex_) = 1;  // which those waiting belong to
  bool has_leader_ HDB_GUARDED_BY(mutex_) = false;     // the open group
  // The newest groups done, of even and of odd numbers: callers of at most two groups wait at a time, each on a word of
  // its own. Release after the outcomes were written, acquire by who waits for one.
  std::array<std::atomic<GroupNumber>, 2> done_ = {0, ~GroupNumber{0}};
  // The newest group that its leader is done with: release by that one, acquire by the next.
  std::atomic<GroupNumber> led_ = 0;
  // The leader's alone, handed over through led_.
  std::vector<PendingAppend*> group_;
  bool is_to_gather_ = false;
  bool is_alone_ = true;  // the last leader was
  // Hints, relaxed: whether the last group was written fast, and how many waits go without yielding.
  std::atomic<bool> is_brisk_ = false;
  std::atomic<std::uint32_t> waits_without_yielding_ = 0;
};

}  // namespace hdb
