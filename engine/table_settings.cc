#include "engine/table_settings.h"

namespace hdb {

namespace {

// zstd's, a fast one: half of the time of level 1 for a third to a half more bytes, until the merge. Writers wait for
// flushes, and on two cores a flush's thread is what an ingest of events runs out of first.
constexpr int kEventFlushLevel = -5;
constexpr int kKeyFlushLevel = 1;

sstable::TableSettings settings(const Options& options, int level) {
  return {.block_bytes = options.block_bytes,
          .compression = options.compression,
          .level = level,
          .filter_bits_per_key = options.filter_bits_per_key,
          .writes = options.table_writes};
}

}  // namespace

sstable::TableSettings event_flush_settings(const Options& options) {
  return settings(options, kEventFlushLevel);
}

sstable::TableSettings key_flush_settings(const Options& options) {
  return settings(options, kKeyFlushLevel);
}

sstable::TableSettings merge_settings(const Options& options) {
  return settings(options, static_cast<int>(options.compression_level));
}

compaction::PickerSettings picker_settings(const Options& options) {
  return {.table_bytes_target = options.table_bytes_target,
          .event_merge_width = options.event_merge_width,
          .level0_trigger = options.level0_compaction_trigger,
          .level_size_ratio = options.level_size_ratio,
          // As large as what level 0 brings at once, in halves of memtables: less would rewrite more of it for every
          // flush.
          .level1_bytes_target = options.memtable_bytes * options.level0_compaction_trigger / 2,
          .is_flush_final = options.compression == Compression::kNone};
}

}  // namespace hdb
