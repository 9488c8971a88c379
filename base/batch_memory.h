// base/batch_memory.h: memory for large batches, aligned so that the log can be written from it past the page cache.
#pragma once

#include <cstddef>
#include <memory>

#include "base/mutex.h"

namespace hdb {

// Hands out pieces of large regions. A region goes back when the last of its pieces is gone, and is used again: fresh
// memory costs as much as filling it. Thread-safe; pieces may outlive it.
class BatchMemory {
 public:
  static constexpr std::size_t kAlignment = 4096;  // of pieces and their sizes: no device asks for more

  // Keeps up to `spare_bytes_max` of memory for later that is not in use.
  explicit BatchMemory(std::size_t spare_bytes_max);

  // `bytes`, a multiple of kAlignment, uninitialised. Throws std::bad_alloc.
  std::shared_ptr<std::byte> allocate(std::size_t bytes) HDB_EXCLUDES(mutex_);

 private:
  class Regions;

  const std::shared_ptr<Regions> regions_;
  Mutex mutex_;
  std::shared_ptr<std::byte> current_ HDB_GUARDED_BY(mutex_);  // the region that pieces are cut from
  std::size_t used_ HDB_GUARDED_BY(mutex_) = 0;                // of it
  bool is_fresh_ HDB_GUARDED_BY(mutex_) = false;               // nothing of it was ever touched
};

}  // namespace hdb
