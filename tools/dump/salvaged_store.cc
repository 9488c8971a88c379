#include "tools/dump/salvaged_store.h"

#include <utility>

#include "compaction/manifest.h"
#include "io/file_name.h"
#include "io/unfinished_copy.h"
#include "sstable/verify.h"

namespace hdb::dump {

namespace {

constexpr std::uint64_t kTableBytes = 64u << 20;  // at which a table of events ends

}  // namespace

Status SalvagedStore::begin(const StoreId& source) {
  lock_ = HDB_TRY(begin_copy(env_, directory_, copy_of(CopyKind::kRepair, source)));
  HDB_TRY(remove_unfinished());
  HDB_TRY(env_.create_directory(table_directory(directory_)));
  return env_.create_directory(log_directory(directory_));
}

// What the damaged store holds may have changed since an earlier attempt, and so may what is wanted of it.
Status SalvagedStore::remove_unfinished() {
  if (HDB_TRY(env_.exists(current_path(directory_)))) {
    // Whole, but for the removal of its mark. No store any more before anything of it is gone.
    HDB_TRY(env_.remove(current_path(directory_)));
    HDB_TRY(env_.sync_directory(directory_));
  }
  for (const std::string& name : HDB_TRY(env_.list(directory_))) {
    if (!parse_manifest_name(name) && !is_temporary_name(name)) continue;
    HDB_TRY(env_.remove(directory_ + "/" + name));
  }
  const std::string tables = table_directory(directory_);
  if (!HDB_TRY(env_.exists(tables))) return {};
  for (const std::string& name : HDB_TRY(env_.list(tables))) {
    if (parse_table_name(name)) HDB_TRY(env_.remove(tables + "/" + name));
  }
  return {};
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
  HDB_TRY(env_.remove(unfinished_path(directory_)));
  return env_.sync_directory(directory_);
}

FileNumber SalvagedStore::new_number() {
  return std::exchange(next_number_, next_number_.next());
}

}  // namespace hdb::dump
