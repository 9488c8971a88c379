// tools/dump/survey_table.h: what of a table that may be damaged can be read.
//
// A block that its checksum vouches for is intact, wherever else the table is damaged: the checksum binds it to its
// place in this file. Blocks are found by the table's index; where that cannot be read, one after the other from the
// start of the file, up to the first that is damaged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/env.h"
#include "sstable/format.h"
#include "sstable/table_meta.h"

namespace hdb::dump {

struct Damage {
  std::string what;         // names file and offset
  std::uint64_t bytes = 0;  // that cannot be read
};

// Whether the error is of what is stored, or of the device it is on. Any other, such as of permissions, of a limit or
// of memory, tells nothing of the store: nobody may take it for a loss.
bool is_damage(const Status& error);

// Positions [begin, end).
struct LostPositions {
  Position begin = 0;
  Position end = 0;
  friend bool operator==(const LostPositions&, const LostPositions&) = default;
};

// A data block. Those that are damaged are known from the index only.
struct SurveyedBlock {
  sstable::BlockHandle handle;
  bool is_intact = false;
  Position first = 0;       // of events: the position of the first one
  std::uint64_t count = 0;  // events, or versions of keys; unknown, 0, of keys in a damaged block
  Buffer last_key;          // of keys: the last stored key
};

struct SurveyedTable {
  FileNumber number;
  std::string path;
  // As the manifest has it; or, without a manifest, as the table says of itself. Empty: neither can be read.
  std::optional<sstable::TableMeta> meta;
  bool is_sound = false;  // every byte is as it was written: then blocks are not listed
  std::vector<SurveyedBlock> blocks;
  // Of keys: blocks behind the last one listed may be missing, up to meta->largest_key.
  bool is_cut = false;
  // Without `meta`, of a table of which all events can be read: nothing in it says where they begin, so that their
  // positions in `blocks` and `lost_before` count from 0.
  std::uint64_t unplaced_events = 0;
  // Of the events of tables whose blocks were found without their index.
  Timestamp commit_time_min{};
  Timestamp commit_time_max{};
  std::vector<Damage> damages;
  std::vector<LostPositions> lost_before;  // of events: lost since an earlier repair
};

// Reads every byte of the table; `expected` is what the manifest says of it, null if there is none. Damage, and what
// the system will not give, is in the result. kUnsupported: a newer version wrote it.
Result<SurveyedTable> survey_table(Env& env, const std::string& store, FileNumber number,
                                   const sstable::TableMeta* expected);

// The block decompressed; kCorruption names what is wrong, not where.
Result<Buffer> read_block(const RandomAccessFile& file, FileNumber number, sstable::BlockHandle handle,
                          sstable::BlockKind kind);

}  // namespace hdb::dump
