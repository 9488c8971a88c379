// sstable/key_block.h: what the values in the sorted blocks of a table of keys hold.
//
// Key data:   key: stored key; value: varint tag, then the user's value. tag = sequence x 2 + EntryKind.
// Key index:  per data block, key: its last stored key; value: varint tag of its last entry, handle of the block.
#pragma once

#include "base/entry_iterator.h"
#include "sstable/format.h"
#include "sstable/sorted_block.h"

namespace hdb::sstable {

inline std::uint64_t tag_of(SequenceNumber sequence, EntryKind kind) noexcept {
  return sequence.raw() << 1 | static_cast<std::uint64_t>(kind);
}
inline SequenceNumber sequence_in(std::uint64_t tag) noexcept {
  return SequenceNumber(tag >> 1);
}

// Whether a value is of the form above, for SortedBlock::decode.
Status check_key_data(ByteView value);
Status check_key_index(ByteView value);

// Of values that were checked.
Entry entry_of(ByteView key, ByteView data_value) noexcept;
inline SequenceNumber sequence_of(ByteView value) noexcept {
  const std::byte* at = value.data();
  return sequence_in(read_trusted_varint(at));
}
BlockHandle handle_of(ByteView index_value) noexcept;

Result<SortedBlock> decode_key_data(Buffer bytes);

}  // namespace hdb::sstable
