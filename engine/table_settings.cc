#include "engine/table_settings.h"

namespace hdb {

namespace {
sstable::TableSettings settings(const Options& options, int level) {
  return {.block_bytes = options.block_bytes,
          .compression = options.compression,
          .level = level,
          .filter_bits_per_key = options.filter_bits_per_key};
}
}  // namespace

sstable::TableSettings flush_settings(const Options& options) { return settings(options, 1); }

sstable::TableSettings merge_settings(const Options& options) {
  return settings(options, static_cast<int>(options.compression_level));
}

compaction::PickerSettings picker_settings(const Options& options) {
  return {.table_bytes_target = options.table_bytes_target,
          .event_merge_width = options.event_merge_width,
          .level0_trigger = options.level0_compaction_trigger,
          .level_size_ratio = options.level_size_ratio};
}

}  // namespace hdb
