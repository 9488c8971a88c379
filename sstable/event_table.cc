#include "sstable/event_table.h"

#include <algorithm>

#include "base/checksum.h"
#include "sstable/attribute_index.h"
#include "sstable/event_block.h"
#include "sstable/table_reader.h"

namespace hdb::sstable {

namespace {

// Whether some time in [min, max] is in the range.
bool meets(const TimeRange& range, Timestamp min, Timestamp max) noexcept {
  return (!range.from || max >= *range.from) && (!range.to || min < *range.to);
}

std::optional<std::uint32_t> next_of(const PositionSet& positions, std::uint32_t position) {
  return position == UINT32_MAX ? std::nullopt : positions.next_at_or_after(position + 1);
}

}  // namespace

EventTable::EventTable() = default;
EventTable::~EventTable() = default;

Result<std::shared_ptr<const EventTable>> EventTable::open(Env& env, const std::string& path, FileNumber number,
                                                           BlockCache& cache) {
  std::shared_ptr<EventTable> table(new EventTable);
  table->reader_ = HDB_TRY(TableReader::open(env, path, number, cache));
  if (table->reader_->footer().kind != TableKind::kEvents) {
    return Status::invalid_argument(path + " is a table of keys, not of events");
  }
  HDB_TRY(table->load_index());
  return std::shared_ptr<const EventTable>(std::move(table));
}

Status EventTable::load_index() {
  const Properties& properties = reader_->properties();
  meta_ = meta_of(reader_->footer(), properties);
  Result<std::vector<EventBlockEntry>> blocks =
      decode_event_index(bytes_of(HDB_TRY(reader_->read(properties.index, BlockKind::kEventIndex))),
                         properties.entry_count, properties.index.offset);
  if (!blocks.ok()) return reader_->located(properties.index.offset, blocks.status());
  blocks_ = std::move(blocks).value();
  attributes_ = std::make_unique<AttributeIndex>(*reader_);
  index_charge_ = reader_->cache().reserve(sizeof *this + blocks_.capacity() * sizeof(EventBlockEntry));
  return {};
}

std::size_t EventTable::block_of(std::uint32_t relative) const noexcept {
  const auto behind =
      std::upper_bound(blocks_.begin(), blocks_.end(), relative,
                       [](std::uint32_t wanted, const EventBlockEntry& candidate) { return wanted < candidate.first; });
  return static_cast<std::size_t>(behind - blocks_.begin()) - 1;
}

Result<std::shared_ptr<const EventBlock>> EventTable::read_block(std::size_t block, ReadOptions options) const {
  const EventBlockEntry& entry = blocks_[block];
  std::shared_ptr<const EventBlock> decoded =
      HDB_TRY(reader_->cached<EventBlock>(entry.handle, BlockKind::kEventData, options, &EventBlock::decode));
  if (decoded->count() != entry.count) {
    return reader_->damaged(entry.handle.offset, "block has " + std::to_string(decoded->count()) +
                                                     " events, the index says " + std::to_string(entry.count));
  }
  return decoded;
}

Result<PinnedRecord> EventTable::get(Position position) const {
  HDB_CHECK(position >= meta_.position_begin && position < meta_.position_end);
  const auto relative = static_cast<std::uint32_t>(position - meta_.position_begin);
  const std::size_t index = block_of(relative);
  std::shared_ptr<const EventBlock> block = HDB_TRY(read_block(index, {}));
  const std::uint32_t row = relative - blocks_[index].first;
  const RecordView record = block->record(row);
  const Timestamp commit_time = block->commit_time(row);
  return PinnedRecord{record, commit_time, std::move(block)};
}

Result<std::optional<Position>> EventTable::find_id(const EventId& id) const {
  const ByteView term = std::as_bytes(std::span(id.bytes()));
  if (!HDB_TRY(attributes_->may_have_id(hash64(term)))) return std::optional<Position>();
  const PositionSet positions = HDB_TRY(attributes_->find(Attribute::kCallerId, term));
  // One by one: a damaged set may claim more than memory holds.
  for (auto relative = positions.next_at_or_after(0); relative; relative = next_of(positions, *relative)) {
    const Position position = meta_.position_begin + *relative;
    const PinnedRecord found = HDB_TRY(get(position));
    if (found.record.has_caller_id() && found.record.id(position) == id) return std::optional<Position>(position);
  }
  return std::optional<Position>();
}

Result<Candidates> EventTable::candidates(Attribute attribute, std::string_view term) const {
  HDB_CHECK(attribute >= Attribute::kType && attribute <= Attribute::kTag);
  Candidates candidates;
  if (term.empty()) return candidates;
  candidates.positions = HDB_TRY(attributes_->find(attribute, as_bytes(term)));
  candidates.is_exact = attributes_->properties_of(attribute).form == TermForm::kText;
  return candidates;
}

PositionSet EventTable::time_candidates(const TimeRange& time, const TimeRange& commit_time) const {
  PositionSet positions;
  for (const EventBlockEntry& block : blocks_) {
    if (meets(time, block.time_min, block.time_max) &&
        meets(commit_time, block.commit_time_min, block.commit_time_max)) {
      positions.add_range(block.first, std::uint64_t{block.first} + block.count);
    }
  }
  return positions;
}

EventTable::Scanner::Scanner(std::shared_ptr<const EventTable> table, Position begin, Position end, Direction direction,
                             ReadOptions options)
    : table_(std::move(table)), direction_(direction), options_(options) {
  const TableMeta& meta = table_->meta();
  begin_ = std::clamp(begin, meta.position_begin, meta.position_end) - meta.position_begin;
  end_ = std::max(begin_, std::clamp(end, meta.position_begin, meta.position_end) - meta.position_begin);
}

EventTable::Scanner::Scanner(std::shared_ptr<const EventTable> table, const PositionSet& positions, Direction direction,
                             ReadOptions options)
    : table_(std::move(table)), wanted_(positions.to_vector()), direction_(direction), options_(options) {
  const auto end = std::lower_bound(wanted_->begin(), wanted_->end(), table_->meta().entry_count);
  end_ = static_cast<std::uint64_t>(end - wanted_->begin());
}

EventTable::Scanner::~Scanner() = default;
EventTable::Scanner::Scanner(Scanner&&) noexcept = default;
EventTable::Scanner& EventTable::Scanner::operator=(Scanner&&) noexcept = default;

Result<std::optional<EventRecord>> EventTable::Scanner::next() {
  if (begin_ == end_) return std::optional<EventRecord>();
  const bool is_ascending = direction_ == Direction::kAscending;
  const std::uint32_t relative = wanted(is_ascending ? begin_ : end_ - 1);
  const auto is_in_block = [this, relative] {
    const EventBlockEntry& entry = table_->blocks_[block_index_];
    return relative >= entry.first && relative - entry.first < entry.count;
  };
  if (block_ == nullptr || !is_in_block()) {
    const std::size_t block_index = table_->block_of(relative);
    block_ = HDB_TRY(table_->read_block(block_index, options_));
    block_index_ = block_index;
  }
  if (is_ascending) {
    ++begin_;
  } else {
    --end_;
  }
  const std::uint32_t row = relative - table_->blocks_[block_index_].first;
  return std::optional<EventRecord>(
      EventRecord{table_->meta_.position_begin + relative, block_->commit_time(row), block_->record(row)});
}

std::shared_ptr<const void> EventTable::Scanner::pin() const noexcept {
  return block_;
}

void EventTable::Scanner::skip_to(Position position) {
  const TableMeta& meta = table_->meta();
  const bool is_ascending = direction_ == Direction::kAscending;
  // The bound in relative positions: everything below it is skipped when ascending, everything from it on otherwise.
  Position bound = is_ascending || position == UINT64_MAX ? position : position + 1;
  bound = std::clamp(bound, meta.position_begin, meta.position_end) - meta.position_begin;
  std::uint64_t i = bound;
  if (wanted_) {
    i = static_cast<std::uint64_t>(std::lower_bound(wanted_->begin(), wanted_->end(), bound) - wanted_->begin());
  }
  if (is_ascending) {
    begin_ = std::clamp(i, begin_, end_);
  } else {
    end_ = std::clamp(i, begin_, end_);
  }
}

}  // namespace hdb::sstable
