#include "compaction/version_edit.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "io/file_name.h"

namespace hdb::compaction {

namespace {

// Newest first; the number decides between tables of one flush.
bool is_newer(const TableRef& a, const TableRef& b) {
  return a->sequence_max != b->sequence_max ? a->sequence_max > b->sequence_max : a->number > b->number;
}

bool is_smaller(const TableRef& a, const TableRef& b) {
  return compare_bytes(bytes_of(a->smallest_key), bytes_of(b->smallest_key)) < 0;
}

Status check_place(const AddedTable& added) {
  const bool is_events = added.meta->kind == sstable::TableKind::kEvents;
  const std::uint32_t levels = is_events ? kMergedEventLevel + 1 : kLevels;
  if (added.level < levels) return {};
  return Status::corruption("table " + table_name(added.meta->number) + " is added at level " +
                            std::to_string(added.level) + ", of " + std::to_string(levels));
}

template <typename T>
Status check_grows(const char* what, const T& before, const std::optional<T>& after) {
  if (!after || *after >= before) return {};
  return Status::corruption(std::string("an edit takes the ") + what + " back");
}

Status add_keyspace(std::vector<AddedKeyspace>& keyspaces, const AddedKeyspace& added) {
  for (const AddedKeyspace& known : keyspaces) {
    if (known.id != added.id && known.name != added.name) continue;
    return Status::corruption("an edit adds keyspace " + std::to_string(added.id) + " \"" + added.name +
                              "\" beside keyspace " + std::to_string(known.id) + " \"" + known.name + "\"");
  }
  const auto at = std::find_if(keyspaces.begin(), keyspaces.end(),
                               [&added](const AddedKeyspace& known) { return known.id > added.id; });
  keyspaces.insert(at, added);
  return {};
}

// `kept` is sorted, and is so again.
void add_sorted(std::vector<TableRef>& kept, std::vector<TableRef> added,
                bool (*is_before)(const TableRef&, const TableRef&)) {
  std::sort(added.begin(), added.end(), is_before);
  const auto middle = kept.insert(kept.end(), added.begin(), added.end());
  std::inplace_merge(kept.begin(), middle, kept.end(), is_before);
}

Status check_removed(const VersionEdit& edit, std::size_t removed) {
  if (removed == edit.removed.size()) return {};
  return Status::corruption("an edit removes " + std::to_string(edit.removed.size()) + " tables, of which " +
                            std::to_string(removed) + " are there");
}

Status is_there_already(FileNumber table) {
  return Status::corruption("an edit adds table " + table_name(table) + ", which is there already");
}

Status check_new(const std::vector<TableRef>& kept, const std::unordered_set<FileNumber>& added) {
  const auto found =
      std::find_if(kept.begin(), kept.end(), [&added](const TableRef& table) { return added.contains(table->number); });
  return found == kept.end() ? Status() : is_there_already((*found)->number);
}

Status apply_all_but_tables(ManifestState& state, const VersionEdit& edit) {
  HDB_TRY(check_grows("epoch", state.epoch, edit.epoch));
  HDB_TRY(check_grows("log floor", state.log_floor, edit.log_floor));
  HDB_TRY(check_grows("next sequence", state.next_sequence, edit.next_sequence));
  HDB_TRY(check_grows("position end", state.position_end, edit.position_end));
  HDB_TRY(check_grows("last commit time", state.last_commit_time, edit.last_commit_time));

  state.epoch = edit.epoch.value_or(state.epoch);
  state.log_floor = edit.log_floor.value_or(state.log_floor);
  state.is_log_open = edit.is_log_open.value_or(state.is_log_open);
  state.is_copy = edit.is_copy.value_or(state.is_copy);
  state.next_sequence = edit.next_sequence.value_or(state.next_sequence);
  state.position_end = edit.position_end.value_or(state.position_end);
  state.last_commit_time = edit.last_commit_time.value_or(state.last_commit_time);
  state.next_file_number = std::max(state.next_file_number, edit.next_file_number.value_or(FileNumber()));
  for (const AddedTable& added : edit.added) {
    state.next_file_number = std::max(state.next_file_number, added.meta->number.next());
  }
  for (const AddedKeyspace& added : edit.keyspaces) HDB_TRY(add_keyspace(state.keyspaces, added));
  return {};
}

}  // namespace

// An edit changes a few of what may be thousands of tables: levels of keys to which it adds nothing are neither sorted
// nor checked again.
Result<Version> apply(const Version& base, const VersionEdit& edit) {
  Version version = base;
  const std::size_t removed = version.remove({edit.removed.begin(), edit.removed.end()});
  HDB_TRY(check_removed(edit, removed));
  std::unordered_set<FileNumber> added_numbers;
  for (const AddedTable& added : edit.added) {
    HDB_TRY(check_place(added));
    if (!added_numbers.insert(added.meta->number).second) return is_there_already(added.meta->number);
  }
  HDB_TRY(check_new(version.events_, added_numbers));
  for (const std::vector<TableRef>& tables : version.keys_) HDB_TRY(check_new(tables, added_numbers));

  std::vector<AddedTable> events;
  std::array<std::vector<TableRef>, kLevels> keys;
  for (const AddedTable& added : edit.added) {
    if (added.meta->kind == sstable::TableKind::kEvents) {
      events.push_back(added);
    } else {
      keys[added.level].push_back(added.meta);
    }
  }
  version.add_events(std::move(events));
  HDB_TRY(version.check_events());
  for (std::uint32_t level = 0; level < kLevels; ++level) {
    if (keys[level].empty()) continue;
    add_sorted(version.keys_[level], std::move(keys[level]), level == 0 ? is_newer : is_smaller);
    HDB_TRY(version.check_level(level));
  }
  return version;
}

Result<ManifestState> apply(const ManifestState& base, const VersionEdit& edit) {
  ManifestState state = base;
  HDB_TRY(apply_all_but_tables(state, edit));
  if (!edit.added.empty() || !edit.removed.empty()) {
    state.version = std::make_shared<const Version>(HDB_TRY(apply(*base.version, edit)));
  }
  return state;
}

Status StateReplay::apply(const VersionEdit& edit) {
  HDB_TRY(apply_all_but_tables(state_, edit));
  std::size_t removed = 0;
  for (const FileNumber number : edit.removed) removed += tables_.erase(number);
  HDB_TRY(check_removed(edit, removed));
  for (const AddedTable& added : edit.added) {
    HDB_TRY(check_place(added));
    if (!tables_.try_emplace(added.meta->number, added).second) return is_there_already(added.meta->number);
  }
  return {};
}

Result<ManifestState> StateReplay::finish() && {
  VersionEdit all;
  all.added.reserve(tables_.size());
  for (const auto& [number, table] : tables_) all.added.push_back(table);
  tables_.clear();
  state_.version = std::make_shared<const Version>(HDB_TRY(compaction::apply(Version(), all)));
  return std::move(state_);
}

VersionEdit edit_of(const Version& version) {
  VersionEdit edit;
  for (std::size_t index = 0; index < version.events_.size(); ++index) {
    edit.added.push_back({version.event_levels_[index], version.events_[index]});
  }
  for (std::uint32_t level = 0; level < kLevels; ++level) {
    for (const TableRef& table : version.keys_[level]) edit.added.push_back({level, table});
  }
  return edit;
}

VersionEdit edit_of(const ManifestState& state) {
  VersionEdit edit = edit_of(*state.version);
  edit.epoch = state.epoch;
  edit.log_floor = state.log_floor;
  edit.is_log_open = state.is_log_open;
  if (state.is_copy) edit.is_copy = true;
  edit.next_file_number = state.next_file_number;
  edit.next_sequence = state.next_sequence;
  edit.position_end = state.position_end;
  edit.last_commit_time = state.last_commit_time;
  edit.keyspaces = state.keyspaces;
  return edit;
}

}  // namespace hdb::compaction
