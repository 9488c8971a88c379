// memtable/skip_list.h: an ordered set that many threads add to and read without a lock.
//
// Invariants
//   1. A node is linked only after its item and its own links are written: the compare-and-swap that links it releases,
//      every load of a link acquires. So a reader meets fully initialised nodes only.
//   2. Nodes are never unlinked or changed, and live as long as the list's arena.
//   3. The nodes linked at a level are, in order, a subset of those linked at the level below: nodes are linked from
//      level 0 up.
//   4. No two items are equal.
//
// W. Pugh, "Skip lists: a probabilistic alternative to balanced trees", CACM 33(6), 1990.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include <hdb/status.h>

#include "base/arena.h"
#include "base/seeded_defect.h"

namespace hdb {

// The heights of new nodes: each further level with probability 1/4, the cheapest share for searches. Single-owner.
// A copy gives the same heights again.
class TowerHeights {
 public:
  static constexpr int kHeightMax = 16;  // 4^16 nodes before the top level gets crowded

  explicit TowerHeights(std::uint64_t seed) noexcept : state_(seed) {}

  int next() noexcept {
    // SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every seed is good, so batches need no shared generator.
    std::uint64_t bits = (state_ += 0x9e3779b97f4a7c15);
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
    bits ^= bits >> 31;
    return std::min(kHeightMax, 1 + std::countr_zero(bits) / 2);
  }

 private:
  std::uint64_t state_;
};

// Item: what a node holds, with `using Probe`, `Probe probe() const` and `int compare(const Probe&) const` (<0, 0, >0).
//
// Thread-safe. Items are added through an Inserter, one per thread at a time.
template <typename Item>
class SkipList {
  static_assert(std::is_trivially_copyable_v<Item> && std::is_trivially_destructible_v<Item>);
  static_assert(alignof(Item) <= 8);

 public:
  using Probe = typename Item::Probe;

  class Node {
   public:
    const Item& item() const noexcept { return item_; }
    const Node* next() const noexcept { return link(0).load(std::memory_order_acquire); }

   private:
    friend SkipList;
    using Link = std::atomic<Node*>;

    explicit Node(const Item& item) noexcept : item_(item) {}
    // The tower of links lies right behind the node.
    Link& link(int level) noexcept { return reinterpret_cast<Link*>(this + 1)[level]; }
    const Link& link(int level) const noexcept { return reinterpret_cast<const Link*>(this + 1)[level]; }

    const Item item_;
  };

  // Nodes go to `arena`, which must outlive the list.
  explicit SkipList(Arena& arena) : head_(make_node(arena.allocate(node_bytes(kHeightMax)), Item{}, kHeightMax)) {}
  SkipList(const SkipList&) = delete;
  SkipList& operator=(const SkipList&) = delete;

  static constexpr std::size_t node_bytes(int height) noexcept {
    return sizeof(Node) + static_cast<std::size_t>(height) * sizeof(typename Node::Link);
  }

  // Adds items, fastest in ascending order: it remembers where the last one went. Single-owner.
  class Inserter {
   public:
    explicit Inserter(SkipList& list) noexcept : list_(list) {
      before_.fill(list.head_);
      after_.fill(nullptr);
    }

    // Adds an item that equals none in the list, as a node of `height` in `memory`, which is aligned to 8 and holds
    // node_bytes(height).
    void insert(const Item& item, int height, std::byte* memory) {
      list_.raise_to(height);
      Node* const node = make_node(memory, item, height);
      const Probe probe = item.probe();
      find_place(probe);
      for (int level = 0; level < height; ++level) {
        const auto at = static_cast<std::size_t>(level);
        while (true) {
          node->link(level).store(after_[at], std::memory_order_relaxed);
          Node* expected = after_[at];
          if (before_[at]->link(level).compare_exchange_strong(expected, node, std::memory_order_release,
                                                               std::memory_order_relaxed)) {
            break;
          }
          search_level(probe, level, before_[at]);  // another thread linked a node here first
        }
        before_[at] = node;
      }
    }

   private:
    // Makes before_ and after_ enclose the probe tightly at every level. Only levels where they no longer do, and those
    // below, are searched again.
    void find_place(const Probe& probe) noexcept {
      int level = 0;
      while (level < kHeightMax && !encloses(probe, level)) ++level;
      Node* from = level == kHeightMax ? list_.head_ : before_[static_cast<std::size_t>(level)];
      if (level == kHeightMax) level = list_.height_.load(std::memory_order_relaxed);
      while (--level >= 0) {
        search_level(probe, level, from);
        from = before_[static_cast<std::size_t>(level)];
      }
    }

