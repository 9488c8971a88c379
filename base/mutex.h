// base/mutex.h: std::mutex that clang's thread safety analysis understands. Under g++ annotations are comments.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define HDB_ANNOTATION(attribute) __attribute__((attribute))
#else
#define HDB_ANNOTATION(attribute)
#endif
#define HDB_CAPABILITY(name) HDB_ANNOTATION(capability(name))
#define HDB_SCOPED_CAPABILITY HDB_ANNOTATION(scoped_lockable)
#define HDB_GUARDED_BY(mutex) HDB_ANNOTATION(guarded_by(mutex))
#define HDB_REQUIRES(...) HDB_ANNOTATION(requires_capability(__VA_ARGS__))
#define HDB_EXCLUDES(...) HDB_ANNOTATION(locks_excluded(__VA_ARGS__))
#define HDB_ACQUIRE(...) HDB_ANNOTATION(acquire_capability(__VA_ARGS__))
#define HDB_RELEASE(...) HDB_ANNOTATION(release_capability(__VA_ARGS__))
#define HDB_TRY_ACQUIRE(...) HDB_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define HDB_ACQUIRED_BEFORE(...) HDB_ANNOTATION(acquired_before(__VA_ARGS__))
#define HDB_NO_THREAD_SAFETY_ANALYSIS HDB_ANNOTATION(no_thread_safety_analysis)

namespace hdb {

class HDB_CAPABILITY("mutex") Mutex {
 public:
  void lock() HDB_ACQUIRE() { mutex_.lock(); }
  void unlock() HDB_RELEASE() { mutex_.unlock(); }

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class HDB_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) HDB_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() HDB_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  // Releases `mutex` while asleep, holds it again on return. May wake early: call in a loop on the condition.
  void wait(Mutex& mutex) HDB_REQUIRES(mutex) {
    std::unique_lock<std::mutex> borrowed(mutex.mutex_, std::adopt_lock);
    condition_.wait(borrowed);
    borrowed.release();
  }
  // As wait, and returns after `timeout` at the latest.
  void wait_for(Mutex& mutex, std::chrono::nanoseconds timeout) HDB_REQUIRES(mutex) {
    std::unique_lock<std::mutex> borrowed(mutex.mutex_, std::adopt_lock);
    condition_.wait_for(borrowed, timeout);
    borrowed.release();
  }
  void notify_one() noexcept { condition_.notify_one(); }
  void notify_all() noexcept { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace hdb
