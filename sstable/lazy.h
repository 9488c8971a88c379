// sstable/lazy.h: a part of a table that is read when first asked for, and then belongs to it.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "base/mutex.h"
#include "sstable/block_cache.h"

namespace hdb::sstable {

// Thread-safe; once loaded, without a lock. A failed load is tried again by the next call. T has memory_bytes(), which
// is charged to the cache.
template <typename T>
class Lazy {
 public:
  // `load` returns Result<T>.
  template <typename Load>
  Result<const T*> get(BlockCache& cache, Load load) const {
    if (const T* const value = value_.load(std::memory_order_acquire)) return value;
    const MutexLock lock(mutex_);
    if (owner_ == nullptr) {
      owner_ = std::make_unique<const T>(HDB_TRY(load()));
      charge_ = cache.reserve(owner_->memory_bytes());
      value_.store(owner_.get(), std::memory_order_release);
    }
    return static_cast<const T*>(owner_.get());
  }

 private:
  mutable std::atomic<const T*> value_{nullptr};  // released by the loading thread, acquired by get()
  mutable Mutex mutex_;                           // held while loading
  mutable std::unique_ptr<const T> owner_ HDB_GUARDED_BY(mutex_);
  mutable BlockCache::Reservation charge_ HDB_GUARDED_BY(mutex_);
};

}  // namespace hdb::sstable
