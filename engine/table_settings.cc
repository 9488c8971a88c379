#include "engine/table_settings.h"

namespace hdb {

namespace {

constexpr std::uint32_t kFlushLevel = 1;  // zstd's fastest of the documented ones

sstable::TableSettings settings(const Options& options, int level) {
  return {.block_bytes = options.block_bytes,
          .compression = options.compression,
          .level = level,
          .filter_bits_per_key = options.filter_bits_per_key,
          .writes = options.table_writes};
}

}  // namespace

sstable::TableSettings flush_settings(const Options& options) {
  return settings(options, static_cast<int>(kFlushLevel));
}

sstable::TableSettings merge_settings(const Options& options) {
  return settings(options, static_cast<int>(options.compression_level));
}

compaction::PickerSettings picker_settings(const Options& options) {
  const bool is_flush_final = options.compression == Compression::kNone || options.compression_level == kFlushLevel;
  return {.table_bytes_target = options.table_bytes_target,
          .event_merge_width = options.event_merge_width,
          .level0_trigger = options.level0_compaction_trigger,
          .level_size_ratio = options.level_size_ratio,
          // As large as what level 0 brings at once: less would rewrite more of it for every flush.
          .level1_bytes_target = options.memtable_bytes * options.level0_compaction_trigger,
          .is_flush_final = is_flush_final};
}

}  // namespace hdb
