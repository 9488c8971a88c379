#include "engine/background.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <thread>
#include <vector>

#include <hdb/status.h>

namespace hdb {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

class ThreadBackground final : public Background {
 public:
  explicit ThreadBackground(std::uint32_t threads) {
    threads_.reserve(threads + 4);
    try {
      threads_.emplace_back([this] { run_timers(); });
      threads_.emplace_back([this] { run_tasks(queue_of(Priority::kCommit)); });
      threads_.emplace_back([this] { run_tasks(queue_of(Priority::kFlush)); });
      threads_.emplace_back([this] { run_tasks(queue_of(Priority::kFlush)); });
      for (std::uint32_t worker = 0; worker < threads; ++worker) {
        threads_.emplace_back([this] { run_tasks(queue_of(Priority::kCompaction)); });
      }
    } catch (...) {  // the system gives no more threads
      stop();
      throw;
    }
  }
  ~ThreadBackground() override { stop(); }

  void submit(Priority priority, std::function<void()> task) override {
    MutexLock lock(mutex_);
    if (is_stopped_) return;
    Queue& queue = queue_of(priority);
    queue.tasks.push_back(std::move(task));
    queue.signal.notify_one();
  }

  void after(std::chrono::milliseconds delay, std::function<void()> task) override {
    MutexLock lock(mutex_);
    if (is_stopped_) return;
    timers_.emplace(std::chrono::steady_clock::now() + delay, std::move(task));
    timer_signal_.notify_one();
  }

  void wait(Mutex& mutex, CondVar& signal) override HDB_REQUIRES(mutex) { signal.wait(mutex); }

  void sleep(std::chrono::microseconds duration) override { std::this_thread::sleep_for(duration); }

  void stop() override {
    {
      MutexLock lock(mutex_);
      is_stopped_ = true;
      for (Queue& queue : queues_) {
        queue.tasks.clear();
        queue.signal.notify_all();
      }
      timers_.clear();
      timer_signal_.notify_all();
    }
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  struct Queue {
    std::deque<std::function<void()>> tasks;  // under mutex_
    CondVar signal;
  };

  Queue& queue_of(Priority priority) noexcept { return queues_[static_cast<std::size_t>(priority)]; }

  void run_tasks(Queue& queue) {
    while (true) {
      std::function<void()> task;
      {
        MutexLock lock(mutex_);
        while (!is_stopped_ && queue.tasks.empty()) queue.signal.wait(mutex_);
        if (is_stopped_) return;
        task = std::move(queue.tasks.front());
        queue.tasks.pop_front();
      }
      task();
    }
  }

  void run_timers() {
    while (true) {
      std::function<void()> task;
      {
        MutexLock lock(mutex_);
        while (!is_stopped_ && !is_timer_due()) {
          if (timers_.empty()) {
            timer_signal_.wait(mutex_);
          } else {
            timer_signal_.wait_for(mutex_, timers_.begin()->first - std::chrono::steady_clock::now());
          }
        }
        if (is_stopped_) return;
        task = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
      }
      task();
    }
  }

  bool is_timer_due() const HDB_REQUIRES(mutex_) {
    return !timers_.empty() && timers_.begin()->first <= std::chrono::steady_clock::now();
  }

  Mutex mutex_;
  CondVar timer_signal_;
  bool is_stopped_ HDB_GUARDED_BY(mutex_) = false;
  std::array<Queue, 3> queues_;  // by Priority
  std::multimap<SteadyTime, std::function<void()>> timers_ HDB_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

class NoBackground final : public Background {
 public:
  void submit(Priority, std::function<void()>) override { refuse(); }
  void after(std::chrono::milliseconds, std::function<void()>) override { refuse(); }
  void wait([[maybe_unused]] Mutex& mutex, CondVar&) override HDB_REQUIRES(mutex) { refuse(); }
  void sleep(std::chrono::microseconds) override { refuse(); }
  void stop() override {}

 private:
  static void refuse() { HDB_CHECK(false); }
};

}  // namespace

std::unique_ptr<Background> no_background() {
  return std::make_unique<NoBackground>();
}

std::unique_ptr<Background> thread_background(std::uint32_t threads) {
  return std::make_unique<ThreadBackground>(threads);
}

}  // namespace hdb
