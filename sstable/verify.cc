#include "sstable/verify.h"

#include <algorithm>
#include <vector>

#include "base/checksum.h"
#include "sstable/attribute_index.h"
#include "sstable/attribute_index_builder.h"
#include "sstable/event_block.h"
#include "sstable/event_table.h"
#include "sstable/key_block.h"
#include "sstable/key_table.h"
#include "sstable/table_reader.h"

namespace hdb::sstable {

namespace {

constexpr std::uint64_t kCacheBytes = 4u << 20;

// Whether the blocks follow one another from offset 0 to the footer: no byte of the file is left unread.
Status check_tiling(const TableReader& reader, std::vector<BlockHandle> handles) {
  const Properties& properties = reader.properties();
  handles.push_back(reader.footer().properties);
  handles.push_back(properties.index);
  if (properties.filter) handles.push_back(*properties.filter);
  if (properties.dictionary_index) handles.push_back(*properties.dictionary_index);
  std::sort(handles.begin(), handles.end(),
            [](const BlockHandle& a, const BlockHandle& b) { return a.offset < b.offset; });
  std::uint64_t end = 0;
  for (const BlockHandle& handle : handles) {
    if (handle.offset != end) {
      return reader.damaged(end, "the next block that anything names is at offset " + std::to_string(handle.offset));
    }
    end = handle.end();
  }
  if (end != reader.file().size_bytes() - kFooterBytes) return reader.damaged(end, "no block is named here");
  return {};
}

Status check_meta(const TableReader& reader, const TableMeta& found, const TableMeta* expected) {
  if (expected == nullptr || found == *expected) return {};
  return reader.damaged(0, "the table is not the one the manifest names: entries, bounds or size differ");
}

Result<std::optional<Filter>> read_filter(const TableReader& reader) {
  const std::optional<BlockHandle> handle = reader.properties().filter;
  if (!handle) return std::optional<Filter>();
  Result<Filter> filter = Filter::decode(bytes_of(HDB_TRY(reader.read(*handle, BlockKind::kFilter))));
  if (!filter.ok()) return reader.located(handle->offset, filter.status());
  return std::optional<Filter>(std::move(filter).value());
}

// Gathers from the entries what the properties should say, and checks their order.
class KeyChecker {
 public:
  KeyChecker(const TableReader& reader, std::optional<Filter> filter) : reader_(reader), filter_(std::move(filter)) {}

  Status check_block(BlockHandle handle, ByteView index_key, ByteView index_value) {
    const Buffer raw = HDB_TRY(reader_.read(handle, BlockKind::kKeyData));
    const Result<SortedBlock> block = decode_key_data(raw);
    if (!block.ok()) return reader_.located(handle.offset, block.status());
    handles_.push_back(handle);
    raw_bytes_ += raw.size();
    SortedBlock::Cursor cursor(block.value());
    for (bool more = cursor.first(); more; more = cursor.next()) {
      const Status status = check_entry(entry_of(cursor.key(), cursor.value()));
      if (!status.ok()) return reader_.located(handle.offset, status);
    }
    if (!equal_bytes(cursor.key(), index_key) || sequence_of(cursor.value()) != sequence_of(index_value)) {
      return reader_.damaged(handle.offset, "the block ends with another entry than its index says");
    }
    return {};
  }

  Status check_properties() {
    const Properties& said = reader_.properties();
    if (said.entry_count != entries_ || said.block_count != handles_.size() || said.raw_bytes != raw_bytes_ ||
        said.sequence_min != sequence_min_ || said.sequence_max != sequence_max_ || said.smallest_key != smallest_ ||
        said.largest_key != last_key_) {
      return reader_.damaged(reader_.footer().properties.offset,
                             "properties differ from the entries: " + std::to_string(entries_) + " in " +
                                 std::to_string(handles_.size()) + " blocks were found, " +
                                 std::to_string(said.entry_count) + " in " + std::to_string(said.block_count) +
                                 " are said to be there, or other bounds");
    }
    return check_tiling(reader_, std::move(handles_));
  }

