#include "compaction/merge_iterator.h"

#include <algorithm>
#include <utility>

namespace hdb::compaction {

namespace {

// Invariant: while direction_ is forward, every source stands on its first entry behind the current one (or is at its
// end), but the current source, which stands on it; backward, on its last entry before. Sources with an entry are in
// heap_, the current one on top.
class MergeIterator final : public EntryIterator {
 public:
  explicit MergeIterator(std::vector<std::unique_ptr<EntryIterator>> sources) : sources_(std::move(sources)) {
    heap_.reserve(sources_.size());
  }

  bool seek_to_first() override {
    return start(Direction::kForward, [](EntryIterator& source) { return source.seek_to_first(); });
  }
  bool seek_to_last() override {
    return start(Direction::kBackward, [](EntryIterator& source) { return source.seek_to_last(); });
  }
  bool seek(ByteView key, SequenceNumber sequence) override {
    return start(Direction::kForward, [key, sequence](EntryIterator& source) { return source.seek(key, sequence); });
  }
  bool next() override { return move(Direction::kForward); }
  bool previous() override { return move(Direction::kBackward); }
  const Entry& entry() const override { return sources_[heap_.front()]->entry(); }
  Status status() const override { return status_; }

 private:
  enum class Direction : std::uint8_t { kForward, kBackward };

  // The order of sources that makes the top of a std heap the one with the next entry.
  struct LaterFirst {
    const MergeIterator& merge;
    bool operator()(std::size_t a, std::size_t b) const {
      const Entry& entry_a = merge.sources_[a]->entry();
      const Entry& entry_b = merge.sources_[b]->entry();
      const int order = compare_entries(entry_a.key, entry_a.sequence, entry_b.key, entry_b.sequence);
      const bool is_later = order != 0 ? order > 0 : a > b;
      return is_later == (merge.direction_ == Direction::kForward);
    }
  };

  template <typename Seek>
  bool start(Direction direction, Seek seek_source) {
    status_ = {};
    direction_ = direction;
    heap_.clear();
    for (std::size_t source = 0; source < sources_.size(); ++source) {
      if (!keep(source, seek_source(*sources_[source]))) return false;
    }
    rebuild();
    return !heap_.empty();
  }

  // Puts the source into the heap's storage if its move gave an entry. False on its error.
  bool keep(std::size_t source, bool has_entry) {
    if (has_entry) {
      heap_.push_back(source);
      return true;
    }
    status_ = sources_[source]->status();
    if (!status_.ok()) heap_.clear();
    return status_.ok();
  }

  bool move(Direction direction) {
    if (heap_.empty()) return false;
    if (direction != direction_ && !turn(direction)) return false;
    std::pop_heap(heap_.begin(), heap_.end(), LaterFirst{*this});
    const std::size_t source = heap_.back();
    heap_.pop_back();
    const bool has_entry = direction == Direction::kForward ? sources_[source]->next() : sources_[source]->previous();
    if (!keep(source, has_entry)) return false;
    if (has_entry) std::push_heap(heap_.begin(), heap_.end(), LaterFirst{*this});
    return !heap_.empty();
  }

  // Brings all sources but the current one to the other side of the current entry.
  bool turn(Direction direction) {
    const std::size_t current = heap_.front();
    const Entry at = entry();  // the current source does not move: its views stay
    direction_ = direction;
    heap_.clear();
    for (std::size_t source = 0; source < sources_.size(); ++source) {
      EntryIterator& moved = *sources_[source];
      bool has_entry = source == current || moved.seek(at.key, at.sequence);
      if (source != current) {
        if (!has_entry && !moved.status().ok()) return keep(source, false);
        // Of equal entries those of earlier sources come first.
        const bool is_before = has_entry && source < current &&
                               compare_entries(moved.entry().key, moved.entry().sequence, at.key, at.sequence) == 0;
        if (direction == Direction::kForward && is_before) has_entry = moved.next();
        if (direction == Direction::kBackward && !is_before)
          has_entry = has_entry ? moved.previous() : moved.seek_to_last();
      }
      if (!keep(source, has_entry)) return false;
    }
    rebuild();
    return true;
  }

  void rebuild() { std::make_heap(heap_.begin(), heap_.end(), LaterFirst{*this}); }

  std::vector<std::unique_ptr<EntryIterator>> sources_;
  std::vector<std::size_t> heap_;
  Direction direction_ = Direction::kForward;
  Status status_;
};

// Invariant: entries_ is of tables_[index_], or null at either end.
class ConcatenatingIterator final : public EntryIterator {
 public:
  ConcatenatingIterator(sstable::TableCache& cache, std::vector<TableRef> tables, sstable::ReadOptions options)
      : cache_(cache), tables_(std::move(tables)), options_(options) {}

  bool seek_to_first() override { return open(0) && first_from_here(entries_->seek_to_first()); }
  bool seek_to_last() override { return open(tables_.size() - 1) && last_from_here(entries_->seek_to_last()); }
  bool seek(ByteView key, SequenceNumber sequence) override {
    const auto at = std::lower_bound(tables_.begin(), tables_.end(), key, [](const TableRef& table, ByteView wanted) {
      return compare_bytes(bytes_of(table->largest_key), wanted) < 0;
    });
    return open(static_cast<std::size_t>(at - tables_.begin())) && first_from_here(entries_->seek(key, sequence));
  }
  bool next() override { return entries_ != nullptr && first_from_here(entries_->next()); }
  bool previous() override { return entries_ != nullptr && last_from_here(entries_->previous()); }
  const Entry& entry() const override { return entries_->entry(); }
  Status status() const override { return status_; }

 private:
  // False if there is no such table (below 0 wraps around), or on an error.
  bool open(std::size_t index) {
    status_ = {};
    if (index >= tables_.size()) {
      entries_.reset();
      return false;
    }
    if (entries_ != nullptr && index == index_) return true;
    entries_.reset();
    auto table = cache_.get_keys(*tables_[index]);
    if (!table.ok()) {
      status_ = table.status();
      return false;
    }
    entries_ = table.value()->entries(options_);
    index_ = index;
    return true;
  }

  bool first_from_here(bool has_entry) {
    while (!has_entry) {
      if (!take_status() || !open(index_ + 1)) return false;
      has_entry = entries_->seek_to_first();
    }
    return true;
  }

  bool last_from_here(bool has_entry) {
    while (!has_entry) {
      if (!take_status() || !open(index_ - 1)) return false;
      has_entry = entries_->seek_to_last();
    }
    return true;
  }

  bool take_status() {
    status_ = entries_->status();
    if (!status_.ok()) entries_.reset();
    return status_.ok();
  }

  sstable::TableCache& cache_;
  const std::vector<TableRef> tables_;
  const sstable::ReadOptions options_;
  std::size_t index_ = 0;
  std::unique_ptr<EntryIterator> entries_;
  Status status_;
};

}  // namespace

std::unique_ptr<EntryIterator> merge(std::vector<std::unique_ptr<EntryIterator>> sources) {
  if (sources.size() == 1) return std::move(sources.front());
  return std::make_unique<MergeIterator>(std::move(sources));
}

std::unique_ptr<EntryIterator> concatenate(sstable::TableCache& tables, std::vector<TableRef> level,
                                           sstable::ReadOptions options) {
  return std::make_unique<ConcatenatingIterator>(tables, std::move(level), options);
}

}  // namespace hdb::compaction
