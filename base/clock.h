// base/clock.h: the seam of time: tests own theirs.
#pragma once

#include <chrono>

#include <hdb/event.h>

namespace hdb {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp wall() = 0;                      // may jump
  virtual std::chrono::nanoseconds monotonic() = 0;  // never decreases
};

// The machine's clocks. Lives for the whole process.
Clock& system_clock() noexcept;

}  // namespace hdb
