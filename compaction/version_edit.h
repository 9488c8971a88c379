// compaction/version_edit.h: the difference between two states of the store, and how it is applied.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <hdb/event.h>

#include "base/ids.h"
#include "compaction/version.h"

namespace hdb::compaction {

struct AddedTable {
  std::uint32_t level;  // of keys: [0, kLevels); of events: kEventLevel or kMergedEventLevel
  TableRef meta;
};

struct AddedKeyspace {
  std::uint32_t id;
  std::string name;
  friend bool operator==(const AddedKeyspace&, const AddedKeyspace&) = default;
};

// Plain data. What is absent stays as it was.
struct VersionEdit {
  std::optional<Epoch> epoch;
  std::optional<LogPoint> log_floor;
  std::optional<bool> is_log_open;
  std::optional<bool> is_copy;
  std::optional<FileNumber> next_file_number;
  std::optional<SequenceNumber> next_sequence;
  std::optional<Position> position_end;
  std::optional<Timestamp> last_commit_time;
  std::vector<AddedKeyspace> keyspaces;
  // Removals come first: a table that moves is removed, and added at its new level.
  std::vector<FileNumber> removed;
  std::vector<AddedTable> added;
};

// What the manifest knows. `version` is never null.
struct ManifestState {
  StoreId store_id{};
  Epoch epoch;                           // of the last open for writing
  LogPoint log_floor;                    // everything in the log before it is in tables
  bool is_log_open = false;              // there is a log to replay from log_floor on
  bool is_copy = false;                  // a backup, or restored from one, and not opened for writing since
  FileNumber next_file_number{1};        // above every number that tables and manifests have
  SequenceNumber next_sequence{1};       // what tables hold is below
  Position position_end = 0;             // what tables hold is below
  Timestamp last_commit_time{};          // of what tables hold
  std::vector<AddedKeyspace> keyspaces;  // by id
  std::shared_ptr<const Version> version = std::make_shared<const Version>();
};

// The version after the edit. kCorruption if a removed table is not there, an added one is, or the outcome breaks the
// shape a version must have; the message names the tables.
Result<Version> apply(const Version& base, const VersionEdit& edit);

// The state after the edit. Also kCorruption: a number that may only grow is lower than before (epoch, log floor,
// sequence, position, commit time), or a keyspace with an id or name that exists. next_file_number is kept above all
// numbers in use and never decreases, whatever the edit says.
Result<ManifestState> apply(const ManifestState& base, const VersionEdit& edit);

// The state that a series of edits makes of an empty one. It costs what the edits are long, however many tables there
// are meanwhile; so only the last version must have the shape of one. Single-owner.
class StateReplay {
 public:
  // Errors are as of apply(); nothing may be called after one.
  Status apply(const VersionEdit& edit);
  Result<ManifestState> finish() &&;

 private:
  ManifestState state_;  // but its version
  std::unordered_map<FileNumber, AddedTable> tables_;
};

// The edit that makes `version` out of nothing; the edit that makes `state`, but its store id.
VersionEdit edit_of(const Version& version);
VersionEdit edit_of(const ManifestState& state);

}  // namespace hdb::compaction
