// sstable/event_table.h: reads a table of events, by position, by caller-made id and by its indexes.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/postings.h"
#include "base/record.h"
#include "io/env.h"
#include "sstable/block_cache.h"
#include "sstable/read_options.h"
#include "sstable/table_meta.h"

namespace hdb::sstable {

class AttributeIndex;
class EventBlock;
class TableReader;
struct EventBlockEntry;

struct EventRecord {
  Position position;
  Timestamp commit_time;
  RecordView record;
};

// A record and what keeps its view alive: valid for as long as the pin, or a copy of it, lives. RecordView::trusted may
// be used on record.bytes(): every record of a block is checked when the block is read.
struct PinnedRecord {
  RecordView record;
  Timestamp commit_time;
  std::shared_ptr<const void> pin;
};

// Which events of a table may have a term: none that has it is missing.
struct Candidates {
  PositionSet positions;  // relative to meta().position_begin
  // False: some may not have the term (the table keeps fingerprints of this attribute), so compare with the record.
  bool is_exact = true;
};

// An open table file. Errors name the path, the offset and the remedy. Thread-safe.
class EventTable : public std::enable_shared_from_this<EventTable> {
 public:
  class Scanner;

  // Reads footer, properties and block index, and checks them; the attribute index and the filter of ids are read when
  // first asked for. kCorruption if damaged or not the table `number`, kUnsupported if newer, kInvalidArgument if it is
  // a table of keys. `cache` must outlive the table.
  static Result<std::shared_ptr<const EventTable>> open(Env& env, const std::string& path, FileNumber number,
                                                        BlockCache& cache);
  ~EventTable();

  // `position` is one of the table's: HDB_CHECK.
  Result<PinnedRecord> get(Position position) const;

  // The first position whose record has this caller-made id, confirmed by reading it; empty if the table has none.
  Result<std::optional<Position>> find_id(const EventId& id) const;

  // `attribute` is any but kCallerId. A term that is in no record gives no, or few, candidates. The empty term is no
  // term: absent texts are not indexed, and it gives none.
  Result<Candidates> candidates(Attribute attribute, std::string_view term) const;

  // The events of all blocks whose times (inclusive zone maps) meet both ranges, relative to meta().position_begin.
  // Reads no file.
  PositionSet time_candidates(const TimeRange& time, const TimeRange& commit_time) const;

  // As finish() returned it.
  const TableMeta& meta() const noexcept { return meta_; }
  const TableReader& reader() const noexcept { return *reader_; }
  const AttributeIndex& attribute_index() const noexcept { return *attributes_; }
  const std::vector<EventBlockEntry>& blocks() const noexcept { return blocks_; }

 private:
  EventTable();
  Status load_index();
  // The block that holds the relative position, as an index into blocks_.
  std::size_t block_of(std::uint32_t relative) const noexcept;
  Result<std::shared_ptr<const EventBlock>> read_block(std::size_t block, ReadOptions options) const;

  TableMeta meta_;
  std::unique_ptr<TableReader> reader_;
  std::vector<EventBlockEntry> blocks_;  // by position, without gaps
  BlockCache::Reservation index_charge_;
  std::unique_ptr<AttributeIndex> attributes_;
};

// Walks given positions of a table, holding the block it is in: neighbours cost neither a cache look-up nor a pin.
// Keeps the table open. Single-owner.
class EventTable::Scanner {
 public:
  enum class Direction : std::uint8_t { kAscending, kDescending };

  // All positions in [begin, end), which is cut to the table's.
  Scanner(std::shared_ptr<const EventTable> table, Position begin, Position end, Direction direction,
          ReadOptions options = {});
  // The positions of the set, relative to meta().position_begin; those beyond the table are left out.
  Scanner(std::shared_ptr<const EventTable> table, const PositionSet& positions, Direction direction,
          ReadOptions options = {});
  ~Scanner();
  Scanner(Scanner&&) noexcept;
  Scanner& operator=(Scanner&&) noexcept;

  // The next event; empty at the end. Its record's view lives until the next call, or for as long as pin() taken now
  // does. After an error the scanner stays where it was, so that the same call can be tried again.
  Result<std::optional<EventRecord>> next();
  // Keeps the record last returned alive.
  std::shared_ptr<const void> pin() const noexcept;
  // Goes on at the first wanted position at or after `position` (at or before, when descending). Only forward in the
  // scanner's direction; a position behind it changes nothing.
  void skip_to(Position position);

 private:
  // The i-th wanted position in ascending order, relative to the table's first.
  std::uint32_t wanted(std::uint64_t i) const noexcept {
    return wanted_ ? (*wanted_)[i] : static_cast<std::uint32_t>(i);
  }

  std::shared_ptr<const EventTable> table_;
  std::optional<std::vector<std::uint32_t>> wanted_;  // ascending; absent: all, so that the i-th is i
  Direction direction_;
  ReadOptions options_;
  std::uint64_t begin_ = 0;  // what is left: wanted(i) for i in [begin_, end_)
  std::uint64_t end_ = 0;
  std::shared_ptr<const EventBlock> block_;
  std::size_t block_index_ = 0;  // of block_, in the table's blocks
};

}  // namespace hdb::sstable
