// tests/support/faulty_calls.h: system calls of the executable this is linked into, made to misbehave on demand. The
// executable is linked with --wrap for each of them (tests/meson.build).
#pragma once

#include <cstdint>
#include <limits>

namespace hdb::test {

// kSubmit: of a ring. What it did counts as the write or the sync that it was, when it is done.
enum class Call : std::uint8_t {
  kOpen,
  kRead,
  kWrite,
  kSync,
  kTruncate,
  kReserve,
  kLock,
  kClose,
  kName,
  kList,
  kSubmit
};
inline constexpr std::size_t kCalls = static_cast<std::size_t>(Call::kSubmit) + 1;

// Where a system refuses io_uring.
enum class RingStep : std::uint8_t {
  kSetup,       // of a ring
  kSubmission,  // of a write; nothing of it is done, and it stays queued
  kCompletion,  // of a write: its result is the refusal, and nothing was written
  kWaiting,     // for results, which come nevertheless
};

// What happens to calls; of the kinds in `Call` only.
struct CallFaults {
  std::uint64_t seed = 0;
  std::uint64_t interrupted_one_in = 0;  // of the calls that a signal can interrupt; 0: none
  std::uint64_t partial_one_in = 0;      // of the reads and writes, which do a part then; 0: none
  // The call of this number, counted from 0 since construction, fails with `error` (an errno).
  std::uint64_t fail_at = std::numeric_limits<std::uint64_t>::max();
  int error = 0;
  // Only calls of the kind are counted for `fail_at`, if this says so.
  bool is_of_one_kind = false;
  Call kind = Call::kSync;
  // A sync that fails loses what was written to the file since it was last synced, as the kernel may.
  bool drops_dirty_data = false;
  // The system takes so many calls of `ring_step`, and refuses all later ones with `ring_error` (an errno).
  std::uint64_t ring_calls_taken = std::numeric_limits<std::uint64_t>::max();
  RingStep ring_step = RingStep::kSetup;
  int ring_error = 0;
  // Every file is on a file system that is mounted read-only.
  bool is_medium_read_only = false;
  // Rings are refused with this errno; or they are made, and then what is submitted to them is, undone: writes, syncs
  // after a write. 0: none.
  int rings_refused = 0;
  int ring_writes_refused = 0;
  int ring_syncs_refused = 0;
};

// While it lives, this process's system calls on files meet the faults. One at a time; thread-safe.
class FaultyCalls {
 public:
  explicit FaultyCalls(const CallFaults& faults);
  ~FaultyCalls();
  FaultyCalls(const FaultyCalls&) = delete;
  FaultyCalls& operator=(const FaultyCalls&) = delete;

  std::uint64_t calls() const;
  std::uint64_t calls(Call call) const;
  std::uint64_t ring_writes() const;  // done by rings, whole, in part or not
  std::uint64_t ring_syncs() const;   // begun by rings: those after a write that was whole
  std::uint64_t ring_refusals() const;
  bool has_failed() const;  // the call of number `fail_at` was made
};

}  // namespace hdb::test
