#include "compaction/job.h"

#include <memory>
#include <optional>
#include <utility>

#include "base/seeded_defect.h"
#include "compaction/merge_iterator.h"
#include "compaction/retain.h"
#include "io/file_name.h"
#include "sstable/event_table_builder.h"
#include "sstable/key_table_builder.h"

namespace hdb::compaction {

namespace {

constexpr sstable::ReadOptions kReadOnce{.fill_cache = false};

// The tables a job writes, one after the other. Single-owner; removes the files of tables that were not given away.
template <typename Builder>
class Outputs {
 public:
  Outputs(const Plan& plan, const JobContext& context) : plan_(plan), context_(context) {}
  Outputs(const Outputs&) = delete;
  Outputs& operator=(const Outputs&) = delete;
  ~Outputs() {
    builder_.reset();
    try {
      for (const FileNumber number : written_) {
        ignore(context_.env.remove(table_path(context_.directory, number)), "an orphan is removed at the next open");
      }
    } catch (const std::bad_alloc&) {  // likewise
    }
  }

  // The table to add to; a new one if there is none.
  Result<Builder*> current() {
    if (!builder_) {
      const FileNumber number = context_.next_file_number();
      auto file = HDB_TRY(context_.env.create(table_path(context_.directory, number), context_.settings.writes));
      written_.push_back(number);
      builder_.emplace(std::move(file), number, context_.settings);
      accounted_bytes_ = 0;
    }
    return &*builder_;
  }
  bool is_full() const { return builder_ && builder_->file_bytes() >= plan_.output_table_bytes; }

  // Accounts for what was written since the last call, if that is a block or more. kClosed if the job is to stop.
  Status after_add() {
    const std::uint64_t bytes = builder_->file_bytes();
    if (bytes < accounted_bytes_ + context_.settings.block_bytes / 4) return {};
    context_.pace(bytes - accounted_bytes_);
    accounted_bytes_ = bytes;
    return check_stopping();
  }

  Status check_stopping() const {
    if (!context_.is_stopping()) return {};
    return Status::error(StatusCode::kClosed, "the compaction was stopped; it starts anew at the next open");
  }

  Status finish_table() {
    if (!builder_) return {};
    sstable::TableMeta meta = HDB_TRY(builder_->finish());
    builder_.reset();
    context_.pace(meta.file_bytes > accounted_bytes_ ? meta.file_bytes - accounted_bytes_ : 0);
    finished_.push_back({plan_.output_level, std::make_shared<const sstable::TableMeta>(std::move(meta))});
    return {};
  }

  // All tables, durably.
  Result<std::vector<AddedTable>> finish() {
    HDB_TRY(finish_table());
    if (!written_.empty() && !HDB_SEEDED(forget_the_sync_of_merged_names))
      HDB_TRY(context_.env.sync_directory(table_directory(context_.directory)));
    written_.clear();
    return std::move(finished_);
  }

 private:
  const Plan& plan_;
  const JobContext& context_;
  std::optional<Builder> builder_;
  std::uint64_t accounted_bytes_ = 0;  // of builder_'s file, told to pace()
  std::vector<FileNumber> written_;
  std::vector<AddedTable> finished_;
};

Status damaged_input(const JobContext& context, const sstable::TableMeta& table, const std::string& what) {
  return Status::corruption(table_path(context.directory, table.number) + ": " + what + "; restore it from a backup");
}

Result<std::vector<AddedTable>> merge_events(const Plan& plan, const JobContext& context) {
  using Scanner = sstable::EventTable::Scanner;
  Outputs<sstable::EventTableBuilder> outputs(plan, context);
  for (const TableRef& input : plan.all_inputs()) {
    HDB_TRY(outputs.check_stopping());
    const auto table = HDB_TRY(context.tables.get_events(*input));
    Scanner scanner(table, input->position_begin, input->position_end, Scanner::Direction::kAscending, kReadOnce);
    Position expected = input->position_begin;
    while (const auto event = HDB_TRY(scanner.next())) {
      sstable::EventTableBuilder* builder = HDB_TRY(outputs.current());
      if (outputs.is_full() || builder->entry_count() == sstable::kEventsPerTableMax) {
        HDB_TRY(outputs.finish_table());
        builder = HDB_TRY(outputs.current());
      }
      HDB_TRY(builder->add(event->position, event->commit_time, event->record));
      HDB_TRY(outputs.after_add());
      ++expected;
    }
    if (expected != input->position_end) {
      return damaged_input(
          context, *input,
          "it ends at position " + std::to_string(expected) + ", not " + std::to_string(input->position_end));
    }
  }
  return outputs.finish();
}

// Whether a table under the output level may hold a key. Keys are asked about in ascending order.
class Beneath {
 public:
  explicit Beneath(const Plan& plan) : levels_(plan.beneath), next_(plan.beneath.size(), 0) {}

  bool may_hold(ByteView key) {
    for (std::size_t level = 0; level < levels_.size(); ++level) {
      const std::vector<TableRef>& tables = levels_[level];
      std::size_t& at = next_[level];
      while (at < tables.size() && compare_bytes(bytes_of(tables[at]->largest_key), key) < 0) ++at;
      if (at < tables.size() && overlaps(*tables[at], key, key)) return true;
    }
    return false;
  }

 private:
  const std::vector<std::vector<TableRef>>& levels_;
  std::vector<std::size_t> next_;  // per level, the first table that does not end before the last key
};

Result<std::vector<AddedTable>> merge_keys(const Plan& plan, const JobContext& context) {
  std::vector<std::unique_ptr<EntryIterator>> sources;
  for (const std::vector<TableRef>& group : plan.inputs) {
    sources.push_back(concatenate(context.tables, group, kReadOnce));
  }
  const std::unique_ptr<EntryIterator> entries = merge(std::move(sources));
  Beneath beneath(plan);
  Retention retention(context.held_sequences, [&beneath](ByteView key) { return beneath.may_hold(key); });
  Outputs<sstable::KeyTableBuilder> outputs(plan, context);
  // Dropped entries write nothing, so stopping is also looked at by their count.
  constexpr std::uint64_t kStopInterval = 4096;
  std::uint64_t entry_count = 0;
  for (bool has_entry = entries->seek_to_first(); has_entry; has_entry = entries->next()) {
    if (++entry_count % kStopInterval == 0) HDB_TRY(outputs.check_stopping());
    const Entry& entry = entries->entry();
    const bool is_kept = retention.keeps(entry);
    // All versions of a key stay in one table, or tables of a level would share it.
    if (retention.is_new_key() && outputs.is_full()) HDB_TRY(outputs.finish_table());
    if (!is_kept) continue;
    sstable::KeyTableBuilder* builder = HDB_TRY(outputs.current());
    HDB_TRY(builder->add(entry));
    HDB_TRY(outputs.after_add());
  }
  HDB_TRY(entries->status());
  return outputs.finish();
}

}  // namespace

Result<VersionEdit> run_job(const Plan& plan, const JobContext& context) {
  VersionEdit edit;
  edit.removed = plan.input_numbers();
  if (plan.is_move) {
    for (const TableRef& table : plan.all_inputs()) edit.added.push_back({plan.output_level, table});
    return edit;
  }
  const bool is_events = plan.kind == sstable::TableKind::kEvents;
  edit.added = is_events ? HDB_TRY(merge_events(plan, context)) : HDB_TRY(merge_keys(plan, context));
  return edit;
}

}  // namespace hdb::compaction
