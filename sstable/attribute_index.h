// sstable/attribute_index.h: which events of a table have a term: type, entity, host, tag or caller-made id.
//
// One sorted run of dictionary blocks (sorted_block.h) for all attributes:
//
//   key    u8 Attribute, then the term, or its fingerprint (TermForm, in the properties)
//   value  u8 PostingsPlace, then the PositionSet's encoding (base/postings.h), or the handle of the block that is one
//
// and one index block: per dictionary block, key: its last key; value: its handle. Positions are relative to the
// table's first.
#pragma once

#include <cstdint>
#include <functional>

#include "base/postings.h"
#include "sstable/filter.h"
#include "sstable/format.h"
#include "sstable/lazy.h"
#include "sstable/read_options.h"
#include "sstable/sorted_block.h"
#include "sstable/table_reader.h"

namespace hdb::sstable {

enum class PostingsPlace : std::uint8_t { kInline = 0, kBlock = 1 };  // on disk: append, never renumber

// Whether a value is of the form above, for SortedBlock::decode.
Status check_dictionary(ByteView value);
Status check_dictionary_index(ByteView value);

// Reads an index; its own index block and the filter of ids when first asked for. Thread-safe.
class AttributeIndex {
 public:
  // The reader must outlive it.
  explicit AttributeIndex(const TableReader& reader) : reader_(reader) {}

  const AttributeProperties& properties_of(Attribute attribute) const noexcept {
    return reader_.properties().attributes[static_cast<std::size_t>(attribute) - 1];
  }

  // The positions of the term's entry, or of its fingerprint's; none if there is no such entry.
  Result<PositionSet> find(Attribute attribute, ByteView term) const;

  // False: no event has a caller-made id of this hash64.
  Result<bool> may_have_id(std::uint64_t hash) const;

  // Calls visit(key, positions) for each entry in key order, past the cache. Stops at the first error and returns it.
  Status for_each(const std::function<Status(ByteView key, const PositionSet& positions)>& visit) const;

  // Of all dictionary and postings blocks, in no order.
  Result<std::vector<BlockHandle>> handles() const;

 private:
  Result<const SortedBlock*> index() const;
  Result<std::shared_ptr<const SortedBlock>> read_dictionary(BlockHandle handle, ReadOptions options) const;
  // Of an entry's value in the dictionary block at `offset`.
  Result<PositionSet> positions_of(ByteView value, std::uint64_t offset, ReadOptions options) const;

  const TableReader& reader_;
  Lazy<SortedBlock> index_;
  Lazy<Filter> filter_;
};

}  // namespace hdb::sstable
