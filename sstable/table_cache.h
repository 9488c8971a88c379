// sstable/table_cache.h: open tables, bounded in number.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/mutex.h"
#include "io/env.h"
#include "sstable/block_cache.h"
#include "sstable/event_table.h"
#include "sstable/key_table.h"
#include "sstable/table_meta.h"

namespace hdb::sstable {

// Holds at most `open_tables_max` tables open, the least recently used are let go first; one that somebody still holds
// closes when they are done. Thread-safe.
class TableCache {
 public:
  // `env` and `blocks` must outlive the cache and the tables it returns. `store` is the store's directory.
  TableCache(Env& env, std::string store, std::uint32_t open_tables_max, BlockCache& blocks);
  TableCache(const TableCache&) = delete;
  TableCache& operator=(const TableCache&) = delete;

  // The table that `meta`, as the manifest has it, names; opened if it is not open. kCorruption if the file is not as
  // `meta` says.
  Result<std::shared_ptr<const EventTable>> get_events(const TableMeta& meta);
  Result<std::shared_ptr<const KeyTable>> get_keys(const TableMeta& meta);

  // Lets go of the table: before its file is removed.
  void evict(FileNumber number);

  std::uint64_t open_tables() const;  // held by the cache now
  BlockCache& blocks() noexcept { return blocks_; }

 private:
  struct OpenTable {
    FileNumber number;
    std::shared_ptr<const EventTable> events;  // one of the two
    std::shared_ptr<const KeyTable> keys;
  };

  // Empty pointers if it is not open.
  OpenTable find(FileNumber number) HDB_EXCLUDES(mutex_);
  // Keeps `table`, or returns the one another thread opened in the meantime.
  OpenTable keep(OpenTable table) HDB_EXCLUDES(mutex_);

  Env& env_;
  const std::string store_;
  const std::uint32_t open_tables_max_;
  BlockCache& blocks_;

  mutable Mutex mutex_;                                 // short sections only, never across IO
  std::list<OpenTable> by_use_ HDB_GUARDED_BY(mutex_);  // most recently used first
  std::unordered_map<FileNumber, std::list<OpenTable>::iterator> by_number_ HDB_GUARDED_BY(mutex_);
};

}  // namespace hdb::sstable
