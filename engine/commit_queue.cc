#include "engine/commit_queue.h"

#include <chrono>
#include <thread>

#include "base/futex.h"

namespace hdb {

namespace {

using SteadyClock = std::chrono::steady_clock;

// The longest that anybody yields the processor instead of sleeping.
constexpr std::chrono::microseconds kYieldLongest{400};
// Where yielding once takes this long, others have use for the processor.
constexpr std::chrono::microseconds kYieldTooLong{500};
constexpr std::uint32_t kWaitsWithoutYielding = 256;

bool has_come(std::uint32_t group, const std::atomic<std::uint32_t>& newest) noexcept {
  return static_cast<std::int32_t>(newest.load(std::memory_order_acquire) - group) >= 0;
}

}  // namespace

CommitQueue::Place CommitQueue::enter(PendingAppend& pending) {
  MutexLock lock(mutex_);
  waiting_.push_back(&pending);
  return open_group_;
}

void CommitQueue::wait(Place place, const Lead& lead) noexcept {
  const std::atomic<GroupNumber>& done = done_[place % 2];
  if (has_come(place, done)) return;
  bool is_leader = false;
  {
    MutexLock lock(mutex_);
    is_leader = open_group_ == place && !has_leader_;
    if (is_leader) has_leader_ = true;
  }
  is_leader ? lead_group(place, lead) : wait_for(place, done);
}

void CommitQueue::run(PendingAppend& pending, const Lead& lead) {
  GroupNumber group = 0;
  bool is_leader = false;
  {
    MutexLock lock(mutex_);
    waiting_.push_back(&pending);
    group = open_group_;
    is_leader = !has_leader_;
    has_leader_ = true;
  }
  is_leader ? lead_group(group, lead) : wait_for(group, done_[group % 2]);
}

void CommitQueue::lead_group(GroupNumber group, const Lead& lead) noexcept {
  wait_for(group - 1, led_);
  if (is_to_gather_) gather();
  // Who is alone has nobody to tell how long it took.
  const auto began = is_alone_ ? SteadyClock::time_point() : SteadyClock::now();
  const bool is_to_gather = lead();
  if (!is_alone_) is_brisk_.store(SteadyClock::now() - began < kYieldLongest / 2, std::memory_order_relaxed);
  const bool is_alone = group_.size() == 1;
  is_alone_ = is_alone;
  is_to_gather_ = is_to_gather && !is_alone;
  std::atomic<GroupNumber>& done = done_[group % 2];
  done.store(group, std::memory_order_release);
  led_.store(group, std::memory_order_release);
  // First who leads the next group: it can gather while the others are woken. Who comes later finds the number.
  if (waiting() > 0) futex_wake_all(led_);
  if (!is_alone) futex_wake_all(done);
}

std::span<PendingAppend* const> CommitQueue::take() noexcept {
  group_.clear();
  MutexLock lock(mutex_);
  group_.swap(waiting_);
  ++open_group_;
  has_leader_ = false;
  return group_;
}

std::size_t CommitQueue::waiting() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

// Where groups are written as fast as threads switch, who yields until then is back sooner, and for less of the
// processor, than who sleeps and is woken.
void CommitQueue::wait_for(GroupNumber group, const std::atomic<GroupNumber>& newest) noexcept {
  const auto is_over = [&] { return has_come(group, newest); };
  if (is_over()) return;
  if (is_brisk_.load(std::memory_order_relaxed) && yield_until(is_over, kYieldLongest)) return;
  while (true) {
    const GroupNumber seen = newest.load(std::memory_order_acquire);
    if (static_cast<std::int32_t>(seen - group) >= 0) return;
    futex_wait(newest, seen);
  }
}

// Most of those who were in the last group come back within microseconds, and then share a write.
void CommitQueue::gather() noexcept {
  constexpr std::chrono::microseconds kLongest{40};
  const std::size_t enough = group_.size() - group_.size() / 5;
  yield_until([&] { return waiting() >= enough; }, kLongest);
}

// False if it gave up. Where yielding gives the processor to somebody else, it does not come back soon: then all go
// without for a while.
template <typename IsOver>
bool CommitQueue::yield_until(IsOver is_over, std::chrono::nanoseconds longest) noexcept {
  if (const std::uint32_t without = waits_without_yielding_.load(std::memory_order_relaxed); without > 0) {
    waits_without_yielding_.store(without - 1, std::memory_order_relaxed);
    return false;
  }
  const auto began = SteadyClock::now();
  auto before = began;
  while (before - began < longest) {
    if (is_over()) return true;
    std::this_thread::yield();
    const auto now = SteadyClock::now();
    if (now - before > kYieldTooLong) waits_without_yielding_.store(kWaitsWithoutYielding, std::memory_order_relaxed);
    before = now;
  }
  return is_over();
}

}  // namespace hdb
