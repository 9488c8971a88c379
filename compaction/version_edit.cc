#include "compaction/version_edit.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "io/file_name.h"

namespace hdb::compaction {

namespace {

struct PlacedEvents {
  TableRef table;
  std::uint8_t level;
};

// Newest first; the number decides between tables of one flush.
bool is_newer(const TableRef& a, const TableRef& b) noexcept {
  return a->sequence_max != b->sequence_max ? a->sequence_max > b->sequence_max : a->number > b->number;
}

bool is_smaller(const TableRef& a, const TableRef& b) noexcept {
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

}  // namespace

Result<Version> apply(const Version& base, const VersionEdit& edit) {
  const std::unordered_set<FileNumber> removed(edit.removed.begin(), edit.removed.end());
  std::unordered_set<FileNumber> kept;
  std::size_t removed_count = 0;
  const auto survives = [&](const TableRef& table) {
    if (removed.count(table->number) > 0) {
      ++removed_count;
      return false;
    }
    kept.insert(table->number);
    return true;
  };

  Version version;
  std::vector<PlacedEvents> events;
  for (std::size_t index = 0; index < base.events_.size(); ++index) {
    if (survives(base.events_[index])) events.push_back({base.events_[index], base.event_levels_[index]});
  }
  for (std::uint32_t level = 0; level < kLevels; ++level) {
    for (const TableRef& table : base.keys_[level]) {
      if (survives(table)) version.keys_[level].push_back(table);
    }
  }
  if (removed_count != edit.removed.size()) {
    return Status::corruption("an edit removes " + std::to_string(edit.removed.size()) + " tables, of which " +
                              std::to_string(removed_count) + " are there");
  }

  for (const AddedTable& added : edit.added) {
    HDB_TRY(check_place(added));
    if (!kept.insert(added.meta->number).second) {
      return Status::corruption("an edit adds table " + table_name(added.meta->number) + ", which is there already");
    }
    if (added.meta->kind == sstable::TableKind::kEvents) {
      events.push_back({added.meta, static_cast<std::uint8_t>(added.level)});
    } else {
      version.keys_[added.level].push_back(added.meta);
    }
  }
  std::sort(events.begin(), events.end(), [](const PlacedEvents& a, const PlacedEvents& b) {
    return a.table->position_begin < b.table->position_begin;
  });
  for (PlacedEvents& placed : events) {
    version.events_.push_back(std::move(placed.table));
    version.event_levels_.push_back(placed.level);
  }
  std::sort(version.keys_[0].begin(), version.keys_[0].end(), is_newer);
  for (std::uint32_t level = 1; level < kLevels; ++level) {
    std::sort(version.keys_[level].begin(), version.keys_[level].end(), is_smaller);
  }
  HDB_TRY(version.check());
  return version;
}

Result<ManifestState> apply(const ManifestState& base, const VersionEdit& edit) {
  HDB_TRY(check_grows("epoch", base.epoch, edit.epoch));
  HDB_TRY(check_grows("log floor", base.log_floor, edit.log_floor));
  HDB_TRY(check_grows("next sequence", base.next_sequence, edit.next_sequence));
  HDB_TRY(check_grows("position end", base.position_end, edit.position_end));
  HDB_TRY(check_grows("last commit time", base.last_commit_time, edit.last_commit_time));

  ManifestState state = base;
  state.epoch = edit.epoch.value_or(base.epoch);
  state.log_floor = edit.log_floor.value_or(base.log_floor);
  state.is_log_open = edit.is_log_open.value_or(base.is_log_open);
  state.is_copy = edit.is_copy.value_or(base.is_copy);
  state.next_sequence = edit.next_sequence.value_or(base.next_sequence);
  state.position_end = edit.position_end.value_or(base.position_end);
  state.last_commit_time = edit.last_commit_time.value_or(base.last_commit_time);
  state.next_file_number = std::max(base.next_file_number, edit.next_file_number.value_or(FileNumber()));
  for (const AddedTable& added : edit.added) {
    state.next_file_number = std::max(state.next_file_number, added.meta->number.next());
  }
  for (const AddedKeyspace& added : edit.keyspaces) HDB_TRY(add_keyspace(state.keyspaces, added));
  if (!edit.added.empty() || !edit.removed.empty()) {
    state.version = std::make_shared<const Version>(HDB_TRY(apply(*base.version, edit)));
  }
  return state;
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
