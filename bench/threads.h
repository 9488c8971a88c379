// bench/threads.h: threads that begin together.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include <hdb/status.h>

namespace hdb::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

inline std::uint64_t ns_since(Clock::time_point begin) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - begin).count());
}

struct ThreadKind {
  std::string name;  // "writer": what one is called; --writers is the option that says how many
  std::uint64_t count = 0;
  std::function<Status(std::uint64_t index, Clock::time_point begin)> work;
};

// Starts the threads of all kinds; when the last one is there, all begin to work. Returns the seconds from then until
// the last one has ended, or the error of the first that has one. kBusy, and none has worked, if the system does not
// let all of them start.
Result<double> run_threads(std::span<const ThreadKind> kinds);

}  // namespace hdb::bench
