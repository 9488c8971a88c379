// hdb/options.h: every knob, with unit, range and reader; presets are purposes.
//
// Options are plain data. validate() rejects, it never repairs: a store must not run with settings nobody chose.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <hdb/status.h>

namespace hdb {

// When an append is acknowledged, and so what an acknowledged event survives.
enum class Durability : std::uint8_t {
  kNone,      // after the write: survives the process, not a power loss
  kInterval,  // after the write; synced within sync_interval_ms: a power loss takes at most that much
  kSync,      // on the device: survives a power loss
};

enum class Compression : std::uint8_t { kNone, kZstd };

// How files are written. Where the system has no io_uring, or the file system no direct writes, all are cached.
enum class FileWrites : std::uint8_t {
  kCached,  // with the system's page cache, which serves what is read of them soon
  kDirect,  // past it, which saves a copy and leaves the cache to others: first reads come from the device
};

// How the log is written. What takes time can go on in the background, by io_uring, while its writer works; a write
// that is waited for at once takes longer so than by a call. Where the system has no io_uring, or refuses it, it is
// pwrite.
enum class LogWrites : std::uint8_t {
  kAuto,    // what is faster as the log is written here: pwrite (measured, docs/performance.md)
  kPwrite,  // by calls that return when it is done
  kIoUring,
};

struct Options {
  // The default of appends that do not choose. Read by: engine/commit.cc.
  Durability durability = Durability::kSync;
  // The longest a kInterval append stays unsynced. [1, 60000]. Read by: engine/log_timer.cc.
  std::uint32_t sync_interval_ms = 100;

  // A memtable is sealed and flushed at this size. Larger: fewer tables and merges, longer recovery.
  // [64 KiB, 16 GiB]. Read by: engine/commit.cc.
  std::uint64_t memtable_bytes = 64ull << 20;
  // Sealed memtables waiting for their flush. With this many, writers slow down as the active one fills, and stop when
  // it is full: memory for unflushed data stays near memtable_bytes x (1 + this). [1, 64]. Read by: engine/commit.cc.
  std::uint32_t sealed_memtables_max = 2;
  // The log since the last flush is kept below about this by sealing early, while flushes keep up. [1 MiB, 1 TiB].
  // Read by: engine/commit.cc.
  std::uint64_t log_bytes_max = 1ull << 30;
  // The size at which the log goes on in a new segment file. [256 KiB, 4 GiB]. Read by: engine/recover.cc.
  std::uint64_t log_segment_bytes = 64ull << 20;
  // How the log is written. Read by: engine/recover.cc.
  LogWrites log_writes = LogWrites::kAuto;
  // Whether each appender makes the leaf hashes of its events, SHA-256 over all that the store keeps of what was said
  // of an event, and logs them: 32 bytes for each, also of the memtable. 'hdb-dump verify' finds events of the log that
  // were changed without their hashes (docs/durability.md says what it does not find). Tables don't keep the hashes,
  // and a store that was closed has no log. Of this open: not recorded in the store. Read by: engine/commit.cc.
  bool leaf_hashes = false;

  // Space an open store keeps for flushes on a full disk: appends are refused before it is touched. Given back by a
  // clean close. 0: none. [0, 64 GiB]. Read by: engine/store.cc.
  std::uint64_t reserve_bytes = 16ull << 20;

  // Decoded blocks, table indexes and filters kept in memory. [1 MiB, 1 TiB]. Read by: engine/store.cc.
  std::uint64_t block_cache_bytes = 256ull << 20;
  // Table files kept open; further ones are closed, the least recently used first. [16, 1000000].
  // Read by: engine/store.cc.
  std::uint32_t open_tables_max = 1000;

  // Uncompressed bytes per table block: larger compresses better and reads more per point look-up.
  // [1 KiB, 4 MiB]. Read by: engine/table_settings.cc.
  std::uint32_t block_bytes = 32u << 10;
  // Compression of tables; flushes use a fast level of the same kind. Read by: engine/table_settings.cc.
  Compression compression = Compression::kZstd;
  // zstd's level for merged tables, [1, 19]. Read by: engine/table_settings.cc.
  std::uint32_t compression_level = 3;
  // Bits per key of the Bloom filters; 10 give about 1 % false positives. [0, 32], 0: no filters.
  // Read by: engine/table_settings.cc.
  std::uint32_t filter_bits_per_key = 10;

  // How tables are written. Read by: engine/table_settings.cc.
  FileWrites table_writes = FileWrites::kCached;
  // The file size compaction aims at for one table. [64 KiB, 64 GiB]. Read by: engine/table_settings.cc.
  std::uint64_t table_bytes_target = 256ull << 20;
  // Neighbouring event tables merged at once, of which a full memtable makes two: higher writes less and reads more
  // tables. [2, 64].
  // Read by: engine/table_settings.cc.
  std::uint32_t event_merge_width = 16;
  // Keyspace tables in level 0 that start a compaction; a full memtable makes two. [2, 64].
  // Read by: engine/table_settings.cc.
  std::uint32_t level0_compaction_trigger = 8;
  // Keyspace tables in level 0 at which writers stop until compaction catches up; they slow down from halfway.
  // [4, 1024], more than level0_compaction_trigger. Read by: engine/back_pressure.cc.
  std::uint32_t level0_stop_trigger = 48;
  // How much larger each keyspace level is than the one above. [2, 100]. Read by: engine/table_settings.cc.
  std::uint32_t level_size_ratio = 10;

  // Threads that compact; two more flush. [1, 64]. Read by: engine/engine.cc.
  std::uint32_t background_threads = 2;
  // Bytes per second that compaction may write; 0: as fast as it can. [0, 1 TiB]. Read by: engine/compaction.cc.
  std::uint64_t compaction_bytes_per_s = 0;
};

// kInvalidArgument names the first option out of its range, its value and the range.
HDB_EXPORT Status validate(const Options& options);

// A preset is a purpose. It names only what differs from the defaults, and why (engine/presets.cc).
namespace presets {
HDB_EXPORT Options durable();     // the defaults: every append on the device
HDB_EXPORT Options balanced();    // synced every 100 ms
HDB_EXPORT Options throughput();  // bulk load: no syncs, 1 GiB memtables, 128 KiB blocks, no compression
HDB_EXPORT Options small();       // tens of MiB of memory
HDB_EXPORT Options archive();     // least disk: 1 MiB blocks, zstd -19
}  // namespace presets

struct Preset {
  std::string_view name;
  std::string_view purpose;  // one line
  Options (*make)();
};
HDB_EXPORT std::span<const Preset> all_presets() noexcept;
// kInvalidArgument lists the known names.
HDB_EXPORT Result<Options> preset_by_name(std::string_view name);

// Changes one option by its name in this file: set_option(options, "memtable_bytes", "128MiB"). Sizes take KiB, MiB
// and GiB. kInvalidArgument names the option and what it takes; ranges are left to validate().
HDB_EXPORT Status set_option(Options& options, std::string_view name, std::string_view value);

// Reads a TOML file: `preset = "balanced"` (optional; else the defaults) and any options. Unknown keys and wrong
// types are kInvalidArgument with file and line.
HDB_EXPORT Result<Options> load_options(const std::filesystem::path& file);

// As a TOML file that load_options reads back to the same options.
HDB_EXPORT std::string to_toml(const Options& options);

}  // namespace hdb
