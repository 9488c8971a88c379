// Background compaction: asks the picker, runs the job, installs its edit. Several at once, on disjoint tables.
#include <algorithm>

#include "compaction/job.h"
#include "engine/ready_errors.h"
#include "engine/store.h"
#include "engine/table_settings.h"
#include "io/file_name.h"

namespace hdb {

namespace {

constexpr std::chrono::milliseconds kCompactionRetryDelay{1000};

std::uint64_t bytes_of_tables(const std::vector<std::shared_ptr<const sstable::TableMeta>>& tables) {
  std::uint64_t bytes = 0;
  for (const auto& table : tables) bytes += table->file_bytes;
  return bytes;
}

}  // namespace

void Store::schedule_compactions() noexcept {
  try {
    while (!is_stopping_.load(std::memory_order_acquire) && write_error_.ok() &&
           running_compactions_ < options_.background_threads) {
      auto plan = compaction::pick(*version_, picker_settings(options_), compacting_, closed_level_);
      if (!plan) return;
      start_compaction(std::move(*plan));
    }
  } catch (...) {  // the next flush asks again
    compaction_error_ = out_of_memory();
  }
}

void Store::start_compaction(compaction::Plan plan) {
  const std::vector<FileNumber> inputs = plan.input_numbers();
  const std::uint32_t closed_level = plan.is_of_all_keys ? plan.output_level : closed_level_;
  try {
    compacting_.insert(inputs.begin(), inputs.end());
    // The task holds the plan's tables, and lets them go before it ends.
    background_->submit(Background::Priority::kCompaction,
                        [this, chosen = std::make_shared<const compaction::Plan>(std::move(plan))]() mutable {
                          run_compaction(std::move(chosen));
                        });
  } catch (...) {
    for (const FileNumber number : inputs) compacting_.erase(number);
    throw;
  }
  closed_level_ = closed_level;
  ++running_compactions_;
}

void Store::run_compaction(std::shared_ptr<const compaction::Plan> plan) noexcept {
  const Status status = without_exceptions([&] { return compact_once(*plan); });
  const bool is_stopping = is_stopping_.load(std::memory_order_acquire);
  if (!status.ok() && !is_stopping) note_first_error(status);
  {
    MutexLock lock(state_mutex_);
    for (const auto& group : plan->inputs) {
      for (const auto& table : group) compacting_.erase(table->number);
    }
    if (plan->is_of_all_keys) closed_level_ = 0;
  }
  plan.reset();  // its inputs are garbage now
  collect_garbage();
  MutexLock lock(state_mutex_);
  --running_compactions_;
  compaction_error_ = status;
  if (status.ok()) {
    schedule_compactions();
  } else if (!is_stopping && status.code() != StatusCode::kCorruption) {
    // Its outputs are discarded, its inputs still there. Damage stays: compaction leaves it to verify and salvage.
    schedule_compaction_retry();
  }
  state_signal_.notify_all();
}

void Store::schedule_compaction_retry() noexcept {
  try {
    background_->after(kCompactionRetryDelay, [this] {
      MutexLock lock(state_mutex_);
      schedule_compactions();
    });
  } catch (...) {  // the next flush asks again
  }
}

Status Store::compact_once(const compaction::Plan& plan) {
  const auto began = clock_.monotonic();
  compaction::JobContext context{
      .env = env_,
      .directory = directory_,
      .tables = *tables_,
      .settings = merge_settings(options_),
      .held_sequences = visibility_->held_sequences(),
      .next_file_number = [this] { return next_file_number(); },
      .is_stopping = [this] { return is_stopping_.load(std::memory_order_acquire); },
      .pace = [this](std::uint64_t bytes) { pace_compaction(bytes); },
  };
  const compaction::VersionEdit edit = HDB_TRY(compaction::run_job(plan, context));
  if (const Status installed = install(edit, nullptr); !installed.ok()) {
    if (installed.code() == StatusCode::kCorruption && !plan.is_move) discard(edit);
    return installed;
  }

  counters_.compactions.fetch_add(1, std::memory_order_relaxed);
  if (plan.is_move) {
    counters_.table_moves.fetch_add(1, std::memory_order_relaxed);
    return {};
  }
  std::uint64_t written = 0;
  for (const auto& added : edit.added) written += added.meta->file_bytes;
  counters_.table_bytes_compacted.fetch_add(written, std::memory_order_relaxed);
  const std::uint64_t read = bytes_of_tables(plan.all_inputs());
  const std::chrono::duration<double> took = clock_.monotonic() - began;
  {
    MutexLock lock(state_mutex_);
    if (took.count() > 0) compact_bytes_per_s_ = static_cast<double>(read) / took.count();
  }
  notify(Notice::kCompaction, "merged " + std::to_string(plan.all_inputs().size()) + " tables of " +
                                  std::to_string(read) + " bytes into " + std::to_string(written) + " bytes");
  return {};
}

// The tables of an edit that was refused before it was written.
void Store::discard(const compaction::VersionEdit& edit) {
  for (const auto& added : edit.added) {
    ignore(env_.remove(table_path(directory_, added.meta->number)), "an orphan is deleted at the next open");
  }
}

void Store::pace_compaction(std::uint64_t bytes) {
  if (options_.compaction_bytes_per_s == 0) return;
  constexpr std::chrono::microseconds kSlice{20'000};  // close() is waited for no longer
  const double seconds = static_cast<double>(bytes) / static_cast<double>(options_.compaction_bytes_per_s);
  std::chrono::microseconds left(static_cast<std::int64_t>(seconds * 1e6));
  while (left.count() > 0 && !is_stopping_.load(std::memory_order_acquire)) {
    const auto slice = std::min(left, kSlice);
    background_->sleep(slice);
    left -= slice;
  }
}

Status Store::compact() {
  HDB_TRY(flush());
  MutexLock lock(state_mutex_);
  compaction_error_ = {};
  while (true) {
    while (running_compactions_ > 0) {
      HDB_TRY(check_open());
      background_->wait(state_mutex_, state_signal_);
    }
    if (!write_error_.ok()) return write_error_;
    if (!compaction_error_.ok()) return compaction_error_;
    auto plan = compaction::pick_full(*version_, picker_settings(options_));
    if (!plan) return {};
    start_compaction(std::move(*plan));
  }
}

}  // namespace hdb
