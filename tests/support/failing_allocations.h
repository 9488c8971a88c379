// tests/support/failing_allocations.h: operator new of the executable this is linked into, made to fail on demand.
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

}  // namespace hdb::test
