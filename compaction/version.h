// compaction/version.h: the shape of the tree at one moment: which tables hold what.
//
// Events lie in tables of disjoint, consecutive ranges of positions. Keys of all keyspaces lie in levels: level 0 holds
// the tables as they were flushed, whose keys may overlap, newest first; in each deeper level keys are disjoint and
// tables sorted by key. For one key, every version in a level is newer than every version in the levels below; so the
// first version found from the top is the newest.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/ids.h"
#include "sstable/table_meta.h"

namespace hdb::compaction {

struct AddedTable;
struct VersionEdit;

// Held for as long as somebody may read the table: a table whose last reference is gone and that is in no newer version
// is garbage.
using TableRef = std::shared_ptr<const sstable::TableMeta>;

std::uint64_t bytes_in(const std::vector<TableRef>& tables) noexcept;  // of their files

inline constexpr std::uint32_t kLevels = 7;  // of keys

// The levels of event tables: how they were written.
inline constexpr std::uint32_t kEventLevel = 0;        // by a flush, at the fastest compression
inline constexpr std::uint32_t kMergedEventLevel = 1;  // by a merge, at the compression the options ask for

// Whether keys [smallest, largest] of the table meet [from, to], all inclusive.
bool overlaps(const sstable::TableMeta& table, ByteView from, ByteView to) noexcept;

// Immutable once made by apply(); copies share the tables.
class Version {
 public:
  const std::vector<TableRef>& event_tables() const noexcept { return events_; }  // by position
  std::uint32_t event_level(std::size_t index) const { return event_levels_.at(index); }
  Position position_begin() const noexcept { return events_.empty() ? 0 : events_.front()->position_begin; }
  Position position_end() const noexcept { return events_.empty() ? 0 : events_.back()->position_end; }
  // Null if no table holds the position.
  TableRef event_table_at(Position position) const;

  static constexpr std::uint32_t level_count() noexcept { return kLevels; }
  const std::vector<TableRef>& level(std::uint32_t level) const { return keys_.at(level); }
  // The tables of the level whose range holds the key: of level 0 newest first, of others at most one.
  std::vector<TableRef> tables_for_key(std::uint32_t level, ByteView stored_key) const;
  // The tables of the level that meet the keys [from, to], both inclusive, in the level's order.
  std::vector<TableRef> tables_for_range(std::uint32_t level, ByteView from, ByteView to) const;

  // Null if the version has no such table.
  TableRef find(FileNumber number) const;
  std::vector<TableRef> all_tables() const;
  std::size_t table_count() const noexcept;
  std::uint64_t event_bytes() const noexcept;
  std::uint64_t level_bytes(std::uint32_t level) const;
  std::uint64_t total_bytes() const noexcept;  // of all table files

  // kCorruption names the tables that break the shape stated above.
  Status check() const;

  friend bool operator==(const Version& a, const Version& b) noexcept;  // the same tables at the same places

 private:
  friend Result<Version> apply(const Version& base, const VersionEdit& edit);
  friend VersionEdit edit_of(const Version& version);

  Status check_events() const;
  Status check_level(std::uint32_t level) const;
  // Returns how many of them there were.
  std::size_t remove(const std::unordered_set<FileNumber>& numbers);
  void add_events(std::vector<AddedTable> added);

  std::vector<TableRef> events_;
  std::vector<std::uint8_t> event_levels_;  // of each table in events_
  std::array<std::vector<TableRef>, kLevels> keys_;
};

}  // namespace hdb::compaction
