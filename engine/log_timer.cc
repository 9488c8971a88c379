// Syncs interval appends in time, and marks the durable end of a log that has been idle, so that later damage below it
// is told from a torn tail.
#include <algorithm>

#include "engine/store.h"

namespace hdb {

namespace {
constexpr std::chrono::milliseconds kIdleBeforeMark{100};
}

void Store::arm_log_timer() {
  std::chrono::nanoseconds due = last_append_ + kIdleBeforeMark;
  if (first_unsynced_) due = std::min(due, *first_unsynced_ + std::chrono::milliseconds(options_.sync_interval_ms));
  if (timer_due_ && *timer_due_ <= due) return;
  timer_due_ = due;
  const auto wait = std::max(due - clock_.monotonic(), std::chrono::nanoseconds(0));
  background_->after(std::chrono::ceil<std::chrono::milliseconds>(wait), [this] { on_log_timer(); });
}

void Store::on_log_timer() {
  Status status;
  {
    MutexLock lock(log_mutex_);
    timer_due_.reset();
    if (is_closed_.load(std::memory_order_acquire)) return;
    const auto now = clock_.monotonic();
    const bool is_idle = now - last_append_ >= kIdleBeforeMark;
    const bool is_due =
        first_unsynced_ && now - *first_unsynced_ >= std::chrono::milliseconds(options_.sync_interval_ms);
    if (is_idle || is_due) {
      status = log_->sync();
      if (status.ok()) {
        first_unsynced_.reset();
        durable_position_end_.store(next_position_, std::memory_order_release);
      }
    }
    if (status.ok() && is_idle) status = log_->mark();
    if (status.ok() && !is_idle) arm_log_timer();
  }
  if (!status.ok()) stop_writes(status);
}

}  // namespace hdb
