// Appends slow down, and then stop, while what they leave to be done is over its bounds.
#include <algorithm>

#include "engine/store.h"

namespace hdb {

Status Store::wait_for_room(std::uint64_t batch_bytes) {
  if (has_room_.load(std::memory_order_relaxed)) return {};
  std::optional<std::chrono::nanoseconds> stalled_at;  // looked at only when there is something to time
  std::chrono::microseconds delay{0};
  while (true) {
    std::string reason;
    {
      MutexLock lock(state_mutex_);
      if (!write_error_.ok()) return write_error_;
      HDB_TRY(check_open());
      const Pressure pressure = pressure_now();
      if (!pressure.is_at_bound) {
        delay = delay_of(batch_bytes, pressure.bytes_per_s);
        break;
      }
      if (!pressure.error.ok()) {
        schedule_flush();  // for the next append; the retry's timer may have found no memory
        schedule_compactions();
        return pressure.error.in_context("append refused: " + pressure.reason + ", and that fails");
      }
      if (stalled_at) {
        background_->wait(state_mutex_, state_signal_);
        continue;
      }
      reason = pressure.reason;
    }
    stalled_at = clock_.monotonic();
    counters_.stalls.fetch_add(1, std::memory_order_relaxed);
    notify(Notice::kStall, "appends wait: " + reason);
  }
  if (!stalled_at && delay.count() == 0) return {};
  const auto began = stalled_at ? *stalled_at : clock_.monotonic();
  if (delay.count() > 0) {
    counters_.slowdowns.fetch_add(1, std::memory_order_relaxed);
    background_->sleep(delay);
  }
  const auto waited = std::chrono::duration_cast<std::chrono::microseconds>(clock_.monotonic() - began);
  counters_.stall_us.fetch_add(static_cast<std::uint64_t>(waited.count()), std::memory_order_relaxed);
  return {};
}

// Appends pass one after the other, each taking as long as its bytes at that rate, whoever makes them.
std::chrono::microseconds Store::delay_of(std::uint64_t batch_bytes, double bytes_per_s) {
  constexpr std::chrono::nanoseconds kDelayMax = std::chrono::milliseconds(40);
  if (bytes_per_s <= 0) return std::chrono::microseconds(0);
  const auto now = clock_.monotonic();
  const std::chrono::duration<double> takes(static_cast<double>(batch_bytes) / bytes_per_s);
  const auto end = std::max(now, appends_until_) + std::chrono::ceil<std::chrono::nanoseconds>(takes);
  appends_until_ = std::min(end, now + kDelayMax);
  return std::chrono::duration_cast<std::chrono::microseconds>(appends_until_ - now);
}

Store::Pressure Store::pressure_now() {
  Pressure memtables = pressure_of_memtables();
  Pressure level0 = pressure_of_level0();
  if (memtables.is_at_bound || level0.is_at_bound) return memtables.is_at_bound ? memtables : level0;
  const bool is_level0_slower =
      level0.bytes_per_s > 0 && (memtables.bytes_per_s == 0 || level0.bytes_per_s < memtables.bytes_per_s);
  return is_level0_slower ? level0 : memtables;
}

// While the last memtable fills: so fast that it will be full when the flush has made room for another. A flush that
// takes longer than the last one let expect is taken to end soon, for as long as there is any room.
Store::Pressure Store::pressure_of_memtables() {
  constexpr double kOverdue = 8;  // what part of the time of a flush is left when it should have ended
  constexpr double kSecondsMin = 1e-3;
  Pressure pressure;
  if (sealed_.size() < options_.sealed_memtables_max) return pressure;
  const std::uint64_t filled = active_claimed_bytes_.load(std::memory_order_relaxed);
  pressure.reason = std::to_string(sealed_.size()) + " sealed memtables wait for their flush";
  pressure.is_at_bound = filled >= options_.memtable_bytes;
  if (!is_flushing_) pressure.error = flush_error_;
  if (pressure.is_at_bound) return pressure;
  const std::chrono::duration<double> took = clock_.monotonic() - flush_began_;
  double seconds_left = took.count();  // of the first: it may take as long again
  if (flush_bytes_per_s_ > 0) {
    const double takes = static_cast<double>(sealed_.front()->table->bytes()) / flush_bytes_per_s_;
    seconds_left = std::max(takes - took.count(), takes / kOverdue);
  }
  pressure.bytes_per_s = static_cast<double>(options_.memtable_bytes - filled) / std::max(seconds_left, kSecondsMin);
  return pressure;
}

// At the bound as slow as tables are merged, half-way to it twice as fast.
Store::Pressure Store::pressure_of_level0() {
  Pressure pressure;
  const std::size_t level0 = version_->level(0).size();
  const std::size_t stop = options_.level0_stop_trigger;
  if (level0 <= stop / 2) return pressure;
  const double share = static_cast<double>(level0 - stop / 2) / static_cast<double>(stop - stop / 2);
  pressure.reason = std::to_string(level0) + " keyspace tables in level 0 wait for compaction";
  pressure.is_at_bound = share >= 1;
  pressure.bytes_per_s = compact_bytes_per_s_ / share;
  if (running_compactions_ == 0) pressure.error = compaction_error_;
  return pressure;
}

}  // namespace hdb
