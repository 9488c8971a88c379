#include "tests/support/faults.h"

#include <atomic>

namespace hdb::test {

namespace {

// Relaxed: only ever summed.
std::array<std::atomic<std::uint64_t>, kFaults> counted{};

}  // namespace

std::string_view name_of(Fault fault) noexcept {
  switch (fault) {
    case Fault::kPowerLoss:
      return "power losses";
    case Fault::kFailedOperation:
      return "failed operations";
    case Fault::kFullDisk:
      return "writes refused for want of space";
    case Fault::kShortRead:
      return "short reads";
    case Fault::kFlippedBit:
      return "flipped bits";
    case Fault::kStaleBlock:
      return "stale blocks";
    case Fault::kMisdirectedBlock:
      return "misdirected blocks";
    case Fault::kFailedCompletion:
      return "failed completions";
    case Fault::kShortCompletion:
      return "short completions";
    case Fault::kReorderedCompletion:
      return "reordered completions";
    case Fault::kDelay:
      return "delays";
    case Fault::kDamagedFile:
      return "damaged files";
    case Fault::kInterruptedCall:
      return "interrupted calls";
    case Fault::kPartialCall:
      return "partial calls";
    case Fault::kFailedCall:
      return "failed calls";
    case Fault::kKilledProcess:
      return "killed processes";
    case Fault::kFailedAllocation:
      return "failed allocations";
  }
  return "unknown";
}

void count_fault(Fault fault) noexcept {
  counted[static_cast<std::size_t>(fault)].fetch_add(1, std::memory_order_relaxed);
}

std::string faults_line() {
  std::uint64_t sum = 0;
  std::string kinds;
  for (std::size_t kind = 0; kind < kFaults; ++kind) {
    const std::uint64_t count = counted[kind].load(std::memory_order_relaxed);
    if (count == 0) continue;
    sum += count;
    kinds +=
        (kinds.empty() ? " (" : ", ") + std::string(name_of(static_cast<Fault>(kind))) + " " + std::to_string(count);
  }
  return "faults injected: " + std::to_string(sum) + kinds + (kinds.empty() ? "" : ")");
}

}  // namespace hdb::test