 private:
  Status check_entry(const Entry& entry) {
    if (entries_ == 0) {
      smallest_.assign(entry.key.begin(), entry.key.end());
      sequence_min_ = sequence_max_ = entry.sequence;
    } else if (compare_entries(bytes_of(last_key_), last_sequence_, entry.key, entry.sequence) >= 0) {
      return Status::corruption("entry " + std::to_string(entries_) + " of the table is out of order");
    }
    if (filter_ && !filter_->may_contain(hash64(entry.key))) {
      return Status::corruption("the filter denies the key of entry " + std::to_string(entries_));
    }
    sequence_min_ = std::min(sequence_min_, entry.sequence);
    sequence_max_ = std::max(sequence_max_, entry.sequence);
    last_key_.assign(entry.key.begin(), entry.key.end());
    last_sequence_ = entry.sequence;
    ++entries_;
    return {};
  }

  const TableReader& reader_;
  const std::optional<Filter> filter_;
  std::vector<BlockHandle> handles_;
  std::uint64_t raw_bytes_ = 0;
  std::uint64_t entries_ = 0;
  SequenceNumber sequence_min_, sequence_max_, last_sequence_;
  Buffer smallest_, last_key_;
};

Status verify_keys(const TableReader& reader) {
  KeyChecker checker(reader, HDB_TRY(read_filter(reader)));
  const BlockHandle handle = reader.properties().index;
  const Result<SortedBlock> index =
      SortedBlock::decode(HDB_TRY(reader.read(handle, BlockKind::kKeyIndex)), &check_key_index);
  if (!index.ok()) return reader.located(handle.offset, index.status());
  SortedBlock::Cursor blocks(index.value());
  for (bool more = blocks.first(); more; more = blocks.next()) {
    HDB_TRY(checker.check_block(handle_of(blocks.value()), blocks.key(), blocks.value()));
  }
  return checker.check_properties();
}

bool is_same_zone(const EventBlockEntry& a, const EventBlockEntry& b) noexcept {
  return a.count == b.count && a.time_min == b.time_min && a.time_max == b.time_max &&
         a.commit_time_min == b.commit_time_min && a.commit_time_max == b.commit_time_max;
}

// Gathers terms, times and counts from the records, and compares them with what the table says.
class EventChecker {
 public:
  EventChecker(const EventTable& table, std::optional<Filter> filter)
      : table_(table), reader_(table.reader()), filter_(std::move(filter)) {}

  Status check_block(const EventBlockEntry& entry) {
    const Buffer raw = HDB_TRY(reader_.read(entry.handle, BlockKind::kEventData));
    const Result<EventBlock> block = EventBlock::decode(raw);
    if (!block.ok()) return reader_.located(entry.handle.offset, block.status());
    handles_.push_back(entry.handle);
    raw_bytes_ += raw.size();
    EventBlockBuilder zone;
    for (std::uint32_t row = 0; row < block->count(); ++row) {
      const Timestamp commit_time = block->commit_time(row);
      if (events_ > 0 && commit_time < meta_.commit_time_max) {
        return reader_.damaged(entry.handle.offset,
                               "commit time decreases at relative position " + std::to_string(events_));
      }
      HDB_TRY(check_record(block->record(row), entry.handle.offset));
      zone.add(commit_time, block->record(row));
      meta_.commit_time_max = commit_time;
    }
    if (!is_same_zone(zone.entry(), entry)) {
      return reader_.damaged(entry.handle.offset, "count or times of the block are not those its index says");
    }
    const bool is_first = handles_.size() == 1;
    meta_.time_min = is_first ? entry.time_min : std::min(meta_.time_min, entry.time_min);
    meta_.time_max = is_first ? entry.time_max : std::max(meta_.time_max, entry.time_max);
    if (is_first) meta_.commit_time_min = entry.commit_time_min;
    return {};
  }

  Status check_properties() const {
    const Properties& said = reader_.properties();
    if (said.entry_count != events_ || said.block_count != handles_.size() || said.raw_bytes != raw_bytes_ ||
        said.time_min != meta_.time_min || said.time_max != meta_.time_max ||
        said.commit_time_min != meta_.commit_time_min || said.commit_time_max != meta_.commit_time_max) {
      return reader_.damaged(reader_.footer().properties.offset, "properties differ from the events: counts or times");
    }
    return {};
  }

