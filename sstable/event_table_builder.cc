#include "sstable/event_table_builder.h"

#include <algorithm>

#include "sstable/attribute_index_builder.h"
#include "sstable/event_block.h"
#include "sstable/table_writer.h"

namespace hdb::sstable {

EventTableBuilder::EventTableBuilder(std::unique_ptr<WritableFile> file, FileNumber number,
                                     const TableSettings& settings)
    : settings_(settings),
      writer_(std::make_unique<TableWriter>(std::move(file), number)),
      block_(std::make_unique<EventBlockBuilder>()),
      index_(std::make_unique<AttributeIndexBuilder>()) {
  meta_.number = number;
  meta_.kind = TableKind::kEvents;
}

EventTableBuilder::~EventTableBuilder() = default;
EventTableBuilder::EventTableBuilder(EventTableBuilder&&) noexcept = default;

Status EventTableBuilder::add(Position position, Timestamp commit_time, const RecordView& record) {
  const Timestamp time = record.time();
  if (meta_.entry_count == 0) {
    meta_.position_begin = meta_.position_end = position;
    meta_.time_min = meta_.time_max = time;
    meta_.commit_time_min = meta_.commit_time_max = commit_time;
  }
  if (position != meta_.position_end || commit_time < meta_.commit_time_max) {
    return Status::corruption("events for table " + std::to_string(meta_.number.raw()) +
                              " are out of order at position " + std::to_string(position) + ", after " +
                              std::to_string(meta_.entry_count) +
                              " events: a table they come from is damaged; run 'hdb-dump verify' on the store");
  }
  if (meta_.entry_count == kEventsPerTableMax) {
    return Status::invalid_argument("table " + std::to_string(meta_.number.raw()) + " has " +
                                    std::to_string(meta_.entry_count) +
                                    " events, as many as fit; choose a smaller table_bytes_target");
  }
  meta_.time_min = std::min(meta_.time_min, time);
  meta_.time_max = std::max(meta_.time_max, time);
  meta_.commit_time_max = commit_time;
  ++meta_.position_end;
  index_->add(static_cast<std::uint32_t>(meta_.entry_count), record);
  ++meta_.entry_count;
  block_->add(commit_time, record);
  return block_->bytes() >= settings_.block_bytes ? finish_block() : Status();
}

Status EventTableBuilder::finish_block() {
  EventBlockEntry entry = block_->entry();
  const ByteView raw = block_->finish();
  entry.handle = HDB_TRY(writer_->add(BlockKind::kEventData, raw, settings_));
  raw_bytes_ += raw.size();
  blocks_.push_back(entry);
  block_->reset(entry.first + entry.count);
  return {};
}

Result<TableMeta> EventTableBuilder::finish() {
  HDB_CHECK(meta_.entry_count > 0);
  if (block_->count() > 0) HDB_TRY(finish_block());
  Properties properties;
  HDB_TRY(index_->write(*writer_, settings_, properties));
  properties.index = HDB_TRY(writer_->add_uncompressed(BlockKind::kEventIndex, bytes_of(encode_event_index(blocks_))));
  properties.entry_count = meta_.entry_count;
  properties.block_count = blocks_.size();
  properties.raw_bytes = raw_bytes_;
  properties.position_begin = meta_.position_begin;
  properties.time_min = meta_.time_min;
  properties.time_max = meta_.time_max;
  properties.commit_time_min = meta_.commit_time_min;
  properties.commit_time_max = meta_.commit_time_max;
  return writer_->finish(TableKind::kEvents, properties);
}

std::uint64_t EventTableBuilder::file_bytes() const noexcept {
  return writer_->file_bytes();
}

}  // namespace hdb::sstable
