// engine/visibility.h: what readers see: which memtables and tables, and how much of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <vector>

#include <hdb/engine.h>

#include "base/ids.h"
#include "base/mutex.h"
#include "compaction/version.h"
#include "memtable/memtable.h"

namespace hdb {

// A memtable that takes no more batches and waits for its flush. Immutable, but for batches of before the sealing that
// are still being applied: the flush waits for those.
struct SealedMemTable {
  std::shared_ptr<MemTable> table;
  SequenceNumber next_sequence;  // where the following memtable begins
  Position position_end = 0;
  LogPoint log_end;  // where the log of the following memtable begins
  Timestamp last_commit_time;
};

// Everything a read consults. Immutable. Together its parts hold every committed event and change once.
struct ReadView {
  std::shared_ptr<MemTable> active;                           // takes the appends
  std::vector<std::shared_ptr<const SealedMemTable>> sealed;  // oldest first
  std::shared_ptr<const compaction::Version> version;
};

// How far commits are visible.
struct Published {
  SequenceNumber next_sequence{1};  // changes below are visible
  Position position_end = 0;        // events below are visible
};

class Visibility;

// A moment a reader holds on to: compaction keeps the key versions it can see. Immutable.
class Snapshot::Pin {
 public:
  Pin(std::shared_ptr<Visibility> visibility, Published at) noexcept : visibility_(std::move(visibility)), at_(at) {}
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;
  ~Pin();

  const Published& at() const noexcept { return at_; }
  const Visibility* owner() const noexcept { return visibility_.get(); }

 private:
  std::shared_ptr<Visibility> visibility_;
  Published at_;
};

// The current view and the published end of the contiguous prefix of applied commits. Thread-safe.
class Visibility : public std::enable_shared_from_this<Visibility> {
 public:
  struct Read {
    std::shared_ptr<const ReadView> view;
    Published at;
  };

  Visibility(std::shared_ptr<const ReadView> view, Published published)
      : view_(std::move(view)), published_(published), published_sequence_(published.next_sequence.raw()) {}

  // --- readers
  // The current view and what is published in it, taken together.
  Read read() const;
  // Registers the current moment until the last copy of the result is gone.
  std::shared_ptr<const Snapshot::Pin> pin();
  // The current view and nothing else, for a reader that brings its own moment.
  std::shared_ptr<const ReadView> view() const;
  // Changes whenever the view does: a reader that saw the same number has the current view.
  std::uint64_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }

  // --- writers
  // Announces the next commit group, in commit order, with its end and its number of batches.
  void open_slot(Published end, std::size_t batches);
  // One batch of the group that ends at `end` is in the memtable. Publishes what is now contiguous.
  void batch_applied(SequenceNumber end);
  // kOk when all below `end` is visible; the error of fail() if that came first.
  Status wait_published(SequenceNumber end);
  // A logged batch cannot be applied: nothing from it on will be published.
  void fail(const Status& error);

  // --- flush and compaction
  void install(std::shared_ptr<const ReadView> view);
  // The moments that must stay readable, ascending: the pinned ones, then the published end, as "visible if at most"
  // sequences.
  std::vector<SequenceNumber> held_sequences() const;
  std::size_t pin_count() const;

 private:
  friend class Snapshot::Pin;
  void unpin(SequenceNumber next_sequence) noexcept;

  struct Slot {
    Published end;
    std::size_t batches_left;
  };

  mutable Mutex mutex_;
  CondVar published_signal_;
  std::shared_ptr<const ReadView> view_ HDB_GUARDED_BY(mutex_);
  Published published_ HDB_GUARDED_BY(mutex_);
  // Of published_, for who only asks whether it has come: release in batch_applied(), acquire in wait_published().
  std::atomic<std::uint64_t> published_sequence_;
  std::deque<Slot> slots_ HDB_GUARDED_BY(mutex_);  // not yet published, in commit order
  Status failure_ HDB_GUARDED_BY(mutex_);
  std::multiset<SequenceNumber> pins_ HDB_GUARDED_BY(mutex_);  // next_sequence of each
  std::atomic<std::uint64_t> generation_{0};                   // release in install(), acquire in generation()
};

}  // namespace hdb
