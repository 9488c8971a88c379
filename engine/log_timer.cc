// Syncs interval appends in time, and marks the durable end of a log that has been idle, so that later damage below it
// is told from a torn tail.
#include "engine/store.h"

namespace hdb {

namespace {
constexpr std::chrono::milliseconds kIdleBeforeMark{100};
}

void Store::arm_log_timer() {
  if (is_timer_armed_) return;
  is_timer_armed_ = true;
  auto delay = kIdleBeforeMark;
  if (first_unsynced_) delay = std::min(delay, std::chrono::milliseconds(options_.sync_interval_ms));
  background_->after(delay, [this] { on_log_timer(); });
}

void Store::on_log_timer() {
  Status status;
  {
    MutexLock lock(log_mutex_);
    is_timer_armed_ = false;
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
