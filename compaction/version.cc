#include "compaction/version.h"

#include <algorithm>
#include <string>

#include "compaction/version_edit.h"
#include "io/file_name.h"

namespace hdb::compaction {

namespace {

bool ends_before(const TableRef& table, ByteView key) noexcept {
  return compare_bytes(bytes_of(table->largest_key), key) < 0;
}

bool same_tables(const std::vector<TableRef>& a, const std::vector<TableRef>& b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const TableRef& left, const TableRef& right) { return *left == *right; });
}

Status broken(const sstable::TableMeta& a, const sstable::TableMeta& b, const std::string& what) {
  return Status::corruption("tables " + table_name(a.number) + " and " + table_name(b.number) + " " + what);
}

Status check_table(const sstable::TableMeta& table, sstable::TableKind kind) {
  const bool is_keys = kind == sstable::TableKind::kKeys;
  if (table.kind != kind) {
    return Status::corruption("table " + table_name(table.number) + " is not one of " + (is_keys ? "keys" : "events"));
  }
  const bool is_sound = is_keys ? table.sequence_min <= table.sequence_max &&
                                      compare_bytes(bytes_of(table.smallest_key), bytes_of(table.largest_key)) <= 0
                                : table.position_begin < table.position_end;
  if (is_sound) return {};
  return Status::corruption("table " + table_name(table.number) + " ends before it begins");
}

Status check_consecutive(const std::vector<TableRef>& events) {
  for (std::size_t index = 0; index < events.size(); ++index) {
    HDB_TRY(check_table(*events[index], sstable::TableKind::kEvents));
    if (index == 0 || events[index - 1]->position_end == events[index]->position_begin) continue;
    return broken(*events[index - 1], *events[index],
                  "hold events up to position " + std::to_string(events[index - 1]->position_end) + " and from " +
                      std::to_string(events[index]->position_begin) + ": they must follow one another");
  }
  return {};
}

// Tables of level 0 may share keys only if one is altogether newer.
Status check_newest_first(const std::vector<TableRef>& tables) {
  for (std::size_t newer = 0; newer < tables.size(); ++newer) {
    HDB_TRY(check_table(*tables[newer], sstable::TableKind::kKeys));
    for (std::size_t older = newer + 1; older < tables.size(); ++older) {
      const sstable::TableMeta& below = *tables[older];
      if (tables[newer]->sequence_min > below.sequence_max) continue;
      if (!overlaps(*tables[newer], bytes_of(below.smallest_key), bytes_of(below.largest_key))) continue;
      return broken(*tables[newer], below, "of level 0 share keys, and neither is newer");
    }
  }
  return {};
}

Status check_disjoint(const std::vector<TableRef>& tables, std::uint32_t level) {
  for (std::size_t index = 0; index < tables.size(); ++index) {
    HDB_TRY(check_table(*tables[index], sstable::TableKind::kKeys));
    if (index == 0 || ends_before(tables[index - 1], bytes_of(tables[index]->smallest_key))) continue;
    return broken(*tables[index - 1], *tables[index], "of level " + std::to_string(level) + " share keys");
  }
  return {};
}

}  // namespace

std::uint64_t bytes_in(const std::vector<TableRef>& tables) noexcept {
  std::uint64_t bytes = 0;
  for (const TableRef& table : tables) bytes += table->file_bytes;
  return bytes;
}

bool overlaps(const sstable::TableMeta& table, ByteView from, ByteView to) noexcept {
  return compare_bytes(bytes_of(table.smallest_key), to) <= 0 && compare_bytes(from, bytes_of(table.largest_key)) <= 0;
}

TableRef Version::event_table_at(Position position) const {
  const auto at = std::upper_bound(events_.begin(), events_.end(), position,
                                   [](Position wanted, const TableRef& table) { return wanted < table->position_end; });
  return at == events_.end() || position < (*at)->position_begin ? nullptr : *at;
}

