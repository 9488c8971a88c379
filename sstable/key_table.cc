#include "sstable/key_table.h"

#include "base/checksum.h"
#include "sstable/filter.h"
#include "sstable/key_block.h"
#include "sstable/table_reader.h"

namespace hdb::sstable {

namespace {

// For SortedBlock::Cursor::seek, in key data and in the index: whether an entry comes before (key, sequence).
auto is_before(ByteView key, SequenceNumber sequence) {
  return [key, sequence](ByteView other_key, ByteView other_value) {
    const int order = compare_bytes(other_key, key);
    return order < 0 || (order == 0 && sequence_of(other_value) > sequence);
  };
}

}  // namespace

// Walks the index, and in it the data blocks, one at a time.
class KeyTableIterator final : public EntryIterator {
 public:
  KeyTableIterator(std::shared_ptr<const KeyTable> table, ReadOptions options)
      : table_(std::move(table)), options_(options), index_(*table_->index_) {}

  bool seek_to_first() override { return index_.first() && load_block() && block_cursor_.first() && show(); }
  bool seek_to_last() override { return index_.last() && load_block() && block_cursor_.last() && show(); }

  bool seek(ByteView key, SequenceNumber sequence) override {
    status_ = Status();
    if (!index_.seek(is_before(key, sequence)) || !load_block()) return false;
    if (block_cursor_.seek(is_before(key, sequence))) return show();
    status_ = table_->reader().damaged(handle_of(index_.value()).offset,
                                       "the block ends before the last key that the index has for it");
    return false;
  }

  bool next() override {
    if (block_cursor_.next()) return show();
    return index_.next() && load_block() && block_cursor_.first() && show();
  }

  bool previous() override {
    if (block_cursor_.previous()) return show();
    return index_.previous() && load_block() && block_cursor_.last() && show();
  }

  const Entry& entry() const override { return entry_; }
  Status status() const override { return status_; }

 private:
  bool load_block() {
    status_ = Status();
    auto block = table_->read_block(handle_of(index_.value()), options_);
    if (!block.ok()) {
      status_ = std::move(block).status();
      return false;
    }
    block_ = std::move(block).value();
    block_cursor_ = SortedBlock::Cursor(*block_);
    return true;
  }
  bool show() {
    entry_ = entry_of(block_cursor_.key(), block_cursor_.value());
    return true;
  }

  std::shared_ptr<const KeyTable> table_;
  ReadOptions options_;
  SortedBlock::Cursor index_;
  std::shared_ptr<const SortedBlock> block_;
  SortedBlock::Cursor block_cursor_;
  Entry entry_;
  Status status_;
};

KeyTable::KeyTable() = default;
KeyTable::~KeyTable() = default;

Result<std::shared_ptr<const KeyTable>> KeyTable::open(Env& env, const std::string& path, FileNumber number,
                                                       BlockCache& cache) {
  std::shared_ptr<KeyTable> table(new KeyTable);
  table->reader_ = HDB_TRY(TableReader::open(env, path, number, cache));
  if (table->reader_->footer().kind != TableKind::kKeys) {
    return Status::invalid_argument(path + " is a table of events, not of keys");
  }
  HDB_TRY(table->load_index());
  return std::shared_ptr<const KeyTable>(std::move(table));
}

Status KeyTable::load_index() {
  const Properties& properties = reader_->properties();
  meta_ = meta_of(reader_->footer(), properties);
  Result<SortedBlock> index =
      SortedBlock::decode(HDB_TRY(reader_->read(properties.index, BlockKind::kKeyIndex)), &check_key_index);
  if (!index.ok()) return reader_->located(properties.index.offset, index.status());
  index_ = std::make_unique<const SortedBlock>(std::move(index).value());
  index_charge_ = reader_->cache().reserve(sizeof *this + index_->memory_bytes());
  return {};
}

Result<const Filter*> KeyTable::filter() const {
  return filter_.get(reader_->cache(), [this]() -> Result<Filter> {
    const BlockHandle handle = *reader_->properties().filter;
    Result<Filter> filter = Filter::decode(bytes_of(HDB_TRY(reader_->read(handle, BlockKind::kFilter))));
    if (!filter.ok()) return reader_->located(handle.offset, filter.status());
    return filter;
  });
}

Result<std::shared_ptr<const SortedBlock>> KeyTable::read_block(BlockHandle handle, ReadOptions options) const {
  return reader_->cached<SortedBlock>(handle, BlockKind::kKeyData, options, &decode_key_data);
}

Result<std::optional<PinnedEntry>> KeyTable::get(ByteView stored_key, SequenceNumber at) const {
  if (reader_->properties().filter) {
    if (!HDB_TRY(filter())->may_contain(hash64(stored_key))) {
      reader_->cache().count_filter_negative();
      return std::optional<PinnedEntry>();
    }
  }
  SortedBlock::Cursor index(*index_);
  if (!index.seek(is_before(stored_key, at))) return std::optional<PinnedEntry>();
  std::shared_ptr<const SortedBlock> block = HDB_TRY(read_block(handle_of(index.value()), {}));
  SortedBlock::Cursor cursor(*block);
  if (!cursor.seek(is_before(stored_key, at))) {
    return reader_->damaged(handle_of(index.value()).offset,
                            "the block ends before the last key that the index has for it");
  }
  if (!equal_bytes(cursor.key(), stored_key)) return std::optional<PinnedEntry>();
  return std::optional<PinnedEntry>(PinnedEntry{entry_of(stored_key, cursor.value()), std::move(block)});
}

std::unique_ptr<EntryIterator> KeyTable::entries(ReadOptions options) const {
  return std::make_unique<KeyTableIterator>(shared_from_this(), options);
}

}  // namespace hdb::sstable
