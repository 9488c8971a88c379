#include "base/arena.h"

#include <algorithm>

namespace hdb {

namespace {

// Blocks double from the first size to the second, so that a small store stays small and a large one seldom grows.
constexpr std::size_t kBlockBytesMin = 16u << 10;
constexpr std::size_t kBlockBytesMax = 2u << 20;
// A request over this share of a full-size block gets a block of its own, so that it wastes nobody's rest.
constexpr std::size_t kOwnBlockBytes = kBlockBytesMax / 4;

}  // namespace

std::byte* Arena::allocate(std::size_t bytes) {
  bytes = (bytes + 7) / 8 * 8;
  Block* const block = current_.load(std::memory_order_acquire);
  if (block != nullptr && bytes <= kOwnBlockBytes) {
    const std::size_t offset = block->used.fetch_add(bytes, std::memory_order_relaxed);
    if (offset + bytes <= block->bytes) return block->memory.get() + offset;
  }
  return allocate_from_new_block(bytes, block);
}

std::byte* Arena::allocate_from_new_block(std::size_t bytes, const Block* full) {
  const MutexLock lock(growing_);
  const bool needs_own_block = bytes > kOwnBlockBytes;
  Block* const current = current_.load(std::memory_order_relaxed);
  if (!needs_own_block && current != full) {  // another thread grew it meanwhile
    const std::size_t offset = current->used.fetch_add(bytes, std::memory_order_relaxed);
    if (offset + bytes <= current->bytes) return current->memory.get() + offset;
  }
  const std::size_t grown = std::min(kBlockBytesMax, kBlockBytesMin << std::min<std::size_t>(blocks_.size(), 16));
  const std::size_t block_bytes = needs_own_block ? bytes : std::max(grown, bytes);
  blocks_.reserve(blocks_.size() + 1);
  blocks_.push_back(std::make_unique<Block>());
  Block& block = *blocks_.back();
  block.memory = std::make_unique_for_overwrite<std::byte[]>(block_bytes);
  block.bytes = block_bytes;
  block.used.store(bytes, std::memory_order_relaxed);
  if (!needs_own_block) current_.store(&block, std::memory_order_release);
  return block.memory.get();
}

}  // namespace hdb
