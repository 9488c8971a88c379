// sstable/key_table.h: reads a table of key versions.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/entry_iterator.h"
#include "base/mutex.h"
#include "io/env.h"
#include "sstable/block_cache.h"
#include "sstable/read_options.h"
#include "sstable/table_meta.h"

namespace hdb::sstable {

class Filter;
class SortedBlock;
class TableReader;

// An entry and what keeps its views alive: the entry is valid for as long as the pin, or a copy of it, lives.
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
  // Null if the table has no filter.
  Result<const Filter*> filter() const;
  Status load_index();

  TableMeta meta_;
  BlockCache& cache() const noexcept;
  std::unique_ptr<TableReader> reader_;
  std::shared_ptr<const SortedBlock> index_;
  BlockCache::Reservation index_charge_;

  mutable Mutex load_mutex_;                            // held while the filter is read
  mutable std::atomic<const Filter*> filter_{nullptr};  // release store in filter(), acquire load there
  mutable std::unique_ptr<const Filter> filter_owner_ HDB_GUARDED_BY(load_mutex_);
  mutable BlockCache::Reservation filter_charge_ HDB_GUARDED_BY(load_mutex_);
};

}  // namespace hdb::sstable
