// Syncs interval appends in time, and marks the durable end of a log that has been idle, so that later damage below it
// is told from a torn tail.
#include <algorithm>

#include "base/seeded_defect.h"
#include "engine/ready_errors.h"
#include "engine/store.h"

namespace hdb {

namespace {
constexpr std::chrono::milliseconds kIdleBeforeMark{100};
}

// Without memory for a timer the next append arms it.
void Store::arm_log_timer() noexcept {
  arm_log_timer(last_append_ + kIdleBeforeMark);
}

void Store::arm_log_timer(std::chrono::nanoseconds due) noexcept {
  if (first_unsynced_) due = std::min(due, *first_unsynced_ + std::chrono::milliseconds(options_.sync_interval_ms));
  if (timer_due_ && *timer_due_ <= due) return;
  const auto wait = std::max(due - clock_.monotonic(), std::chrono::nanoseconds(0));
  try {
    background_->after(std::chrono::ceil<std::chrono::milliseconds>(wait), [this, due] { on_log_timer(due); });
    timer_due_ = due;
  } catch (...) {
  }
}

void Store::on_log_timer(std::chrono::nanoseconds due) noexcept {
  const Status status = without_exceptions([this, due] { return sync_by_timer(due); });
  // A sync that found no memory has not been tried.
  if (!status.ok() && status.code() != StatusCode::kOutOfMemory) stop_writes(status);
}

Status Store::sync_by_timer(std::chrono::nanoseconds due) {
  MutexLock lock(log_mutex_);
  if (timer_due_ != due) return {};  // another was set since, for before that
  timer_due_.reset();
  if (is_closed_.load(std::memory_order_acquire) || HDB_SEEDED(never_sync_by_the_timer)) return {};
  const auto now = clock_.monotonic();
  const bool is_idle = now - last_append_ >= kIdleBeforeMark;
  const bool is_due = first_unsynced_ && now - *first_unsynced_ >= std::chrono::milliseconds(options_.sync_interval_ms);
  if (is_idle && !is_due && log_->durable_end() < log_->end() && is_flushing()) {
    // What a flush is about to delete need not reach the device, which the flush wants for itself.
    arm_log_timer(now + kIdleBeforeMark);
    return {};
  }
  if (is_idle || is_due) {
    HDB_TRY(check_place());
    HDB_TRY(log_->sync());
    first_unsynced_.reset();
    durable_position_end_.store(next_position_, std::memory_order_release);
  }
  if (is_idle) return log_->mark();
  arm_log_timer();
  return {};
}

bool Store::is_flushing() {
  MutexLock lock(state_mutex_);
  return is_flushing_;
}

}  // namespace hdb
