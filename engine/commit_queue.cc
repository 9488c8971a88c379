#include "engine/commit_queue.h"

namespace hdb {

void CommitQueue::run(PendingAppend& pending, const std::function<void()>& lead) {
  {
    MutexLock lock(mutex_);
    waiting_.push_back(&pending);
    while (!pending.is_done && (has_leader_ || waiting_.front() != &pending)) pending.signal.wait(mutex_);
    if (pending.is_done) return;
    has_leader_ = true;
  }
  try {
    lead();
  } catch (...) {
    // Nobody was taken along: the next in line leads.
    MutexLock lock(mutex_);
    has_leader_ = false;
    waiting_.pop_front();
    if (!waiting_.empty()) waiting_.front()->signal.notify_one();
    throw;
  }
  MutexLock lock(mutex_);
  has_leader_ = false;
  for (PendingAppend* led : group_) {
    led->is_done = true;
    if (led != &pending) led->signal.notify_one();
  }
  group_.clear();
  if (!waiting_.empty()) waiting_.front()->signal.notify_one();
}

std::span<PendingAppend* const> CommitQueue::take(std::uint64_t batch_bytes_max) {
  MutexLock lock(mutex_);
  group_.reserve(waiting_.size());  // before anybody leaves the line: this may throw
  std::uint64_t bytes = 0;
  while (!waiting_.empty()) {
    bytes += waiting_.front()->batch.bytes().size();
    if (!group_.empty() && bytes > batch_bytes_max) break;
    group_.push_back(waiting_.front());
    waiting_.pop_front();
  }
  return group_;
}

}  // namespace hdb
