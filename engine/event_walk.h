// engine/event_walk.h: the events that match a plan, in position order, over memtables and tables.
#pragma once

#include <memory>
#include <optional>

#include "engine/query_plan.h"
#include "engine/store.h"

namespace hdb {

// Single-owner. Looks at one memtable or table at a time, and at the current view each time it goes on to the next: so
// a walk that rests holds at most one memtable that has been flushed, and only until its next step.
class EventWalk {
 public:
  enum class Direction : std::uint8_t { kAscending, kDescending };

  // Over the positions of [begin, end), all published. `plan` must outlive the walk.
  EventWalk(std::shared_ptr<Store> store, QueryPlan& plan, Position begin, Position end, Direction direction);
  ~EventWalk();
  EventWalk(EventWalk&&) noexcept;

  Result<std::optional<FoundEvent>> next();

 private:
  class Source;
  class MemTableSource;
  class TableSource;

  // The memtable or table that holds the next position, with what of it is left to walk.
  Result<std::unique_ptr<Source>> open_source();

  std::shared_ptr<Store> store_;
  QueryPlan* plan_;
  Position begin_;  // what is left: [begin_, end_)
  Position end_;
  Direction direction_;
  std::unique_ptr<Source> source_;
};

}  // namespace hdb
