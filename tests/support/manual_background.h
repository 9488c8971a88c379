// tests/support/manual_background.h: background work on one seeded scheduler, in the thread that waits: a run repeats.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "base/clock.h"
#include "engine/background.h"

namespace hdb::test {

// Single-owner: the test's only thread.
class ManualBackground final : public Background {
 public:
  explicit ManualBackground(std::uint64_t seed) : random_(seed) {}

  void submit(Priority priority, std::function<void()> task) override;
  void after(std::chrono::milliseconds delay, std::function<void()> task) override;
  void wait(Mutex& mutex, CondVar& signal) override HDB_REQUIRES(mutex);
  void sleep(std::chrono::microseconds) override {}
  void stop() override;

  // Runs waiting tasks, in seeded order, until there are none.
  void run_tasks();
  // Runs the timers that are waiting now, whatever their delay.
  void run_timers();
  // Lets so much time pass for the timers, and runs those that are due then.
  void run_timers_within(std::chrono::milliseconds passed);
  std::size_t timers() const noexcept { return timers_.size(); }
  // How long the timer set last was to wait.
  std::chrono::milliseconds last_delay() const noexcept { return last_delay_; }

 private:
  struct Timer {
    std::chrono::milliseconds left;
    std::function<void()> task;
  };

  void run_one();

  std::mt19937_64 random_;
  std::vector<std::function<void()>> tasks_;
  std::vector<Timer> timers_;
  std::chrono::milliseconds last_delay_{0};
};

// Stands still until it is told to move. Single-owner.
class ManualClock final : public Clock {
 public:
  Timestamp wall() override { return Timestamp(now_); }
  std::chrono::nanoseconds monotonic() override { return now_; }
  void advance(std::chrono::nanoseconds by) { now_ += by; }

 private:
  std::chrono::nanoseconds now_ = std::chrono::hours(24 * 365 * 50);
};

}  // namespace hdb::test
