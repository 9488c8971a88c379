// compaction/picker.h: which tables to merge next. Pure: it looks at a version and decides; job.h does it.
//
// Events. A table is settled when it has been merged (or flushes write as merges do) and has at least
// table_bytes_target / event_merge_width bytes; settled tables are left alone. Others are merged with their neighbours,
// event_merge_width of them or table_bytes_target bytes at once, into settled ones: an event is written twice, once by
// its flush and once by its merge. Only where flushes are so small (below target / width^2) that one merge does not
// settle them, their outputs are merged again with others of their size: one more time for each power of the width.
// A few small tables shut in between settled ones are merged once more, as nothing will come to join them.
//
// Keys. The level most over its target is merged into the next: from level 0 the oldest table and whatever overlaps it;
// from deeper levels the table with the least overlap below for its size. A table that overlaps nothing below moves
// without being rewritten.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/ids.h"
#include "compaction/version.h"

namespace hdb::compaction {

struct PickerSettings {
  std::uint64_t table_bytes_target = 256ull << 20;   // the size aimed at for one table
  std::uint32_t event_merge_width = 16;              // neighbouring event tables merged at once, at least 2
  std::uint32_t level0_trigger = 8;                  // tables in level 0 that start a compaction
  std::uint32_t level_size_ratio = 10;               // of each level's target to that of the level above
  std::uint64_t level1_bytes_target = 256ull << 20;  // the target of level 1
  // Flushes write event tables as merges would: same compression and level. Large ones then need no merge.
  bool is_flush_final = false;
};

// What one compaction does. Plain data; holds on to its tables.
struct Plan {
  sstable::TableKind kind = sstable::TableKind::kEvents;
  // Nothing is rewritten: the tables only change their level.
  bool is_move = false;
  // All keys of the version are merged into one level: until it is installed no other plan may merge keys into that.
  bool is_of_all_keys = false;
  // Events: neighbours, by position. Keys: each group sorted and disjoint, newer groups first; a table of level 0 is a
  // group of its own.
  std::vector<std::vector<TableRef>> inputs;
  std::uint32_t output_level = 0;
  // Output tables end at about this many bytes: the inputs' bytes shared out evenly, so that no small rest remains.
  std::uint64_t output_table_bytes = 0;
  // Keys: the tables of each level under output_level that meet the inputs' keys. A tombstone may go if none of them
  // can hold its key. Concurrent plans cannot change that: they would have to share a table with this one.
  std::vector<std::vector<TableRef>> beneath;

  std::vector<TableRef> all_inputs() const;
  std::vector<FileNumber> input_numbers() const;
  std::uint64_t input_bytes() const noexcept;
};

using FileNumberSet = std::unordered_set<FileNumber>;

// The most useful compaction, empty if none is. Tables in `excluded` (being compacted now) are in no plan, nor are
// those whose merging would race with them: plans picked with all running plans' inputs excluded, and with
// `closed_level` the output level of the one that is of all keys (0: none is), may run at the same time and be
// installed in any order, along with flushes.
std::optional<Plan> pick(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded = {},
                         std::uint32_t closed_level = 0);

// The next step of compacting everything: events until all tables are near table_bytes_target, keys until all are in
// one level. Empty when that is reached. With nothing excluded, and nothing running; pick() may go on beside it.
std::optional<Plan> pick_full(const Version& version, const PickerSettings& settings);

// The level's target in bytes; level 0 has none and is measured in tables. The last has no bound.
std::uint64_t level_bytes_target(const PickerSettings& settings, std::uint32_t level) noexcept;

// What compaction is behind with: for slowing writers down.
struct Debt {
  std::uint64_t event_tables = 0;   // not settled, and enough for a merge
  std::uint64_t event_bytes = 0;    // of these
  std::uint64_t level0_tables = 0;  // all of them
  std::uint64_t key_bytes = 0;      // above the levels' targets, each weighed with what moving it down rewrites
  std::uint64_t bytes() const noexcept { return event_bytes + key_bytes; }
};
Debt debt(const Version& version, const PickerSettings& settings);

}  // namespace hdb::compaction