std::vector<TableRef> Version::tables_for_key(std::uint32_t level, ByteView stored_key) const {
  return tables_for_range(level, stored_key, stored_key);
}

std::vector<TableRef> Version::tables_for_range(std::uint32_t level, ByteView from, ByteView to) const {
  const std::vector<TableRef>& tables = keys_.at(level);
  std::vector<TableRef> found;
  if (level == 0) {
    std::copy_if(tables.begin(), tables.end(), std::back_inserter(found),
                 [from, to](const TableRef& table) { return overlaps(*table, from, to); });
    return found;
  }
  auto at = std::lower_bound(tables.begin(), tables.end(), from, ends_before);
  for (; at != tables.end() && overlaps(**at, from, to); ++at) found.push_back(*at);
  return found;
}

TableRef Version::find(FileNumber number) const {
  for (const TableRef& table : events_) {
    if (table->number == number) return table;
  }
  for (const auto& tables : keys_) {
    for (const TableRef& table : tables) {
      if (table->number == number) return table;
    }
  }
  return nullptr;
}

std::vector<TableRef> Version::all_tables() const {
  std::vector<TableRef> all = events_;
  for (const auto& tables : keys_) all.insert(all.end(), tables.begin(), tables.end());
  return all;
}

std::size_t Version::table_count() const noexcept {
  std::size_t count = events_.size();
  for (const auto& tables : keys_) count += tables.size();
  return count;
}

std::uint64_t Version::event_bytes() const noexcept {
  return bytes_in(events_);
}

std::uint64_t Version::level_bytes(std::uint32_t level) const {
  return bytes_in(keys_.at(level));
}

std::uint64_t Version::total_bytes() const noexcept {
  std::uint64_t bytes = bytes_in(events_);
  for (const auto& tables : keys_) bytes += bytes_in(tables);
  return bytes;
}

Status Version::check() const {
  HDB_TRY(check_events());
  for (std::uint32_t level = 0; level < kLevels; ++level) HDB_TRY(check_level(level));
  return {};
}

Status Version::check_events() const {
  return check_consecutive(events_);
}

Status Version::check_level(std::uint32_t level) const {
  return level == 0 ? check_newest_first(keys_[0]) : check_disjoint(keys_.at(level), level);
}

std::size_t Version::remove(const std::unordered_set<FileNumber>& numbers) {
  if (numbers.empty()) return 0;
  std::size_t kept = 0;
  for (std::size_t index = 0; index < events_.size(); ++index) {
    if (numbers.contains(events_[index]->number)) continue;
    events_[kept] = events_[index];
    event_levels_[kept++] = event_levels_[index];
  }
  std::size_t removed = events_.size() - kept;
  events_.resize(kept);
  event_levels_.resize(kept);
  for (std::vector<TableRef>& tables : keys_) {
    removed += std::erase_if(tables, [&numbers](const TableRef& table) { return numbers.contains(table->number); });
  }
  return removed;
}

void Version::add_events(std::vector<AddedTable> added) {
  std::sort(added.begin(), added.end(),
            [](const AddedTable& a, const AddedTable& b) { return a.meta->position_begin < b.meta->position_begin; });
  for (const AddedTable& table : added) {
    const auto at = std::upper_bound(
        events_.begin(), events_.end(), table.meta,
        [](const TableRef& next, const TableRef& kept) { return next->position_begin < kept->position_begin; });
    event_levels_.insert(event_levels_.begin() + (at - events_.begin()), static_cast<std::uint8_t>(table.level));
    events_.insert(at, table.meta);
  }
}

bool operator==(const Version& a, const Version& b) noexcept {
  if (!same_tables(a.events_, b.events_) || a.event_levels_ != b.event_levels_) return false;
  for (std::uint32_t level = 0; level < kLevels; ++level) {
    if (!same_tables(a.keys_[level], b.keys_[level])) return false;
  }
  return true;
}

}  // namespace hdb::compaction
