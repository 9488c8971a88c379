// tools/dump/salvage.h: what of a damaged store can be proved intact, and a new store made of it.
//
// An event is taken if the checksum of its block or batch is right, from wherever it is: each keeps its position, and a
// lost one leaves a record of its own there (RecordKind::kLost). A version of a key is taken if its checksum is right
// and no newer version of the key can have been in what is damaged.
//
// Where the log lost changes, nobody knows of which keys: proved is only what it changed since. Where it lost its end,
// nothing of keyspaces is; nor without a sound manifest (survey_store.h), since nobody knows which tables were live,
// and an old one may hold values that were erased since.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/env.h"
#include "tools/dump/annotate.h"
#include "tools/dump/survey_table.h"

namespace hdb::dump {

// Keys whose newest version may be among what is lost; inclusive on both sides.
struct DoubtfulKeys {
  Buffer from;  // stored keys: the keyspace's id, then the user's key
  Buffer to;
};

struct SalvageReport {
  bool is_manifest_sound = true;
  std::uint64_t events = 0;  // intact, those that are lost since an earlier repair included
  std::vector<LostPositions> lost_positions;
  std::vector<LostPositions> lost_before;  // since an earlier repair
  std::uint64_t unplaced_events = 0;       // not taken: they can be read, but nothing proves which positions they had
  std::uint64_t key_versions = 0;          // taken
  std::vector<DoubtfulKeys> doubtful_keys;
  std::uint64_t lost_key_versions = 0;          // in damaged parts of tables
  std::uint64_t unproved_key_versions = 0;      // left out, though intact
  std::uint64_t lost_changes = 0;               // of keys, in damaged parts of the log
  bool is_log_end_lost = false;                 // more may have been committed behind it: how much, nothing tells
  std::vector<std::string> doubtful_keyspaces;  // names: keys are lost or left out there, or may be
  bool is_every_keyspace_doubtful = false;      // also such as nothing names any more
  std::uint64_t torn_bytes = 0;                 // of the log's tail, as the next open would cut them
  std::vector<Damage> damages;

  std::uint64_t lost_events() const noexcept;
  std::uint64_t lost_before_events() const noexcept;
  std::uint64_t damaged_bytes() const noexcept;
  bool is_whole() const noexcept;  // nothing is damaged, missing or left out
};

// "1200 events and 30 versions of keys are intact; lost: ...", in one line.
std::string summary_of(const SalvageReport& report);

struct SalvageOptions {
  std::string target;                // a new directory for the copy; empty: only tell
  bool takes_unproved_keys = false;  // also what may be older than it was, or erased since
};

// Reads the store and writes nothing in it. Each damage and each loss is one line to `sink`. With a target, that
// becomes a store of what is intact: with all of it on the device and verified, or, after an error, with no file
// CURRENT. kNotFound if there is no store, kBusy if it is open for writing, kUnsupported if a newer version wrote part
// of it, kInvalidArgument if it is a copy that has
// not ended, or if the target holds anything but what the same repair left there when it was interrupted.
Result<SalvageReport> salvage_store(Env& env, const std::string& store, const SalvageOptions& options,
                                    const Sink& sink);

}  // namespace hdb::dump
