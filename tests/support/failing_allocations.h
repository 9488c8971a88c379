// tests/support/failing_allocations.h: operator new of the executable this is linked into, made to fail on demand, and
// counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace hdb::test {

enum class Failing : std::uint8_t { kOne, kAllFrom };

// While it lives, the allocation numbered `number` (from 0, counted from its construction) throws std::bad_alloc; with
// kAllFrom all later ones do too. One at a time, whatever the thread.
class FailingAllocations {
 public:
  FailingAllocations(std::uint64_t number, Failing failing) noexcept;
  ~FailingAllocations();
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;

  // Whether there have been as many allocations as that.
  static bool has_failed() noexcept;
};

// While it lives, the first allocation of `bytes` to twice as many in the thread that made it calls `meanwhile`, then
// throws std::bad_alloc: what `meanwhile` does, in this thread or in others, happens in the middle of whoever
// allocates. One at a time in a thread.
class FailingLargeAllocation {
 public:
  FailingLargeAllocation(std::size_t bytes, std::function<void()> meanwhile) noexcept;
  ~FailingLargeAllocation();
  FailingLargeAllocation(const FailingLargeAllocation&) = delete;
  FailingLargeAllocation& operator=(const FailingLargeAllocation&) = delete;

  bool has_failed() const noexcept { return has_failed_; }
  // For operator new: whether the allocation is the one, which it was told of then.
  bool fails_now(std::size_t bytes);

 private:
  std::size_t bytes_;
  std::function<void()> meanwhile_;
  bool has_failed_ = false;
};

// The most bytes that operator new had given out at one moment, or was asked for beyond what it had, since this was
// made; less what it had given out then. One at a time, for all threads. What C libraries take by malloc is not in it.
class PeakMemory {
 public:
  PeakMemory() noexcept;
  PeakMemory(const PeakMemory&) = delete;
  PeakMemory& operator=(const PeakMemory&) = delete;

  std::uint64_t bytes() const noexcept;

 private:
  std::int64_t begin_;
};

}  // namespace hdb::test
