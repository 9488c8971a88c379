// The presets: each names what differs from the defaults, and why. presets/*.toml say the same as files.

#include <hdb/options.h>

#include <array>

namespace hdb {

namespace presets {

Options durable() {
  return {};
}

Options balanced() {
  Options options;
  // An append waits for no device; a power loss takes at most sync_interval_ms of events.
  options.durability = Durability::kInterval;
  return options;
}

Options throughput() {
  Options options;
  // A bulk load can be run again: it need survive the process only.
  options.durability = Durability::kNone;
  // Fewer, larger tables: each event is flushed once and merged seldom.
  options.memtable_bytes = 1ull << 30;
  // Nobody counts on a bulk load to go on where the disk is full.
  options.reserve_bytes = 0;
  // Above what the memtables hold, so that the log never seals one early.
  options.log_bytes_max = 4ull << 30;
  options.log_segment_bytes = 256ull << 20;
  // Scans read ahead of their consumer, and nobody waits for single events.
  options.block_bytes = 128u << 10;
  // The processor, not the disk, is what loading runs out of.
  options.compression = Compression::kNone;
  options.table_writes = FileWrites::kDirect;
  // Half of a flushed memtable is a table of the target size: it needs no merge.
  options.table_bytes_target = 512ull << 20;
  // Writers would stop long before the disk is busy.
  options.level0_stop_trigger = 96;
  options.background_threads = 4;
  return options;
}

Options small() {
  Options options;
  // At most two of them in memory: the one that grows and the one being flushed.
  options.memtable_bytes = 4ull << 20;
  options.sealed_memtables_max = 1;
  // Recovery reads the log: on a small machine it should be short.
  options.log_bytes_max = 32ull << 20;
  options.log_segment_bytes = 4ull << 20;
  // Room for one memtable's tables.
  options.reserve_bytes = 4ull << 20;
  // Blocks, table indexes and filters together.
  options.block_cache_bytes = 8ull << 20;
  // Each open table takes a file descriptor and its footer's memory.
  options.open_tables_max = 128;
  // The cache holds more different blocks, and a look-up decodes less.
  options.block_bytes = 16u << 10;
  // Building a table takes memory in proportion to it.
  options.table_bytes_target = 32ull << 20;
  options.background_threads = 1;
  return options;
}

Options archive() {
  Options options;
  // Written once, read seldom: every byte saved is saved for years. zstd finds more in longer blocks.
  options.block_bytes = 1u << 20;
  options.compression_level = 19;
  // Fewer files, each with one dictionary of terms instead of many.
  options.table_bytes_target = 1ull << 30;
  // At level 19 rewriting is what costs: merge more at once, so less often.
  options.event_merge_width = 32;
  return options;
}

}  // namespace presets

std::span<const Preset> all_presets() noexcept {
  static constexpr std::array<Preset, 5> kPresets = {{
      {"durable", "every append is on the device when it returns (the default)", presets::durable},
      {"balanced", "appends return at once and are synced every 100 ms", presets::balanced},
      {"throughput", "bulk load: no syncs, large memtables and blocks, no compression", presets::throughput},
      {"small", "tens of MiB of memory, one background thread", presets::small},
      {"archive", "least disk: 1 MiB blocks at zstd's level 19", presets::archive},
  }};
  return kPresets;
}

Result<Options> preset_by_name(std::string_view name) {
  std::string known;
  for (const Preset& preset : all_presets()) {
    if (preset.name == name) return preset.make();
    known += (known.empty() ? "" : ", ") + std::string(preset.name);
  }
  return Status::invalid_argument("there is no preset \"" + std::string(name) + "\"; the presets are " + known);
}

}  // namespace hdb
