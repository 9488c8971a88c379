// sstable/key_table.h: reads a table of key versions.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/entry_iterator.h"
#include "io/env.h"
#include "sstable/block_cache.h"
#include "sstable/filter.h"
#include "sstable/lazy.h"
#include "sstable/read_options.h"
#include "sstable/table_meta.h"

namespace hdb::sstable {

class SortedBlock;
class TableReader;
struct BlockHandle;

// An entry, and what keeps its value alive: it is valid for as long as the pin, or a copy of it, lives. The key is the
// view that the caller of get() gave.
struct PinnedEntry {
  Entry entry;
  std::shared_ptr<const void> pin;
};

// An open table file. Errors name the path, the offset and the remedy. Thread-safe.
class KeyTable : public std::enable_shared_from_this<KeyTable> {
 public:
  // Reads footer, properties and block index, and checks them; the filter is read at the first get(). kCorruption if
  // damaged or not the table `number`, kUnsupported if newer, kInvalidArgument if it is a table of events. `cache` must
  // outlive the table.
  static Result<std::shared_ptr<const KeyTable>> open(Env& env, const std::string& path, FileNumber number,
                                                      BlockCache& cache);
  ~KeyTable();

  // The newest version of the key with a sequence of at most `at`, tombstones as such; empty if the table has none.
  Result<std::optional<PinnedEntry>> get(ByteView stored_key, SequenceNumber at) const;

  // Keeps the table open. Views of entry() live until the next move, as everywhere.
  std::unique_ptr<EntryIterator> entries(ReadOptions options = {}) const;

  // As finish() returned it.
  const TableMeta& meta() const noexcept { return meta_; }
  const TableReader& reader() const noexcept { return *reader_; }

 private:
  friend class KeyTableIterator;
  KeyTable();
  // The filter is read when first asked for; the table has one.
  Result<const Filter*> filter() const;
  Status load_index();
  Result<std::shared_ptr<const SortedBlock>> read_block(BlockHandle handle, ReadOptions options) const;

  TableMeta meta_;
  std::unique_ptr<TableReader> reader_;
  std::unique_ptr<const SortedBlock> index_;
  BlockCache::Reservation index_charge_;
  Lazy<Filter> filter_;
};

}  // namespace hdb::sstable
