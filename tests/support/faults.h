// tests/support/faults.h: what the tests of this program have broken, counted by kind: the last line but one that it
// prints, and scripts/torture.py sums it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hdb::test {

enum class Fault : std::uint8_t {
  kPowerLoss,
  kFailedOperation,
  kFullDisk,
  kShortRead,
  kFlippedBit,
  kStaleBlock,
  kMisdirectedBlock,
  kFailedCompletion,
  kShortCompletion,
  kReorderedCompletion,
  kDelay,
  kDamagedFile,      // changed or cut by the test itself
  kInterruptedCall,  // a system call that returned EINTR
  kPartialCall,      // a system call that did less than it was asked to
  kFailedCall,       // a system call that failed
  kKilledProcess,
  kFailedAllocation,
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::kFailedAllocation) + 1;

std::string_view name_of(Fault fault) noexcept;

// Of one disk, or of one loop. Not thread-safe.
struct FaultCounts {
  std::array<std::uint64_t, kFaults> of_kind{};

  std::uint64_t& operator[](Fault fault) noexcept { return of_kind[static_cast<std::size_t>(fault)]; }
  std::uint64_t operator[](Fault fault) const noexcept { return of_kind[static_cast<std::size_t>(fault)]; }
};

// One more fault in this process. Thread-safe; allocates nothing.
void count_fault(Fault fault) noexcept;
// "faults injected: 12 (power losses 10, flipped bits 2)"
std::string faults_line();

}  // namespace hdb::test
