// engine/recent_ids.h: the caller-made ids committed lately, for the ordered step's recheck.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>

#include <hdb/event.h>

#include "base/ids.h"
#include "base/mutex.h"

namespace hdb {

// The look-ups of ids that go on now: what is committed meanwhile has to be remembered for them. Thread-safe.
class LookUps {
 public:
  // Registered until destroyed. Single-owner.
  class LookUp {
   public:
    LookUp() noexcept = default;
    LookUp(LookUp&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)), place_(other.place_) {}
    LookUp& operator=(LookUp&& other) noexcept {
      std::swap(owner_, other.owner_);
      std::swap(place_, other.place_);
      return *this;
    }
    ~LookUp() {
      if (owner_ != nullptr) owner_->end(place_);
    }

   private:
    friend class LookUps;
    LookUps* owner_ = nullptr;
    std::multiset<SequenceNumber>::iterator place_;
  };

  // A look-up that sees at least what is below `published`.
  LookUp begin(SequenceNumber published) HDB_EXCLUDES(mutex_) {
    LookUp look_up;
    MutexLock lock(mutex_);
    look_up.place_ = running_.insert(published);
    look_up.owner_ = this;
    return look_up;
  }
  // Every look-up going on now sees what is below this.
  SequenceNumber oldest() const HDB_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return running_.empty() ? SequenceNumber(~0ull) : *running_.begin();
  }

 private:
  void end(std::multiset<SequenceNumber>::iterator place) noexcept HDB_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    running_.erase(place);
  }

  mutable Mutex mutex_;
  std::multiset<SequenceNumber> running_ HDB_GUARDED_BY(mutex_);
};

// An append looks its ids up before it queues, in its own thread; what is committed between that look-up and its turn
// is checked here. It remembers a bounded number of ids, and beyond that those a running look-up may have missed.
// Single-owner: the holder of the log.
class RecentIds {
 public:
  static constexpr std::size_t kIdsMax = 1u << 16;  // remembered in any case

  // The group's ids are in the log up to `group_end`; no running look-up began before `oldest_look_up`.
  void add(std::span<const EventId> ids, SequenceNumber group_end, SequenceNumber oldest_look_up);

  // Empty if none of `ids` was committed at or after `looked_up_to`; else the sequence end to wait for before looking
  // again.
  std::optional<SequenceNumber> conflict(std::span<const EventId> ids, SequenceNumber looked_up_to) const;

 private:
  struct Hash {
    std::size_t operator()(const EventId& id) const noexcept;
  };
  struct Committed {
    EventId id;
    SequenceNumber group_end;
  };

  std::deque<Committed> order_;                             // oldest first
  std::unordered_map<EventId, SequenceNumber, Hash> ends_;  // of the newest commit of each id
  SequenceNumber forgotten_end_;  // ids of groups ending at or below this may have been dropped
};

}  // namespace hdb
