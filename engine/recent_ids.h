// engine/recent_ids.h: the caller-made ids committed lately, for the ordered step's recheck.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>

#include <hdb/event.h>

#include "base/ids.h"

namespace hdb {

// An append looks its ids up before it queues, in its own thread; what is committed between that look-up and its turn
// is checked here. Bounded: of appends that looked too long ago it says so, and they look again. Single-owner: the
// holder of the log.
class RecentIds {
 public:
  // The group's ids are in the log up to `group_end`.
  void add(std::span<const EventId> ids, SequenceNumber group_end);

  // Empty if none of `ids` was committed at or after `looked_up_to`; else the sequence end to wait for before looking
  // again.
  std::optional<SequenceNumber> conflict(std::span<const EventId> ids, SequenceNumber looked_up_to) const;

 private:
  static constexpr std::size_t kIdsMax = 1u << 16;

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
