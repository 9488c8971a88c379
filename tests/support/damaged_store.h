// tests/support/damaged_store.h: stores to be damaged, with all that was ever in them, and what a salvage must make of
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "sstable/format.h"
#include "tests/support/events.h"
#include "tests/support/memory_env.h"
#include "tools/dump/salvage.h"

namespace hdb::test {

inline constexpr std::uint64_t kFileBytesMax = 64u << 20;

// By path.
using Files = std::map<std::string, Buffer>;

// A store's files, and all that was ever in it.
struct Saved {
  Files files;
  std::vector<OwnedEvent> events;
  // By keyspace and key: every value it ever had, and the last, empty if it was erased.
  std::map<std::string, std::set<std::string>> values;
  std::map<std::string, std::optional<std::string>> last;
};

Files files_of(Env& env, const std::string& store);

// A disk with these files, of the directory "store".
std::unique_ptr<MemoryEnv> disk_with(const Files& files);

// Events and keys in merged and in fresh tables, and in the log unless it is closed; keys are rewritten and erased all
// the time, so that every level holds older versions of what is above.
Saved make_store(bool is_closed, std::uint64_t seed);

struct Salvaged {
  dump::SalvageReport report;
  std::vector<std::string> lines;
};

// Salvages into "copy", checks that nothing in "store" was changed, that a look without writing tells the same, and
// that the copy holds what the report says: each event at its place or told lost, and of keys no value they never had.
Salvaged check_salvage(MemoryEnv& env, const Saved& saved, bool takes_unproved_keys = false);

// Of the table at the path.
sstable::BlockHandle properties_of(const Files& files, const std::string& path);
// Empty (of no bytes) if the table is one of keys.
sstable::BlockHandle last_event_block_of(const Files& files, const std::string& path);

// With a flipped bit in the first block of each table.
Files with_damaged_tables(Files files);

// The first file whose name has the word in it.
std::string path_of(const Files& files, const std::string& word);

// Keys that were not erased.
std::size_t key_count(const Saved& saved);
// In all keyspaces of the store in the directory.
std::size_t keys_in(Env& env, const std::string& directory);

}  // namespace hdb::test
