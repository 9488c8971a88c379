#include "engine/store.h"

namespace hdb {

namespace {
std::uint64_t count_of(const std::atomic<std::uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}
}  // namespace

Stats Store::stats() {
  Stats stats;
  if (!check_open().ok()) return stats;
  stats.events_appended = count_of(counters_.events_appended);
  stats.duplicates = count_of(counters_.duplicates);
  stats.key_value_changes = count_of(counters_.key_value_changes);
  stats.batches = count_of(counters_.batches);
  stats.log_groups = count_of(counters_.log_groups);
  stats.table_bytes_flushed = count_of(counters_.table_bytes_flushed);
  stats.table_bytes_compacted = count_of(counters_.table_bytes_compacted);
  stats.flushes = count_of(counters_.flushes);
  stats.compactions = count_of(counters_.compactions);
  stats.table_moves = count_of(counters_.table_moves);
  stats.slowdowns = count_of(counters_.slowdowns);
  stats.stalls = count_of(counters_.stalls);
  stats.stall_us = count_of(counters_.stall_us);
  stats.recovered_groups = count_of(counters_.recovered_groups);
  stats.torn_tail_bytes_cut = count_of(counters_.torn_tail_bytes_cut);
  {
    MutexLock lock(manifest_mutex_);
    if (manifest_ != nullptr) stats.manifest_bytes_written = manifest_->bytes_written();
  }
  {
    MutexLock lock(log_mutex_);
    stats.log_bytes_live = active_log_bytes_;
    if (log_ != nullptr) {
      stats.log_bytes_written = log_->bytes_written();
      stats.log_bytes_live = log_->live_bytes();
      stats.log_syncs = log_->syncs();
    }
  }
  const Visibility::Read read = visibility_->read();
  stats.events = read.at.position_end;
  stats.memtable_bytes = read.view->active->bytes();
  stats.sealed_memtables = read.view->sealed.size();
  for (const auto& sealed : read.view->sealed) stats.memtable_bytes += sealed->table->bytes();
  stats.event_tables = read.view->version->event_tables().size();
  stats.table_bytes_live = read.view->version->total_bytes();
  for (std::uint32_t level = 0; level < read.view->version->level_count(); ++level) {
    stats.keyspace_tables_by_level.push_back(read.view->version->level(level).size());
    stats.keyspace_tables += stats.keyspace_tables_by_level.back();
  }
  const sstable::BlockCache::Counters cache = block_cache_->counters();
  stats.block_cache_bytes = cache.bytes;
  stats.block_cache_hits = cache.hits;
  stats.block_cache_misses = cache.misses;
  stats.filter_negatives = cache.filter_negatives;
  return stats;
}

}  // namespace hdb
