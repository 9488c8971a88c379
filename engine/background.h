// engine/background.h: the seam of background work: tasks, timers and waiting. Production runs threads; tests run every
// task on one seeded scheduler in the thread that waits, so that a run repeats.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/mutex.h"

namespace hdb {

// Thread-safe. Tasks must not throw and must end by themselves after stop() began.
class Background {
 public:
  // What is of another priority keeps no task waiting. Two tasks of kFlush may run at once, and several of kCompaction.
  enum class Priority : std::uint8_t { kCommit, kFlush, kCompaction };

  virtual ~Background() = default;
  // Runs `task` once, soon. Dropped after stop().
  virtual void submit(Priority priority, std::function<void()> task) = 0;
  // Runs `task` once, `delay` from now. Dropped after stop().
  virtual void after(std::chrono::milliseconds delay, std::function<void()> task) = 0;
  // Sleeps until `signal` or until other work had a chance to run; may wake early: call in a loop on the condition,
  // which only tasks and other threads can make true.
  virtual void wait(Mutex& mutex, CondVar& signal) HDB_REQUIRES(mutex) = 0;
  // Delays the caller, for back-pressure.
  virtual void sleep(std::chrono::microseconds duration) = 0;
  // Finishes the running tasks and drops the waiting ones. Idempotent.
  virtual void stop() = 0;
};

// For a store that is only read, and so never has any work: without threads.
std::unique_ptr<Background> no_background();

// `threads` for compactions, two for flushes and one each for timers and submitted appends. Throws std::system_error if
// the system gives no more.
std::unique_ptr<Background> thread_background(std::uint32_t threads);

}  // namespace hdb
