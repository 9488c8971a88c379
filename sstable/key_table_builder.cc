#include "sstable/key_table_builder.h"

#include <algorithm>
#include <array>

#include "base/checksum.h"
#include "sstable/filter.h"
#include "sstable/key_block.h"
#include "sstable/table_writer.h"

namespace hdb::sstable {

namespace {

constexpr std::uint32_t kKeyRestartInterval = 16;

}  // namespace

KeyTableBuilder::KeyTableBuilder(std::unique_ptr<WritableFile> file, FileNumber number, const TableSettings& settings)
    : settings_(settings),
      writer_(std::make_unique<TableWriter>(std::move(file), number)),
      block_(std::make_unique<BlockBuilder>(kKeyRestartInterval)),
      index_(std::make_unique<BlockBuilder>(1)) {
  meta_.number = number;
  meta_.kind = TableKind::kKeys;
}

KeyTableBuilder::~KeyTableBuilder() = default;
KeyTableBuilder::KeyTableBuilder(KeyTableBuilder&&) noexcept = default;

Status KeyTableBuilder::add(const Entry& entry) {
  const bool is_first = meta_.entry_count == 0;
  const std::size_t shared = common_prefix(bytes_of(last_key_), entry.key);
  if (!is_first && !is_in_order(entry, shared)) {
    return Status::corruption("entries for table " + std::to_string(meta_.number.raw()) +
                              " are out of order after entry " + std::to_string(meta_.entry_count) +
                              ": a table they come from is damaged; run 'hdb-dump verify' on the store");
  }
  const bool is_new_key = is_first || shared < entry.key.size();
  if (is_new_key) {
    if (settings_.filter_bits_per_key > 0) key_hashes_.push_back(hash64(entry.key));
    last_key_.resize(shared);
    append(last_key_, entry.key.subspan(shared));
  }
  if (is_first) {
    meta_.smallest_key = last_key_;
    meta_.sequence_min = meta_.sequence_max = entry.sequence;
  }
  meta_.sequence_min = std::min(meta_.sequence_min, entry.sequence);
  meta_.sequence_max = std::max(meta_.sequence_max, entry.sequence);
  last_sequence_ = entry.sequence;
  ++meta_.entry_count;

  std::array<std::byte, kVarintBytesMax> tag;
  const std::byte* const tag_end = put_varint(tag.data(), tag_of(entry.sequence, entry.kind));
  block_->add(entry.key, shared, ByteView(tag.data(), tag_end), entry.value);
  return block_->bytes() >= settings_.block_bytes ? finish_block() : Status();
}

// Behind the last entry, with which its key shares the first `shared` bytes: a longer key, a larger one, or an older
// version of the same.
bool KeyTableBuilder::is_in_order(const Entry& entry, std::size_t shared) const noexcept {
  if (shared == entry.key.size()) return shared == last_key_.size() && entry.sequence < last_sequence_;
  return shared == last_key_.size() || entry.key[shared] > last_key_[shared];
}

Status KeyTableBuilder::finish_block() {
  const ByteView raw = block_->finish();
  const BlockHandle handle = HDB_TRY(writer_->add(BlockKind::kKeyData, raw, settings_));
  raw_bytes_ += raw.size();
  ++block_count_;
  scratch_.clear();
  // The index needs the order of the last entry only: its kind does not matter.
  append_varint(scratch_, tag_of(last_sequence_, EntryKind::kPut));
  append_handle(scratch_, handle);
  index_->add(bytes_of(last_key_), bytes_of(scratch_));
  block_->reset();
  return {};
}

Result<TableMeta> KeyTableBuilder::finish() {
  HDB_CHECK(meta_.entry_count > 0);
  if (!block_->empty()) HDB_TRY(finish_block());
  Properties properties;
  if (!key_hashes_.empty()) {
    const Buffer filter = build_filter(key_hashes_, settings_.filter_bits_per_key);
    properties.filter = HDB_TRY(writer_->add_uncompressed(BlockKind::kFilter, bytes_of(filter)));
  }
  properties.index = HDB_TRY(writer_->add_uncompressed(BlockKind::kKeyIndex, index_->finish()));
  properties.entry_count = meta_.entry_count;
  properties.block_count = block_count_;
  properties.raw_bytes = raw_bytes_;
  properties.sequence_min = meta_.sequence_min;
  properties.sequence_max = meta_.sequence_max;
  properties.smallest_key = meta_.smallest_key;
  properties.largest_key = last_key_;
  return writer_->finish(TableKind::kKeys, properties);
}

std::uint64_t KeyTableBuilder::file_bytes() const noexcept {
  return writer_->file_bytes();
}

}  // namespace hdb::sstable
