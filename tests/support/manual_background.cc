#include "tests/support/manual_background.h"

#include <utility>

namespace hdb::test {

void ManualBackground::submit(Priority, std::function<void()> task) {
  tasks_.push_back(std::move(task));
}

void ManualBackground::after(std::chrono::milliseconds delay, std::function<void()> task) {
  last_delay_ = delay;
  timers_.push_back({delay, std::move(task)});
}

void ManualBackground::wait(Mutex& mutex, CondVar&) {
  HDB_CHECK(!tasks_.empty() || !timers_.empty());  // nothing left that could make the awaited condition true
  mutex.unlock();
  if (tasks_.empty()) run_timers();
  if (!tasks_.empty()) run_one();
  mutex.lock();
}

void ManualBackground::run_one() {
  const std::size_t chosen = random_() % tasks_.size();
  const std::function<void()> task = std::move(tasks_[chosen]);
  tasks_.erase(tasks_.begin() + static_cast<std::ptrdiff_t>(chosen));
  task();
}

void ManualBackground::run_tasks() {
  while (!tasks_.empty()) run_one();
}

void ManualBackground::run_timers() {
  const std::vector<Timer> due = std::exchange(timers_, {});
  for (const Timer& timer : due) timer.task();
}

void ManualBackground::run_timers_within(std::chrono::milliseconds passed) {
  std::vector<Timer> due;
  for (Timer& timer : std::exchange(timers_, {})) {
    timer.left -= passed;
    (timer.left.count() <= 0 ? due : timers_).push_back(std::move(timer));
  }
  for (const Timer& timer : due) timer.task();
}

void ManualBackground::stop() {
  tasks_.clear();
  timers_.clear();
}

}  // namespace hdb::test
