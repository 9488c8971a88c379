// base/arena.h: memory that is given out piece by piece and given back all at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"

namespace hdb {

// Thread-safe. Pieces stay where they are until the arena is destroyed; nothing in them is destroyed.
//
// A piece from the current block costs one atomic addition. Only whoever finds the block used up takes the lock.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` of uninitialised memory, aligned to 8. Throws std::bad_alloc.
  std::byte* allocate(std::size_t bytes);

 private:
  struct Block {
    std::unique_ptr<std::byte[]> memory;
    std::size_t bytes;
    // Bytes asked for; over `bytes` once a request did not fit. Relaxed: it only tells requests apart, and the memory
    // is published by whoever publishes what is built in it.
    std::atomic<std::size_t> used;
  };

  std::byte* allocate_from_new_block(std::size_t bytes, const Block* full) HDB_EXCLUDES(growing_);

  // Stored with release under growing_, loaded with acquire by allocate().
  std::atomic<Block*> current_ = nullptr;
  Mutex growing_;
  std::vector<std::unique_ptr<Block>> blocks_ HDB_GUARDED_BY(growing_);
};

}  // namespace hdb
