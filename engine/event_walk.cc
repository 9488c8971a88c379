#include "engine/event_walk.h"

#include <algorithm>

#include "sstable/event_table.h"

namespace hdb {

// The candidates of one memtable or table. `begin` and `end` are what it covers of the walk.
class EventWalk::Source {
 public:
  Source(Position begin, Position end) noexcept : begin_(begin), end_(end) {}
  virtual ~Source() = default;
  // The next candidate; empty at the end. Its record lives until the next call, or as long as a pin().
  virtual Result<std::optional<sstable::EventRecord>> next() = 0;
  virtual std::shared_ptr<const void> pin() const = 0;
  // Whether the current view no longer holds it, though it might hold memory: a memtable that has been flushed.
  virtual bool is_stale(const Store& store) const = 0;
  Position begin() const noexcept { return begin_; }
  Position end() const noexcept { return end_; }

 private:
  Position begin_;
  Position end_;
};

class EventWalk::MemTableSource final : public Source {
 public:
  MemTableSource(std::shared_ptr<MemTable> memtable, std::uint64_t generation, const QueryPlan& plan, Position begin,
                 Position end, Direction direction)
      : Source(begin, end),
        memtable_(std::move(memtable)),
        generation_(generation),
        candidates_(plan.candidates(*memtable_, begin, end)),
        direction_(direction) {
    if (direction_ == Direction::kDescending) cursor_ = end - memtable_->position_begin();
  }

  Result<std::optional<sstable::EventRecord>> next() override {
    std::optional<std::uint32_t> found;
    if (direction_ == Direction::kAscending) {
      found = candidates_.next_at_or_after(static_cast<std::uint32_t>(cursor_));
      if (found) cursor_ = std::uint64_t{*found} + 1;
    } else if (cursor_ > 0) {
      found = candidates_.previous_at_or_before(static_cast<std::uint32_t>(cursor_ - 1));
      if (found) cursor_ = *found;
    }
    if (!found) return std::optional<sstable::EventRecord>();
    const Position position = memtable_->position_begin() + *found;
    const StoredRecord stored = memtable_->event(position);
    return std::optional<sstable::EventRecord>({position, stored.commit_time, stored.record});
  }

  std::shared_ptr<const void> pin() const override { return memtable_; }
  bool is_stale(const Store& store) const override { return store.generation() != generation_; }

 private:
  std::shared_ptr<MemTable> memtable_;
  std::uint64_t generation_;
  PositionSet candidates_;
  Direction direction_;
  std::uint64_t cursor_ = 0;  // ascending: the next to look at; descending: one past it
};

class EventWalk::TableSource final : public Source {
 public:
  TableSource(Position begin, Position end, sstable::EventTable::Scanner scanner) noexcept
      : Source(begin, end), scanner_(std::move(scanner)) {}

  Result<std::optional<sstable::EventRecord>> next() override { return scanner_.next(); }
  std::shared_ptr<const void> pin() const override { return scanner_.pin(); }
  bool is_stale(const Store&) const override { return false; }

 private:
  sstable::EventTable::Scanner scanner_;
};

EventWalk::EventWalk(std::shared_ptr<Store> store, QueryPlan& plan, Position begin, Position end, Direction direction)
    : store_(std::move(store)), plan_(&plan), begin_(begin), end_(end), direction_(direction) {}
EventWalk::~EventWalk() = default;
EventWalk::EventWalk(EventWalk&&) noexcept = default;

Result<std::unique_ptr<EventWalk::Source>> EventWalk::open_source() {
  const std::uint64_t generation = store_->generation();
  const std::shared_ptr<const ReadView> view = store_->view();
  const bool is_ascending = direction_ == Direction::kAscending;
  const Position position = is_ascending ? begin_ : end_ - 1;

  Position memtable_end = end_;
  const auto memtable_source = [&](const std::shared_ptr<MemTable>& memtable) -> std::unique_ptr<Source> {
    return std::make_unique<MemTableSource>(memtable, generation, *plan_, std::max(begin_, memtable->position_begin()),
                                            std::min(end_, memtable_end), direction_);
  };
  if (position >= view->active->position_begin()) return memtable_source(view->active);
  for (auto sealed = view->sealed.rbegin(); sealed != view->sealed.rend(); ++sealed) {
    memtable_end = (*sealed)->position_end;
    if (position >= (*sealed)->table->position_begin()) return memtable_source((*sealed)->table);
  }

  const auto meta = view->version->event_table_at(position);
  HDB_CHECK(meta != nullptr);
  const Position begin = std::max(begin_, meta->position_begin);
  const Position end = std::min(end_, meta->position_end);
  PositionSet candidates;
  const auto table = HDB_TRY(store_->tables().get_events(*meta));
  if (plan_->may_match(*meta)) candidates = HDB_TRY(plan_->candidates(*table, begin, end));
  using Scanner = sstable::EventTable::Scanner;
  return std::unique_ptr<Source>(std::make_unique<TableSource>(
      begin, end,
      Scanner(table, std::move(candidates),
              is_ascending ? Scanner::Direction::kAscending : Scanner::Direction::kDescending)));
}

Result<std::optional<FoundEvent>> EventWalk::next() {
  const bool is_ascending = direction_ == Direction::kAscending;
  while (begin_ < end_) {
    if (source_ != nullptr && source_->is_stale(*store_)) source_.reset();
    if (source_ == nullptr) source_ = HDB_TRY(open_source());
    const auto candidate = HDB_TRY(source_->next());
    if (!candidate) {
      (is_ascending ? begin_ : end_) = is_ascending ? source_->end() : source_->begin();
      source_.reset();
      continue;
    }
    if (is_ascending) {
      begin_ = candidate->position + 1;
    } else {
      end_ = candidate->position;
    }
    if (HDB_TRY(plan_->matches(candidate->record, candidate->commit_time))) {
      return std::optional<FoundEvent>(
          FoundEvent{candidate->position, candidate->commit_time, candidate->record, source_->pin()});
    }
  }
  source_.reset();
  return std::optional<FoundEvent>();
}

}  // namespace hdb
