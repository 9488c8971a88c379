// memtable/key_index.h: what the memtable's two skip lists hold, and in which order.
#pragma once

#include <array>
#include <cstdint>

#include "base/batch.h"
#include "base/bytes.h"
#include "base/entry_iterator.h"
#include "base/ids.h"

namespace hdb {

// The first twelve bytes of a stored key, padded with zeros, as numbers: they decide most comparisons without touching
// the key. The keyspace prefix alone would leave four bytes of the user's key in one word.
struct KeyHead {
  std::uint32_t keyspace = 0;
  std::uint64_t user_key = 0;

  static constexpr std::size_t kBytes = 12;

  static KeyHead of(ByteView stored_key) noexcept {
    std::array<std::byte, kBytes> padded{};
    const std::size_t size = stored_key.size() < kBytes ? stored_key.size() : kBytes;
    if (size > 0) std::memcpy(padded.data(), stored_key.data(), size);
    return {load_be32(padded.data()), __builtin_bswap64(load<std::uint64_t>(padded.data() + 4))};
  }
};

// A place in entry order: stored key ascending, then sequence descending.
struct KeyProbe {
  KeyHead head;
  ByteView key;
  SequenceNumber sequence;

  static KeyProbe of(ByteView stored_key, SequenceNumber sequence) noexcept {
    return {KeyHead::of(stored_key), stored_key, sequence};
  }
};

// A key-value change in a batch that outlives the item. Immutable.
class KeyItem {
 public:
  using Probe = KeyProbe;

  KeyItem() noexcept = default;  // of a list's head
  KeyItem(const BatchView::Change& change, SequenceNumber sequence) noexcept
      : change_(change.start()), sequence_(sequence) {
    const KeyHead head = KeyHead::of(change.key);
    user_key_head_ = head.user_key;
    keyspace_ = head.keyspace;
  }

  Entry entry() const noexcept {
    const BatchView::Change change = BatchView::change_at(change_);
    return {change.key, sequence_, change.kind, change.value};
  }
  KeyProbe probe() const noexcept {
    return {{keyspace_, user_key_head_}, BatchView::change_at(change_).key, sequence_};
  }

  int compare(const KeyProbe& probe) const noexcept {
    if (keyspace_ != probe.head.keyspace) return keyspace_ < probe.head.keyspace ? -1 : 1;
    if (user_key_head_ != probe.head.user_key) return user_key_head_ < probe.head.user_key ? -1 : 1;
    return compare_entries(BatchView::change_at(change_).key, sequence_, probe.key, probe.sequence);
  }

 private:
  const std::byte* change_ = nullptr;  // where its encoding begins
  std::uint64_t user_key_head_ = 0;
  SequenceNumber sequence_;
  std::uint32_t keyspace_ = 0;
};

// The position of an event with a caller-made id. Ordered by id, then position. Immutable.
struct IdItem {
  using Probe = IdItem;

  std::array<std::uint8_t, 16> id{};
  Position position = 0;

  const IdItem& probe() const noexcept { return *this; }
  int compare(const IdItem& other) const noexcept {
    const int order = std::memcmp(id.data(), other.id.data(), id.size());
    if (order != 0) return order;
    return position < other.position ? -1 : (position > other.position ? 1 : 0);
  }
};

}  // namespace hdb
