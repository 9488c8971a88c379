// sstable/event_table_builder.h: consecutive events in, finished table file with its attribute index out.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/record.h"
#include "io/env.h"
#include "sstable/table_meta.h"
#include "sstable/table_settings.h"

namespace hdb::sstable {

class AttributeIndexBuilder;
class EventBlockBuilder;
class TableWriter;
struct EventBlockEntry;

inline constexpr std::uint64_t kEventsPerTableMax = 0xffff'fffe;  // positions in a table are 32 bits, from its first

// Single-owner. After any error, or when destroyed before finish(), the file is unfinished: the caller removes it.
// Memory: one block, every distinct indexed text once, and 8 bytes per indexed text of an event.
class EventTableBuilder {
 public:
  // `number` is the number in the file's name: a table is valid only under its own.
  EventTableBuilder(std::unique_ptr<WritableFile> file, FileNumber number, const TableSettings& settings);
  ~EventTableBuilder();
  EventTableBuilder(EventTableBuilder&&) noexcept;

  // The first position is free, every further one follows the one before, and commit times never decrease: kCorruption
  // otherwise, as such events can only come from damaged tables. kInvalidArgument beyond kEventsPerTableMax events. The
  // bytes are copied.
  Status add(Position position, Timestamp commit_time, const RecordView& record);

  // Writes index, filter and footer, syncs and closes the file. The caller syncs the directory. At least one event
  // must have been added. Call once.
  Result<TableMeta> finish();

  std::uint64_t entry_count() const noexcept { return meta_.entry_count; }
  // What the file would have now, without the indexes: for splitting outputs by size. Never decreases.
  std::uint64_t file_bytes() const noexcept;

 private:
  Status finish_block();

  TableSettings settings_;
  TableMeta meta_;
  std::unique_ptr<TableWriter> writer_;
  std::unique_ptr<EventBlockBuilder> block_;
  std::unique_ptr<AttributeIndexBuilder> index_;
  std::vector<EventBlockEntry> blocks_;
  std::uint64_t raw_bytes_ = 0;
};

}  // namespace hdb::sstable
