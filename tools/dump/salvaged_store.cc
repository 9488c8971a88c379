#include "tools/dump/salvaged_store.h"

#include <utility>

#include "base/seeded_defect.h"
#include "compaction/manifest.h"
#include "io/file_name.h"
#include "io/unfinished_copy.h"
#include "sstable/verify.h"

namespace hdb::dump {

namespace {

constexpr std::uint64_t kTableBytes = 64u << 20;  // at which a table of events ends

// What a directory that is marked as unfinished holds may be a store all the same, of which a power loss undid the
// removal of the mark, and then belong to who wrote to it.
Status check_is_copy(Env& env, const std::string& directory) {
  if (HDB_SEEDED(wipe_a_store_in_use) || !HDB_TRY(env.exists(current_path(directory)))) return {};
  const auto there = compaction::recover(env, directory);
  if (there.ok() && there->state.is_copy) return {};
  std::string what;
  if (there.ok()) {
    what = "was opened for writing since it was made";
  } else if (there.status().code() == StatusCode::kCorruption || there.status().code() == StatusCode::kUnsupported) {
    what = "may have been written to since it was made (" + std::string(there.status().message()) + ")";
  } else {
    return there.status();
  }
  return Status::invalid_argument(directory + ": " + what + "; choose an empty or a new directory");
}

// Files whose names `is_own` knows, and those that were being made.
Status remove_files(Env& env, const std::string& directory, const std::function<bool(const std::string&)>& is_own) {
  const auto names = env.list(directory);
  if (names.status().code() == StatusCode::kNotFound) return {};
  HDB_TRY(names.status());
  for (const std::string& name : names.value()) {
    if (is_own(name) || is_temporary_name(name)) HDB_TRY(env.remove(directory + "/" + name));
  }
  return {};
}

}  // namespace

Status check_repair_target(Env& env, const std::string& directory) {
  HDB_TRY(check_copy_target(env, directory, {CopyKind::kRepair, {}}));
  return check_is_copy(env, directory);
}

Status SalvagedStore::begin(const StoreId& source) {
  HDB_TRY(check_repair_target(env_, directory_));  // before the lock: what is refused stays as it was
  lock_ = HDB_TRY(begin_copy(env_, directory_, copy_of(CopyKind::kRepair, source)));
  HDB_TRY(check_is_copy(env_, directory_));
  HDB_TRY(remove_unfinished());
  HDB_TRY(env_.create_directory(table_directory(directory_)));
  HDB_TRY(env_.create_directory(log_directory(directory_)));
  return env_.sync_directory(log_directory(directory_));  // the tables' is synced when they are made
}

// What the damaged store holds may have changed since an earlier attempt, and so may what is wanted of it.
Status SalvagedStore::remove_unfinished() {
  if (HDB_TRY(env_.exists(current_path(directory_)))) {
    // Whole, but for the removal of its mark. No store any more before anything of it is gone.
    HDB_TRY(env_.remove(current_path(directory_)));
    HDB_TRY(env_.sync_directory(directory_));
  }
  HDB_TRY(
      remove_files(env_, directory_, [](const std::string& name) { return parse_manifest_name(name).has_value(); }));
  // A copy has no log. One that is left there would be taken for that of the store that is made here.
  HDB_TRY(remove_files(env_, log_directory(directory_),
                       [](const std::string& name) { return parse_segment_name(name).has_value(); }));
  return remove_files(env_, table_directory(directory_),
                      [](const std::string& name) { return parse_table_name(name).has_value(); });
}

Status SalvagedStore::copy(const SurveyedTable& table, std::uint32_t level) {
  HDB_TRY(end_events());
  HDB_TRY(copy_file(env_, table.path, table_path(directory_, table.number)));
  edit_.added.push_back({level, std::make_shared<const sstable::TableMeta>(*table.meta)});
  return {};
}

Status SalvagedStore::add_event(Position position, Timestamp commit_time, const RecordView& record) {
  if (events_ && (events_->file_bytes() >= kTableBytes || events_->entry_count() == sstable::kEventsPerTableMax)) {
    HDB_TRY(end_events());
  }
  if (!events_) {
    const FileNumber number = new_number();
    auto file = HDB_TRY(env_.create(table_path(directory_, number)));
    events_.emplace(std::move(file), number, sstable::TableSettings{});
  }
  return events_->add(position, commit_time, record);
}

Status SalvagedStore::end_events() {
  if (!events_) return {};
  sstable::TableMeta meta = HDB_TRY(events_->finish());
  edit_.added.push_back({compaction::kMergedEventLevel, std::make_shared<const sstable::TableMeta>(std::move(meta))});
  events_.reset();
  return {};
}

Status SalvagedStore::add_keys(std::uint32_t level, const std::function<Status(sstable::KeyTableBuilder&)>& fill) {
  const FileNumber number = new_number();
  const std::string path = table_path(directory_, number);
  sstable::KeyTableBuilder builder(HDB_TRY(env_.create(path)), number, sstable::TableSettings{});
  HDB_TRY(fill(builder));
  if (builder.entry_count() == 0) return env_.remove(path);
  sstable::TableMeta meta = HDB_TRY(builder.finish());
  edit_.added.push_back({level, std::make_shared<const sstable::TableMeta>(std::move(meta))});
  return {};
}

Status SalvagedStore::finish(compaction::ManifestState state) {
  HDB_TRY(end_events());
  HDB_TRY(env_.sync_directory(table_directory(directory_)));
  for (const auto& added : edit_.added) {
    const std::string path = table_path(directory_, added.meta->number);
    HDB_TRY(sstable::verify_table(env_, path, added.meta->number, added.meta.get()));
  }
  compaction::Version version = HDB_TRY(apply(compaction::Version(), edit_));
  state.version = std::make_shared<const compaction::Version>(std::move(version));
  state.position_end = state.version->position_end();
  state.is_log_open = false;
  state.log_floor = {state.log_floor.segment.next(), 0};  // as after a close: the copy has no part of a segment
  state.is_copy = true;
  state.next_file_number = next_number_;
  HDB_TRY(compaction::Manifest::create(env_, directory_, std::move(state), 0, [this] { return new_number(); }));
  return remove_mark(env_, directory_);
}

FileNumber SalvagedStore::new_number() {
  return std::exchange(next_number_, next_number_.next());
}

}  // namespace hdb::dump
