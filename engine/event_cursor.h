// engine/event_cursor.h: a query's results in the order asked for, up to its limit.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <hdb/engine.h>

#include "engine/event_walk.h"
#include "engine/query_plan.h"
#include "engine/resume_token.h"
#include "engine/store.h"

namespace hdb {

// Single-owner.
class EventCursor::Impl {
 public:
  static Result<std::unique_ptr<Impl>> make(std::shared_ptr<Store> store, std::shared_ptr<const Snapshot::Pin> pin,
                                            const Query& query);

  Result<std::optional<StoredEvent>> next();
  Result<std::size_t> next_batch(std::size_t max, std::vector<StoredEvent>& events);
  Result<std::string> resume_token() const;

 private:
  // An event of a query ordered by time: what ordering it takes.
  struct Dated {
    Timestamp time;
    Position position;
  };

  Impl(std::shared_ptr<Store> store, std::shared_ptr<const Snapshot::Pin> pin, QueryPlan plan, ResumeToken token);
  bool is_by_time() const noexcept;
  bool comes_before(const Dated& a, const Dated& b) const noexcept;
  Result<std::optional<FoundEvent>> next_found();
  // All matches, or the first `limit` of them, in time order. 16 bytes each.
  Status collect_by_time();

  std::shared_ptr<Store> store_;
  std::shared_ptr<const Snapshot::Pin> pin_;
  std::unique_ptr<QueryPlan> plan_;  // of constant address: walk_ refers to it
  ResumeToken token_;                // of the last event returned
  std::uint64_t returned_ = 0;
  bool is_done_ = false;
  std::optional<EventWalk> walk_;
  std::optional<std::vector<Dated>> by_time_;
  std::size_t next_by_time_ = 0;
};

}  // namespace hdb