  // Whether the attribute index holds exactly the terms of the records. Entries are compared by digest, in key order,
  // which takes 8 bytes each.
  Status check_index() const {
    const AttributeIndex& index = table_.attribute_index();
    std::vector<std::uint64_t> stored;
    Buffer last_key;
    HDB_TRY(index.for_each([&](ByteView key, const PositionSet& positions) {
      if (!stored.empty() && compare_bytes(bytes_of(last_key), key) >= 0) {
        return reader_.damaged(reader_.properties().dictionary_index->offset, "dictionary keys are out of order");
      }
      last_key.assign(key.begin(), key.end());
      stored.push_back(digest_of(key, positions.to_vector()));
      return Status();
    }));
    std::size_t next = 0;
    for (std::size_t i = 0; i < kAttributes; ++i) {
      const auto attribute = static_cast<Attribute>(i + 1);
      HDB_TRY(check_attribute(attribute, stored, next));
    }
    if (next != stored.size())
      return index_differs("has " + std::to_string(stored.size() - next) + " entries too many");
    return {};
  }

  Status check_tiles() {
    const std::vector<BlockHandle> index_blocks = HDB_TRY(table_.attribute_index().handles());
    handles_.insert(handles_.end(), index_blocks.begin(), index_blocks.end());
    return check_tiling(reader_, std::move(handles_));
  }

 private:
  Status check_record(const RecordView& record, std::uint64_t block_offset) {
    index_.add(static_cast<std::uint32_t>(events_), record);
    if (record.has_caller_id() && filter_) {
      const EventId id = record.id(0);
      if (!filter_->may_contain(hash64(std::as_bytes(std::span(id.bytes()))))) {
        return reader_.damaged(block_offset,
                               "the filter denies the id of relative position " + std::to_string(events_));
      }
    }
    ++events_;
    return {};
  }

  Status check_attribute(Attribute attribute, const std::vector<std::uint64_t>& stored, std::size_t& next) const {
    const AttributeProperties& form = table_.attribute_index().properties_of(attribute);
    std::uint64_t terms = 0;
    std::uint64_t postings = 0;
    Buffer key;
    HDB_TRY(index_.terms(attribute).for_each(
        form.form, form.fingerprint_bytes, [&](ByteView term, std::span<const std::uint32_t> positions) {
          key.clear();
          append_fixed(key, attribute);
          append(key, term);
          ++terms;
          postings += positions.size();
          if (next < stored.size() && stored[next] == digest_of(bytes_of(key), positions)) {
            ++next;
            return Status();
          }
          return index_differs("lacks entry " + std::to_string(next) + ", attribute " +
                               std::to_string(static_cast<int>(attribute)) + ", or has it with other positions");
        }));
    if (terms != form.terms || postings != form.postings) return index_differs("has other counts than the properties");
    return {};
  }

  static std::uint64_t digest_of(ByteView key, std::span<const std::uint32_t> positions) {
    return checksum64(std::as_bytes(positions), hash64(key));
  }

  Status index_differs(const std::string& how) const {
    const std::optional<BlockHandle> handle = reader_.properties().dictionary_index;
    return reader_.damaged(handle ? handle->offset : reader_.footer().properties.offset,
                           "the attribute index " + how + ": it is not that of the records");
  }

  const EventTable& table_;
  const TableReader& reader_;
  const std::optional<Filter> filter_;
  AttributeIndexBuilder index_;
  std::vector<BlockHandle> handles_;
  std::uint64_t raw_bytes_ = 0;
  std::uint64_t events_ = 0;
  TableMeta meta_;
};

Status verify_events(const EventTable& table) {
  EventChecker checker(table, HDB_TRY(read_filter(table.reader())));
  for (const EventBlockEntry& block : table.blocks()) HDB_TRY(checker.check_block(block));
  HDB_TRY(checker.check_properties());
  HDB_TRY(checker.check_index());
  return checker.check_tiles();
}

}  // namespace

Status verify_table(Env& env, const std::string& path, FileNumber number, const TableMeta* expected) {
  BlockCache cache(kCacheBytes);
  const std::unique_ptr<TableReader> reader = HDB_TRY(TableReader::open(env, path, number, cache));
  HDB_TRY(check_meta(*reader, meta_of(reader->footer(), reader->properties()), expected));
  if (reader->footer().kind == TableKind::kKeys) return verify_keys(*reader);
  return verify_events(*HDB_TRY(EventTable::open(env, path, number, cache)));
}

}  // namespace hdb::sstable
