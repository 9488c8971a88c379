#include "engine/commit_queue.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/futex.h"

namespace hdb {

void CommitQueue::run(PendingAppend& pending, const std::function<bool()>& lead) {
  GroupNumber group = 0;
  bool is_leader = false;
  {
    MutexLock lock(mutex_);
    is_leader = waiting_.empty();
    waiting_.push_back(&pending);
    group = open_group_;
  }
  if (!is_leader) {
    wait_for(group);
    return;
  }
  wait_for(group - 1);
  if (is_to_gather_) gather();
  is_to_gather_ = lead() && group_.size() > 1;
  std::atomic<GroupNumber>& done = done_[group % 2];
  done.store(group, std::memory_order_release);
  // Who waits for this group, or leads the next one.
  futex_wake_all(done);
}

std::span<PendingAppend* const> CommitQueue::take() noexcept {
  group_.clear();
  MutexLock lock(mutex_);
  group_.swap(waiting_);
  ++open_group_;
  return group_;
}

std::size_t CommitQueue::waiting() const {
  MutexLock lock(mutex_);
  return waiting_.size();
}

void CommitQueue::wait_for(GroupNumber group) const noexcept {
  const std::atomic<GroupNumber>& done = done_[group % 2];
  while (true) {
    const GroupNumber newest = done.load(std::memory_order_acquire);
    if (static_cast<std::int32_t>(newest - group) >= 0) return;
    futex_wait(done, newest);
  }
}

// Most of those who were in the last group come back within microseconds, and then share a write. Where yielding gives
// the processor to somebody else, it does not come back soon: then the next groups go without.
void CommitQueue::gather() noexcept {
  constexpr std::chrono::microseconds kLongest{40};
  constexpr std::chrono::microseconds kTooLong{200};
  constexpr std::uint32_t kGroupsWithout = 256;
  if (groups_without_gathering_ > 0) {
    --groups_without_gathering_;
    return;
  }
  const std::size_t enough = group_.size() - group_.size() / 5;
  const auto began = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration waited{0};
  while (waited < kLongest) {
    if (waiting() >= enough) return;
    std::this_thread::yield();
    waited = std::chrono::steady_clock::now() - began;
  }
  if (waited > kTooLong) groups_without_gathering_ = kGroupsWithout;
}

}  // namespace hdb