    bool encloses(const Probe& probe, int level) const noexcept {
      const auto at = static_cast<std::size_t>(level);
      const Node* const before = before_[at];
      const Node* const after = after_[at];
      return before->link(level).load(std::memory_order_acquire) == after &&
             (before == list_.head_ || before->item().compare(probe) < 0) &&
             (after == nullptr || after->item().compare(probe) > 0);
    }

    // `from` is the head or before the probe.
    void search_level(const Probe& probe, int level, Node* from) noexcept {
      Node* next = from->link(level).load(std::memory_order_acquire);
      while (next != nullptr && next->item().compare(probe) < 0) {
        from = next;
        next = from->link(level).load(std::memory_order_acquire);
      }
      before_[static_cast<std::size_t>(level)] = from;
      after_[static_cast<std::size_t>(level)] = next;
    }

    SkipList& list_;
    // By level: nodes of the list around the last item; neighbours of each other when they were found.
    std::array<Node*, TowerHeights::kHeightMax> before_;
    std::array<Node*, TowerHeights::kHeightMax> after_;
  };

  // Null at the end of the list.
  const Node* first() const noexcept { return head_->next(); }

  const Node* last() const noexcept {
    const Node* node = head_;
    for (int level = height() - 1; level >= 0; --level) {
      while (const Node* next = node->link(level).load(std::memory_order_acquire)) node = next;
    }
    return node == head_ ? nullptr : node;
  }

  // A node about in the middle: the middle one of the highest level that has kSampleMin of them, or of all. Null if the
  // list is empty.
  const Node* about_middle() const noexcept {
    constexpr std::size_t kSampleMin = 256;  // a deviation of 3 %
    for (int level = height() - 1;; --level) {
      std::size_t count = 0;
      const Node* middle = head_;  // behind it half of what was counted
      for (const Node* node = head_; (node = node->link(level).load(std::memory_order_acquire)) != nullptr;) {
        if (count++ % 2 == 0) middle = middle->link(level).load(std::memory_order_acquire);
      }
      if (level == 0 || count >= kSampleMin) return middle == head_ ? nullptr : middle;
    }
  }

  const Node* first_at_or_after(const Probe& probe) const noexcept {
    const Node* node = before(probe)->next();
    // A node linked since then may still be before the probe.
    while (node != nullptr && node->item().compare(probe) < 0 && !HDB_SEEDED(take_a_newer_node_for_the_sought)) {
      node = node->next();
    }
    return node;
  }

  const Node* last_before(const Probe& probe) const noexcept {
    // A node linked behind it meanwhile does no harm: it came after the call.
    const Node* const node = before(probe);
    return node == head_ ? nullptr : node;
  }

 private:
  static constexpr int kHeightMax = TowerHeights::kHeightMax;

  static Node* make_node(std::byte* memory, const Item& item, int height) noexcept {
    Node* const node = new (memory) Node(item);
    for (int level = 0; level < height; ++level) new (&node->link(level)) typename Node::Link(nullptr);
    return node;
  }

  // The last node before the probe, or the head.
  const Node* before(const Probe& probe) const noexcept {
    const Node* node = head_;
    const Node* known_after = nullptr;  // met one level up: not compared again
    for (int level = height() - 1; level >= 0; --level) {
      const Node* next = node->link(level).load(std::memory_order_acquire);
      while (next != nullptr && next != known_after && next->item().compare(probe) < 0) {
        node = next;
        next = node->link(level).load(std::memory_order_acquire);
      }
      known_after = next;
    }
    return node;
  }

  // Relaxed: too low a height only makes a search slower, as the head has links at every level.
  int height() const noexcept { return height_.load(std::memory_order_relaxed); }
  void raise_to(int height) noexcept {
    int seen = height_.load(std::memory_order_relaxed);
    while (seen < height && !height_.compare_exchange_weak(seen, height, std::memory_order_relaxed)) {
    }
  }

  Node* const head_;  // a node without an item, of the full height
  std::atomic<int> height_ = 1;
};

}  // namespace hdb
