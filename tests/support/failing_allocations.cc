#include "tests/support/failing_allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace hdb::test {

namespace {

// Relaxed: the test arms them while nothing else runs, and only counts.
std::atomic<bool> is_armed{false};
std::atomic<bool> is_each_after{false};
std::atomic<std::int64_t> left{0};  // allocations before the one that fails
std::atomic<bool> has_met{false};

bool fails_now() noexcept {
  if (!is_armed.load(std::memory_order_relaxed)) return false;
  const std::int64_t before = left.fetch_sub(1, std::memory_order_relaxed);
  if (before > 0 || (before < 0 && !is_each_after.load(std::memory_order_relaxed))) return false;
  has_met.store(true, std::memory_order_relaxed);
  return true;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (fails_now()) throw std::bad_alloc();
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* const memory = alignment <= alignof(std::max_align_t) ? std::malloc(bytes == 0 ? 1 : bytes)
                                                              : std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

FailingAllocations::FailingAllocations(std::uint64_t number, Failing failing) noexcept {
  left.store(static_cast<std::int64_t>(number), std::memory_order_relaxed);
  is_each_after.store(failing == Failing::kAllFrom, std::memory_order_relaxed);
  has_met.store(false, std::memory_order_relaxed);
  is_armed.store(true, std::memory_order_relaxed);
}

FailingAllocations::~FailingAllocations() {
  is_armed.store(false, std::memory_order_relaxed);
}

bool FailingAllocations::has_failed() noexcept {
  return has_met.load(std::memory_order_relaxed);
}

}  // namespace hdb::test

void* operator new(std::size_t bytes) {
  return hdb::test::allocate(bytes, alignof(std::max_align_t));
}
void* operator new[](std::size_t bytes) {
  return hdb::test::allocate(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return hdb::test::allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return hdb::test::allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return hdb::test::fails_now() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return hdb::test::fails_now() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
