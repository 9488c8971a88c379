#include "engine/event_cursor.h"

#include <algorithm>

namespace hdb {

Result<EventCursor> Store::query(const Query& query, const Snapshot* at) {
  auto pin = HDB_TRY(pin_for(at));
  return EventCursor(HDB_TRY(EventCursor::Impl::make(shared_from_this(), std::move(pin), query)));
}

Result<std::unique_ptr<EventCursor::Impl>> EventCursor::Impl::make(std::shared_ptr<Store> store,
                                                                   std::shared_ptr<const Snapshot::Pin> pin,
                                                                   const Query& query) {
  QueryPlan plan = HDB_TRY(QueryPlan::make(query));
  ResumeToken token{.store = store->id(), .epoch = store->epoch(), .query_fingerprint = plan.fingerprint()};
  if (!query.resume_token.empty()) {
    const ResumeToken given = HDB_TRY(ResumeToken::decode(query.resume_token));
    if (given.store != token.store) return Status::invalid_argument("resume token is of another store");
    if (given.query_fingerprint != token.query_fingerprint) {
      return Status::invalid_argument("resume token is of another query; repeat the query it came from");
    }
    if (given.epoch > token.epoch || (given.has_event && given.position >= pin->at().position_end)) {
      return Status::invalid_argument(
          "resume token is from beyond the end of this store: the store was put back to an "
          "earlier state; start without a token");
    }
    token.has_event = given.has_event;
    token.position = given.position;
    token.time = given.time;
  }
  return std::unique_ptr<Impl>(new Impl(std::move(store), std::move(pin), std::move(plan), token));
}

EventCursor::Impl::Impl(std::shared_ptr<Store> store, std::shared_ptr<const Snapshot::Pin> pin, QueryPlan plan,
                        ResumeToken token)
    : store_(std::move(store)),
      pin_(std::move(pin)),
      plan_(std::make_unique<QueryPlan>(std::move(plan))),
      token_(token) {
  const Position end = pin_->at().position_end;
  if (is_by_time()) return;
  if (plan_->query().order == Order::kPosition) {
    walk_.emplace(store_, *plan_, token_.has_event ? token_.position + 1 : 0, end, EventWalk::Direction::kAscending);
  } else {
    walk_.emplace(store_, *plan_, 0, token_.has_event ? token_.position : end, EventWalk::Direction::kDescending);
  }
}

bool EventCursor::Impl::is_by_time() const noexcept {
  return plan_->query().order == Order::kTime || plan_->query().order == Order::kTimeDescending;
}

bool EventCursor::Impl::comes_before(const Dated& a, const Dated& b) const noexcept {
  if (a.time != b.time) return plan_->query().order == Order::kTime ? a.time < b.time : a.time > b.time;
  return a.position < b.position;
}

Status EventCursor::Impl::collect_by_time() {
  const std::optional<std::uint64_t> limit = plan_->query().limit;
  const auto order = [this](const Dated& a, const Dated& b) { return comes_before(a, b); };
  const Dated last{token_.time, token_.position};
  std::vector<Dated> found;  // with a limit: a heap, its last in order on top
  EventWalk walk(store_, *plan_, 0, pin_->at().position_end, EventWalk::Direction::kAscending);
  while (const auto event = HDB_TRY(walk.next())) {
    const Dated dated{event->record.time(), event->position};
    if (token_.has_event && !comes_before(last, dated)) continue;
    if (!limit) {
      found.push_back(dated);
    } else if (found.size() < *limit) {
      found.push_back(dated);
      std::push_heap(found.begin(), found.end(), order);
    } else if (!found.empty() && comes_before(dated, found.front())) {
      std::pop_heap(found.begin(), found.end(), order);
      found.back() = dated;
      std::push_heap(found.begin(), found.end(), order);
    }
  }
  std::sort(found.begin(), found.end(), order);
  by_time_ = std::move(found);
  return {};
}

Result<std::optional<FoundEvent>> EventCursor::Impl::next_found() {
  if (!is_by_time()) return walk_->next();
  if (!by_time_) HDB_TRY(collect_by_time());
  if (next_by_time_ == by_time_->size()) return std::optional<FoundEvent>();
  const Position position = (*by_time_)[next_by_time_++].position;
  return std::optional<FoundEvent>(HDB_TRY(store_->fetch(*store_->view(), position)));
}

Result<std::optional<StoredEvent>> EventCursor::Impl::next() {
  HDB_TRY(store_->check_open());
  const std::optional<std::uint64_t> limit = plan_->query().limit;
  if (is_done_ || (limit && returned_ >= *limit)) return std::optional<StoredEvent>();
  is_done_ = true;  // unless it ends well: an exception must not leave a cursor that skips what it was at
  Result<std::optional<FoundEvent>> found = next_found();
  if (!found.ok() || !found.value()) {
    walk_.reset();
    if (!found.ok()) return found.status();
    return std::optional<StoredEvent>();
  }
  FoundEvent& event = *found.value();
  is_done_ = false;
  ++returned_;
  token_.has_event = true;
  token_.position = event.position;
  token_.time = event.record.time();
  return std::optional<StoredEvent>(
      StoredEvent(event.position, event.commit_time, event.record.bytes(), std::move(event.pin)));
}

Result<std::size_t> EventCursor::Impl::next_batch(std::size_t max, std::vector<StoredEvent>& events) {
  std::size_t count = 0;
  while (count < max) {
    // Before the event is taken, so that a vector that cannot grow loses none.
    if (events.size() == events.capacity()) events.reserve(std::max<std::size_t>(16, 2 * events.size()));
    auto event = HDB_TRY(next());
    if (!event) break;
    events.push_back(std::move(*event));
    ++count;
  }
  return count;
}

Result<std::string> EventCursor::Impl::resume_token() const {
  HDB_TRY(store_->check_open());
  // The token's meaning is everything up to here: none of it may be lost any more.
  HDB_TRY(store_->make_durable(pin_->at().position_end));
  return token_.encode();
}

}  // namespace hdb
