#include "sstable/table_cache.h"

#include <iterator>
#include <utility>

#include "io/file_name.h"
#include "sstable/table_reader.h"

namespace hdb::sstable {

namespace {

// The manifest decides what the store holds: a file of the right name and number with other content is damage.
template <typename Table>
Status check_expected(const Table& table, const TableMeta& expected) {
  if (table.meta() == expected) return {};
  return table.reader().damaged(
      0, "the table is not the one the manifest names: it has " + std::to_string(table.meta().entry_count) +
             " entries in " + std::to_string(table.meta().file_bytes) + " bytes, not " +
             std::to_string(expected.entry_count) + " in " + std::to_string(expected.file_bytes) + ", or other bounds");
}

// A missing file comes with its remedy.
template <typename Table>
Result<std::shared_ptr<const Table>> open_named(Env& env, const std::string& path, FileNumber number,
                                                BlockCache& blocks) {
  auto table = Table::open(env, path, number, blocks);
  if (table.ok() || table.status().code() != StatusCode::kNotFound) return table;
  return Status::not_found(std::string(table.status().message()) +
                           "; the manifest names this table: restore it from a backup");
}

}  // namespace

TableCache::TableCache(Env& env, std::string store, std::uint32_t open_tables_max, BlockCache& blocks)
    : env_(env), store_(std::move(store)), open_tables_max_(open_tables_max), blocks_(blocks) {}

TableCache::OpenTable TableCache::find(FileNumber number) {
  const MutexLock lock(mutex_);
  const auto found = by_number_.find(number);
  if (found == by_number_.end()) return {};
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return *found->second;
}

TableCache::OpenTable TableCache::keep(OpenTable table) {
  std::list<OpenTable> closed;  // destroyed after the lock is released: closing files takes time
  const MutexLock lock(mutex_);
  const auto found = by_number_.find(table.number);
  if (found != by_number_.end()) return *found->second;
  by_use_.push_front(table);
  try {
    by_number_.emplace(table.number, by_use_.begin());
  } catch (...) {  // std::bad_alloc
    by_use_.pop_front();
    throw;
  }
  while (by_use_.size() > open_tables_max_) {
    by_number_.erase(by_use_.back().number);
    closed.splice(closed.begin(), by_use_, std::prev(by_use_.end()));
  }
  return table;
}

Result<std::shared_ptr<const EventTable>> TableCache::get_events(const TableMeta& meta) {
  HDB_CHECK(meta.kind == TableKind::kEvents);
  OpenTable open = find(meta.number);
  if (open.events == nullptr) {
    open.number = meta.number;
    open.events = HDB_TRY(open_named<EventTable>(env_, table_path(store_, meta.number), meta.number, blocks_));
    HDB_TRY(check_expected(*open.events, meta));
    open = keep(std::move(open));
  }
  return std::move(open.events);
}

Result<std::shared_ptr<const KeyTable>> TableCache::get_keys(const TableMeta& meta) {
  HDB_CHECK(meta.kind == TableKind::kKeys);
  OpenTable open = find(meta.number);
  if (open.keys == nullptr) {
    open.number = meta.number;
    open.keys = HDB_TRY(open_named<KeyTable>(env_, table_path(store_, meta.number), meta.number, blocks_));
    HDB_TRY(check_expected(*open.keys, meta));
    open = keep(std::move(open));
  }
  return std::move(open.keys);
}

void TableCache::evict(FileNumber number) {
  OpenTable closed;  // destroyed after the lock is released
  const MutexLock lock(mutex_);
  const auto found = by_number_.find(number);
  if (found == by_number_.end()) return;
  closed = std::move(*found->second);
  by_use_.erase(found->second);
  by_number_.erase(found);
}

std::uint64_t TableCache::open_tables() const {
  const MutexLock lock(mutex_);
  return by_use_.size();
}

}  // namespace hdb::sstable
