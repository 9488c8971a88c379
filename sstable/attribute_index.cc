#include "sstable/attribute_index.h"

#include "base/checksum.h"
#include "sstable/attribute_index_builder.h"

namespace hdb::sstable {

namespace {

// The bytes of a postings block, as cached.
struct PostingsBlock {
  Buffer bytes;
  std::uint64_t memory_bytes() const noexcept { return sizeof *this + bytes.capacity(); }
};

Result<PostingsBlock> take_postings(Buffer bytes) {
  return PostingsBlock{std::move(bytes)};
}

BlockHandle handle_in(ByteView index_value) noexcept {
  const std::byte* at = index_value.data();
  const std::uint64_t offset = read_trusted_varint(at);
  return BlockHandle{offset, static_cast<std::uint32_t>(read_trusted_varint(at))};
}

Result<SortedBlock> decode_dictionary(Buffer bytes) {
  return SortedBlock::decode(std::move(bytes), &check_dictionary);
}

}  // namespace

Status check_dictionary(ByteView value) {
  if (value.empty() || static_cast<PostingsPlace>(value[0]) > PostingsPlace::kBlock) {
    return Status::corruption("a dictionary entry has no postings");
  }
  return static_cast<PostingsPlace>(value[0]) == PostingsPlace::kBlock ? check_dictionary_index(value.subspan(1))
                                                                       : Status();
}

Status check_dictionary_index(ByteView value) {
  Cursor cursor(value);
  HDB_TRY(decode_handle(cursor));
  return cursor.at_end() ? Status() : Status::corruption("a block handle has bytes after its end");
}

Result<const SortedBlock*> AttributeIndex::index() const {
  return index_.get(reader_.cache(), [this]() -> Result<SortedBlock> {
    const BlockHandle handle = *reader_.properties().dictionary_index;
    Result<SortedBlock> block =
        SortedBlock::decode(HDB_TRY(reader_.read(handle, BlockKind::kDictionaryIndex)), &check_dictionary_index);
    if (!block.ok()) return reader_.located(handle.offset, block.status());
    return block;
  });
}

Result<std::shared_ptr<const SortedBlock>> AttributeIndex::read_dictionary(BlockHandle handle,
                                                                           ReadOptions options) const {
  return reader_.cached<SortedBlock>(handle, BlockKind::kDictionary, options, &decode_dictionary);
}

Result<PositionSet> AttributeIndex::positions_of(ByteView value, std::uint64_t offset, ReadOptions options) const {
  ByteView encoded = value.subspan(1);
  std::shared_ptr<const PostingsBlock> block;
  if (static_cast<PostingsPlace>(value[0]) == PostingsPlace::kBlock) {
    const BlockHandle handle = handle_in(encoded);
    block = HDB_TRY(reader_.cached<PostingsBlock>(handle, BlockKind::kPostings, options, &take_postings));
    encoded = bytes_of(block->bytes);
    offset = handle.offset;
  }
  Result<PositionSet> positions = PositionSet::decode(encoded);
  if (!positions.ok()) return reader_.located(offset, positions.status());
  const std::optional<std::uint32_t> last = positions->previous_at_or_before(UINT32_MAX);
  if (last && *last >= reader_.properties().entry_count) {
    return reader_.damaged(offset, "a term has position " + std::to_string(*last) + ", the table " +
                                       std::to_string(reader_.properties().entry_count) + " events");
  }
  return positions;
}

Result<PositionSet> AttributeIndex::find(Attribute attribute, ByteView term) const {
  const AttributeProperties& form = properties_of(attribute);
  if (form.terms == 0 || !reader_.properties().dictionary_index) return PositionSet();
  Buffer key;
  append_fixed(key, attribute);
  if (form.form == TermForm::kText) {
    append(key, term);
  } else {
    append(key, fingerprint_of(hash64(term), form.fingerprint_bytes));
  }
  const auto is_before = [&key](ByteView other, ByteView) { return compare_bytes(other, bytes_of(key)) < 0; };
  SortedBlock::Cursor index_cursor(*HDB_TRY(index()));
  if (!index_cursor.seek(is_before)) return PositionSet();
  const BlockHandle handle = handle_in(index_cursor.value());
  const std::shared_ptr<const SortedBlock> block = HDB_TRY(read_dictionary(handle, {}));
  SortedBlock::Cursor cursor(*block);
  if (!cursor.seek(is_before)) {
    return reader_.damaged(handle.offset, "the dictionary block ends before the last key that the index has for it");
  }
  if (!equal_bytes(cursor.key(), bytes_of(key))) return PositionSet();
  return positions_of(cursor.value(), handle.offset, {});
}

Result<bool> AttributeIndex::may_have_id(std::uint64_t hash) const {
  if (properties_of(Attribute::kCallerId).terms == 0) return false;
  const std::optional<BlockHandle> handle = reader_.properties().filter;
  if (!handle) return true;
  const auto load = [&]() -> Result<Filter> {
    Result<Filter> decoded = Filter::decode(bytes_of(HDB_TRY(reader_.read(*handle, BlockKind::kFilter))));
    if (!decoded.ok()) return reader_.located(handle->offset, decoded.status());
    return decoded;
  };
  const Filter* const filter = HDB_TRY(filter_.get(reader_.cache(), load));
  const bool may = filter->may_contain(hash);
  if (!may) reader_.cache().count_filter_negative();
  return may;
}

Status AttributeIndex::for_each(const std::function<Status(ByteView, const PositionSet&)>& visit) const {
  if (!reader_.properties().dictionary_index) return {};
  constexpr ReadOptions kPastCache{.fill_cache = false};
  SortedBlock::Cursor blocks(*HDB_TRY(index()));
  for (bool more = blocks.first(); more; more = blocks.next()) {
    const BlockHandle handle = handle_in(blocks.value());
    const std::shared_ptr<const SortedBlock> block = HDB_TRY(read_dictionary(handle, kPastCache));
    SortedBlock::Cursor cursor(*block);
    for (bool more_entries = cursor.first(); more_entries; more_entries = cursor.next()) {
      const PositionSet positions = HDB_TRY(positions_of(cursor.value(), handle.offset, kPastCache));
      HDB_TRY(visit(cursor.key(), positions));
    }
    if (!equal_bytes(cursor.key(), blocks.key())) {
      return reader_.damaged(handle.offset, "the dictionary block ends with another key than its index says");
    }
  }
  return {};
}

Result<std::vector<BlockHandle>> AttributeIndex::handles() const {
  std::vector<BlockHandle> handles;
  if (!reader_.properties().dictionary_index) return handles;
  SortedBlock::Cursor blocks(*HDB_TRY(index()));
  for (bool more = blocks.first(); more; more = blocks.next()) {
    const BlockHandle handle = handle_in(blocks.value());
    handles.push_back(handle);
    const std::shared_ptr<const SortedBlock> block = HDB_TRY(read_dictionary(handle, {.fill_cache = false}));
    SortedBlock::Cursor cursor(*block);
    for (bool more_entries = cursor.first(); more_entries; more_entries = cursor.next()) {
      if (static_cast<PostingsPlace>(cursor.value()[0]) == PostingsPlace::kBlock) {
        handles.push_back(handle_in(cursor.value().subspan(1)));
      }
    }
  }
  return handles;
}

}  // namespace hdb::sstable
