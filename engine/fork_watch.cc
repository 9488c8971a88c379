#include "engine/fork_watch.h"

#include <pthread.h>

#include <atomic>

namespace hdb {

namespace {

std::atomic<std::uint32_t> generation{0};  // relaxed: it changes only while a process has a single thread

// When the library is loaded; where there is no memory for a handler, forks go unnoticed.
[[maybe_unused]] const int registered =
    ::pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

std::uint32_t process_generation() noexcept {
  return generation.load(std::memory_order_relaxed);
}

}  // namespace hdb
