// base/batch_memory.h: memory for large batches, aligned so that the log can be written from it past the page cache.
#pragma once

#include <cstddef>
#include <memory>

#include "base/mutex.h"

namespace hdb {

// Hands out pieces of large regions, and whole regions. A region goes back when the last of its pieces is gone, and is
// used again: fresh memory costs as much as filling it. Thread-safe; pieces may outlive it.
class BatchMemory {
 public:
  static constexpr std::size_t kAlignment = 4096;  // of pieces and their sizes: no device asks for more
  static constexpr std::size_t kRegionBytes = 4u << 20;

  struct Region {
    std::shared_ptr<std::byte> bytes;  // kRegionBytes, uninitialised
    bool is_fresh = false;             // nothing of it was ever touched
  };

  // Keeps up to `spare_bytes_max` of memory for later that is not in use.
  explicit BatchMemory(std::size_t spare_bytes_max);

  // `bytes`, a multiple of kAlignment, uninitialised. Throws std::bad_alloc.
  std::shared_ptr<std::byte> allocate(std::size_t bytes) HDB_EXCLUDES(mutex_);
  // A region that is nobody else's. Throws std::bad_alloc.
  Region allocate_region();

  // Makes all pages of a fresh piece at once, which is cheaper than one by one as they are filled. Best effort. `piece`
  // is a multiple of kAlignment.
  static void touch(std::byte* piece, std::size_t bytes) noexcept;

 private:
  class Regions;

  const std::shared_ptr<Regions> regions_;
  Mutex mutex_;
  Region current_ HDB_GUARDED_BY(mutex_);        // that pieces are cut from
  std::size_t used_ HDB_GUARDED_BY(mutex_) = 0;  // of it
};

}  // namespace hdb
