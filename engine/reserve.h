// engine/reserve.h: space kept free on the disk for what must go on when it is full.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/mutex.h"
#include "io/env.h"

namespace hdb {

// A file of the store that holds nothing, given up when a flush finds no space and taken again when there is some.
// While it is gone appends are refused, so that they do not take what flushes need. Thread-safe.
class Reserve {
 public:
  // With 0 bytes there is none, and it counts as held. One that an earlier open left is taken over.
  Reserve(Env& env, const std::string& store, std::uint64_t bytes);

  bool is_held() const noexcept { return is_held_.load(std::memory_order_relaxed); }
  // Takes the space, or says why it is not to be had: kNoSpace, or what stands in its way.
  Status take() noexcept HDB_EXCLUDES(mutex_);
  // Gives the space up; whether there was any to give.
  bool release() noexcept HDB_EXCLUDES(mutex_);
  // At the end of an open: a closed store takes no more than it holds.
  void remove() noexcept HDB_EXCLUDES(mutex_);

 private:
  Status prepare() HDB_REQUIRES(mutex_);

  Env& env_;
  const std::string path_;
  const std::uint64_t bytes_;
  Mutex mutex_;
  std::atomic<bool> is_held_;  // written under mutex_; relaxed: nothing else is read on its strength
};

}  // namespace hdb
