// sstable/block_cache.h: decoded blocks in memory, bounded in bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>

#include "base/ids.h"
#include "base/mutex.h"

namespace hdb::sstable {

// Where a block is. The kind is part of the key, so that a cached block can never be taken for one of another kind.
struct BlockKey {
  FileNumber file;
  std::uint64_t offset = 0;
  std::uint8_t kind = 0;  // BlockKind
  friend bool operator==(const BlockKey&, const BlockKey&) noexcept = default;
};

// Least-recently-used blocks go first. Evicted blocks live on for as long as somebody holds them. Also counts, against
// the same bound, what open tables hold for themselves (indexes and filters): these are not evicted, they leave less
// room for blocks. Thread-safe.
class BlockCache {
 public:
  struct Counters {
    std::uint64_t bytes = 0;           // blocks and reservations now
    std::uint64_t reserved_bytes = 0;  // of these: reservations
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t filter_negatives = 0;  // table look-ups a Bloom filter answered
  };

  // Bytes charged while it lives. Single-owner; must not outlive the cache.
  class Reservation {
   public:
    Reservation() noexcept = default;
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) noexcept;
    ~Reservation();

   private:
    friend class BlockCache;
    Reservation(BlockCache* cache, std::uint64_t bytes) noexcept : cache_(cache), bytes_(bytes) {}
    BlockCache* cache_ = nullptr;
    std::uint64_t bytes_ = 0;
  };

  explicit BlockCache(std::uint64_t bytes_max);
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // Null if absent. Counts a hit or a miss.
  std::shared_ptr<const void> find(const BlockKey& key);
  // Keeps `block`, charged `bytes`, and evicts others to stay within the bound; a block larger than its shard's share
  // is not kept at all. If the key is there already, the older block stays.
  void insert(const BlockKey& key, std::shared_ptr<const void> block, std::uint64_t bytes);
  [[nodiscard]] Reservation reserve(std::uint64_t bytes);
  void count_filter_negative() noexcept { filter_negatives_.fetch_add(1, std::memory_order_relaxed); }

  Counters counters() const;
  std::uint64_t bytes_max() const noexcept { return bytes_max_; }

 private:
  struct KeyHash {
    std::size_t operator()(const BlockKey& key) const noexcept;
  };
  struct Node {
    BlockKey key;
    std::shared_ptr<const void> block;
    std::uint64_t bytes;
  };
  struct alignas(64) Shard {
    mutable Mutex mutex;
    std::list<Node> by_use HDB_GUARDED_BY(mutex);  // most recently used first
    std::unordered_map<BlockKey, std::list<Node>::iterator, KeyHash> by_key HDB_GUARDED_BY(mutex);
    std::uint64_t bytes HDB_GUARDED_BY(mutex) = 0;
    std::uint64_t hits HDB_GUARDED_BY(mutex) = 0;
    std::uint64_t misses HDB_GUARDED_BY(mutex) = 0;
  };
  static constexpr std::size_t kShards = 16;

  Shard& shard_of(const BlockKey& key) noexcept;
  std::uint64_t shard_bytes_max() const noexcept;
  void release(std::uint64_t bytes) noexcept { reserved_bytes_.fetch_sub(bytes, std::memory_order_relaxed); }

  const std::uint64_t bytes_max_;
  std::atomic<std::uint64_t> reserved_bytes_{0};    // a count only: orders nothing
  std::atomic<std::uint64_t> filter_negatives_{0};  // a count only: orders nothing
  std::array<Shard, kShards> shards_;
};

}  // namespace hdb::sstable
