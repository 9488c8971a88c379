#include "tests/support/failing_allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#include <malloc.h>

#include "tests/support/faults.h"

namespace hdb::test {

namespace {

// Relaxed: the test arms them while nothing else runs, and only counts.
std::atomic<bool> is_armed{false};
std::atomic<bool> is_each_after{false};
std::atomic<std::int64_t> left{0};  // allocations before the one that fails
std::atomic<bool> has_met{false};

thread_local FailingLargeAllocation* of_this_thread = nullptr;

// Bytes of operator new: relaxed, as each is a sum.
std::atomic<std::int64_t> live{0};
std::atomic<std::int64_t> peak{0};

void add_live(std::int64_t bytes) noexcept {
  const std::int64_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t highest = peak.load(std::memory_order_relaxed);
  while (highest < now && !peak.compare_exchange_weak(highest, now, std::memory_order_relaxed)) continue;
}

std::int64_t size_of(void* memory) noexcept {
  return static_cast<std::int64_t>(::malloc_usable_size(memory));
}

bool fails_now() noexcept {
  if (!is_armed.load(std::memory_order_relaxed)) return false;
  const std::int64_t before = left.fetch_sub(1, std::memory_order_relaxed);
  if (before > 0 || (before < 0 && !is_each_after.load(std::memory_order_relaxed))) return false;
  has_met.store(true, std::memory_order_relaxed);
  count_fault(Fault::kFailedAllocation);
  return true;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (fails_now() || (of_this_thread != nullptr && of_this_thread->fails_now(bytes))) throw std::bad_alloc();
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  add_live(static_cast<std::int64_t>(bytes));  // before it is known whether there is as much: asking for it counts
  void* const memory = alignment <= alignof(std::max_align_t) ? std::malloc(bytes == 0 ? 1 : bytes)
                                                              : std::aligned_alloc(alignment, rounded);
  add_live((memory == nullptr ? 0 : size_of(memory)) - static_cast<std::int64_t>(bytes));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* allocate_or_null(std::size_t bytes) noexcept {
  try {
    return allocate(bytes, alignof(std::max_align_t));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  live.fetch_sub(size_of(memory), std::memory_order_relaxed);
  std::free(memory);
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

FailingLargeAllocation::FailingLargeAllocation(std::size_t bytes, std::function<void()> meanwhile) noexcept
    : bytes_(bytes), meanwhile_(std::move(meanwhile)) {
  of_this_thread = this;
}

FailingLargeAllocation::~FailingLargeAllocation() {
  of_this_thread = nullptr;
}

bool FailingLargeAllocation::fails_now(std::size_t bytes) {
  if (has_failed_ || bytes < bytes_ || bytes > 2 * bytes_) return false;
  has_failed_ = true;
  count_fault(Fault::kFailedAllocation);
  meanwhile_();
  return true;
}

PeakMemory::PeakMemory() noexcept : begin_(live.load(std::memory_order_relaxed)) {
  peak.store(begin_, std::memory_order_relaxed);
}

std::uint64_t PeakMemory::bytes() const noexcept {
  const std::int64_t highest = peak.load(std::memory_order_relaxed) - begin_;
  return highest < 0 ? 0 : static_cast<std::uint64_t>(highest);
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
  return hdb::test::allocate_or_null(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return hdb::test::allocate_or_null(bytes);
}
void operator delete(void* memory) noexcept {
  hdb::test::release(memory);
}
void operator delete[](void* memory) noexcept {
  hdb::test::release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  hdb::test::release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  hdb::test::release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  hdb::test::release(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  hdb::test::release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  hdb::test::release(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  hdb::test::release(memory);
}
