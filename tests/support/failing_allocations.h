// tests/support/failing_allocations.h: operator new of the executable this is linked into, made to fail on demand, and
// counted.
#pragma once

#include <cstdint>

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
