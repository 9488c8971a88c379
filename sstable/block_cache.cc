#include "sstable/block_cache.h"

#include <algorithm>
#include <utility>

#include "base/checksum.h"

namespace hdb::sstable {

namespace {

// List node, map node and control block of an entry, so that many small blocks stay within the bound too.
constexpr std::uint64_t kEntryBytes = 192;

}  // namespace

BlockCache::Reservation::Reservation(Reservation&& other) noexcept
    : cache_(std::exchange(other.cache_, nullptr)), bytes_(other.bytes_) {}

BlockCache::Reservation& BlockCache::Reservation::operator=(Reservation&& other) noexcept {
  std::swap(cache_, other.cache_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

BlockCache::Reservation::~Reservation() {
  if (cache_ != nullptr) cache_->release(bytes_);
}

BlockCache::BlockCache(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

std::size_t BlockCache::KeyHash::operator()(const BlockKey& key) const noexcept {
  return seed_of(key.file.raw(), key.offset, key.kind);
}

BlockCache::Shard& BlockCache::shard_of(const BlockKey& key) noexcept {
  return shards_[(KeyHash{}(key) >> 32) % kShards];
}

std::uint64_t BlockCache::shard_bytes_max() const noexcept {
  const std::uint64_t reserved = reserved_bytes_.load(std::memory_order_relaxed);
  return reserved >= bytes_max_ ? 0 : (bytes_max_ - reserved) / kShards;
}

std::shared_ptr<const void> BlockCache::find(const BlockKey& key) {
  Shard& shard = shard_of(key);
  const MutexLock lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end()) {
    ++shard.misses;
    return nullptr;
  }
  ++shard.hits;
  shard.by_use.splice(shard.by_use.begin(), shard.by_use, found->second);
  return found->second->block;
}

void BlockCache::insert(const BlockKey& key, std::shared_ptr<const void> block, std::uint64_t bytes) {
  bytes += kEntryBytes;
  std::list<Node> evicted;  // destroyed after the lock is released: freeing blocks takes time
  Shard& shard = shard_of(key);
  const std::uint64_t shard_bytes = shard_bytes_max();
  const MutexLock lock(shard.mutex);
  const std::uint64_t room = bytes <= shard_bytes ? shard_bytes - bytes : shard_bytes;
  while (shard.bytes > room) {
    const auto oldest = std::prev(shard.by_use.end());
    shard.bytes -= oldest->bytes;
    shard.by_key.erase(oldest->key);
    evicted.splice(evicted.begin(), shard.by_use, oldest);
  }
  if (bytes > shard_bytes || shard.by_key.contains(key)) return;
  shard.by_use.push_front(Node{key, std::move(block), bytes});
  try {
    shard.by_key.emplace(key, shard.by_use.begin());
  } catch (...) {  // std::bad_alloc
    shard.by_use.pop_front();
    throw;
  }
  shard.bytes += bytes;
}

BlockCache::Reservation BlockCache::reserve(std::uint64_t bytes) {
  reserved_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return Reservation(this, bytes);
}

BlockCache::Counters BlockCache::counters() const {
  Counters counters;
  counters.reserved_bytes = reserved_bytes_.load(std::memory_order_relaxed);
  counters.filter_negatives = filter_negatives_.load(std::memory_order_relaxed);
  counters.bytes = counters.reserved_bytes;
  for (const Shard& shard : shards_) {
    const MutexLock lock(shard.mutex);
    counters.bytes += shard.bytes;
    counters.hits += shard.hits;
    counters.misses += shard.misses;
  }
  return counters;
}

}  // namespace hdb::sstable
