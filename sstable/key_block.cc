#include "sstable/key_block.h"

namespace hdb::sstable {

Status check_key_data(ByteView value) {
  Cursor cursor(value);
  const std::uint64_t tag = HDB_TRY(cursor.varint());
  if ((tag & 1) == static_cast<std::uint64_t>(EntryKind::kErase) && !cursor.at_end()) {
    return Status::corruption("an erased key has a value");
  }
  return {};
}

Status check_key_index(ByteView value) {
  Cursor cursor(value);
  HDB_TRY(cursor.varint());
  HDB_TRY(decode_handle(cursor));
  return cursor.at_end() ? Status() : Status::corruption("an index entry has bytes after its end");
}

Entry entry_of(ByteView key, ByteView data_value) noexcept {
  const std::byte* at = data_value.data();
  const std::uint64_t tag = read_trusted_varint(at);
  const auto tag_bytes = static_cast<std::size_t>(at - data_value.data());
  return Entry{key, sequence_in(tag), static_cast<EntryKind>(tag & 1), data_value.subspan(tag_bytes)};
}

BlockHandle handle_of(ByteView index_value) noexcept {
  const std::byte* at = index_value.data();
  read_trusted_varint(at);
  const std::uint64_t offset = read_trusted_varint(at);
  return BlockHandle{offset, static_cast<std::uint32_t>(read_trusted_varint(at))};
}

Result<SortedBlock> decode_key_data(Buffer bytes) {
  return SortedBlock::decode(std::move(bytes), &check_key_data);
}

}  // namespace hdb::sstable
