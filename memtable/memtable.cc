#include "memtable/memtable.h"

#include <utility>

namespace hdb {

namespace {

// Single-owner.
class MemTableIterator final : public EntryIterator {
 public:
  explicit MemTableIterator(const SkipList<KeyItem>& keys) noexcept : keys_(keys) {}

  bool seek_to_first() override { return move_to(keys_.first()); }
  bool seek_to_last() override { return move_to(keys_.last()); }
  bool seek(ByteView key, SequenceNumber sequence) override {
    return move_to(keys_.first_at_or_after(KeyProbe::of(key, sequence)));
  }
  bool next() override { return node_ != nullptr && move_to(node_->next()); }
  bool previous() override { return node_ != nullptr && move_to(keys_.last_before(node_->item().probe())); }
  const Entry& entry() const override { return entry_; }
  Status status() const override { return {}; }

 private:
  bool move_to(const SkipList<KeyItem>::Node* node) noexcept {
    node_ = node;
    if (node_ == nullptr) return false;
    entry_ = node_->item().entry();
    return true;
  }

  const SkipList<KeyItem>& keys_;
  const SkipList<KeyItem>::Node* node_ = nullptr;  // null before the first move and past either end
  Entry entry_;
};

// The memory that `count` nodes with these heights take together.
template <typename Item>
std::size_t nodes_bytes(TowerHeights heights, std::size_t count) noexcept {
  std::size_t bytes = 0;
  for (; count > 0; --count) bytes += SkipList<Item>::node_bytes(heights.next());
  return bytes;
}

}  // namespace

MemTable::MemTable(SequenceNumber first_sequence, Position first_position)
    : sequence_begin_(first_sequence), events_(arena_, first_position), keys_(arena_), ids_(arena_) {}

MemTable::~MemTable() {
  KeptBatch* batch = batches_.load(std::memory_order_acquire);
  while (batch != nullptr) delete std::exchange(batch, batch->next);
}

void MemTable::add(EncodedBatch encoded, SequenceNumber first_sequence, Position first_position,
                   Timestamp commit_time) {
  KeyInserter inserter(keys_);
  take_over(std::move(encoded), first_sequence, first_position, commit_time, inserter);
}

void MemTable::add_in_turn(EncodedBatch encoded, SequenceNumber first_sequence, Position first_position,
                           Timestamp commit_time) {
  take_over(std::move(encoded), first_sequence, first_position, commit_time, in_turn_);
}

void MemTable::take_over(EncodedBatch encoded, SequenceNumber first_sequence, Position first_position,
                         Timestamp commit_time, KeyInserter& inserter) {
  HDB_CHECK(first_sequence >= sequence_begin_);
  auto* const kept = new KeptBatch{std::move(encoded), batches_.load(std::memory_order_relaxed)};
  // Release, for the destructor's acquire: the link and the bytes are complete.
  while (!batches_.compare_exchange_weak(kept->next, kept, std::memory_order_release, std::memory_order_relaxed)) {
  }
  const BatchView batch = BatchView::trusted(kept->batch.bytes());

  std::size_t bytes = sizeof(KeptBatch) + kept->batch.bytes().size();
  if (batch.event_count() > 0) {
    const std::size_t index_bytes = add_events(batch, first_position, commit_time);
    bytes += index_bytes;
    event_bytes_.fetch_add(batch.event_bytes() + index_bytes, std::memory_order_relaxed);
    event_count_.fetch_add(batch.event_count(), std::memory_order_relaxed);
  }
  if (batch.change_count() > 0) {
    const SequenceNumber first_change(first_sequence.raw() + batch.event_count());
    const std::size_t index_bytes = add_changes(batch, first_change, inserter);
    bytes += index_bytes;
    change_bytes_.fetch_add(batch.change_bytes() + index_bytes, std::memory_order_relaxed);
    change_count_.fetch_add(batch.change_count(), std::memory_order_relaxed);
  }
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
}

std::size_t MemTable::add_events(const BatchView& batch, Position first_position, Timestamp commit_time) {
  std::size_t bytes = events_.add(batch, first_position, commit_time);
  SkipList<IdItem>::Inserter inserter(ids_);
  TowerHeights heights(first_position);
  Position position = first_position;
  batch.for_each_record([&](const RecordView& record) {
    if (record.has_caller_id()) {
      const int height = heights.next();
      const std::size_t node_bytes = SkipList<IdItem>::node_bytes(height);
      inserter.insert({record.id(position).bytes(), position}, height, arena_.allocate(node_bytes));
      bytes += node_bytes;
    }
    ++position;
  });
  return bytes;
}

std::size_t MemTable::add_changes(const BatchView& batch, SequenceNumber first_sequence, KeyInserter& inserter) {
  TowerHeights heights(first_sequence.raw());
  // One piece of the arena for the whole batch: threads meet at its counter once per batch, and neighbours in key order
  // are neighbours in memory.
  const std::size_t bytes = nodes_bytes<KeyItem>(heights, batch.change_count());
  std::byte* memory = arena_.allocate(bytes);
  SequenceNumber sequence = first_sequence;
  batch.for_each_change([&](const BatchView::Change& change) {
    const int height = heights.next();
    inserter.insert(KeyItem(change, sequence), height, memory);
    memory += SkipList<KeyItem>::node_bytes(height);
    sequence = sequence.next();
  });
  return bytes;
}

StoredRecord MemTable::event(Position position) const noexcept {
  return {events_.record(position), events_.commit_time(position)};
}

std::optional<Position> MemTable::find_id(const EventId& id, Position end) const noexcept {
  const auto* const node = ids_.first_at_or_after(IdItem{id.bytes(), 0});
  if (node == nullptr || node->item().id != id.bytes() || node->item().position >= end) return std::nullopt;
  return node->item().position;
}

std::optional<Entry> MemTable::find(ByteView stored_key, SequenceNumber at) const noexcept {
  const auto* const node = keys_.first_at_or_after(KeyProbe::of(stored_key, at));
  if (node == nullptr) return std::nullopt;
  const Entry entry = node->item().entry();
  if (!equal_bytes(entry.key, stored_key)) return std::nullopt;
  return entry;
}

ByteView MemTable::middle_key() const noexcept {
  const auto* const node = keys_.about_middle();
  return node == nullptr ? ByteView() : node->item().entry().key;
}

std::unique_ptr<EntryIterator> MemTable::entries() const {
  return std::make_unique<MemTableIterator>(keys_);
}

}  // namespace hdb
