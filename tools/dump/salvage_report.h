// tools/dump/salvage_report.h: what of a damaged store is intact, what is lost, and how that is told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compaction/version_edit.h"
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
  bool has_unproved_keys = false;               // they were asked for: key_versions counts them
  Position position_end = 0;                    // behind the last event that is taken or lost
  std::uint64_t torn_bytes = 0;                 // of the log's tail, as the next open would cut them
  std::vector<Damage> damages;

  std::uint64_t lost_events() const noexcept;
  std::uint64_t lost_before_events() const noexcept;
  std::uint64_t damaged_bytes() const noexcept;
  bool is_whole() const noexcept;  // nothing is damaged, missing or left out
};

// A line for each damage and each loss. `state` has the names of keyspaces.
void tell(const SalvageReport& report, const compaction::ManifestState& state, const Sink& sink);

// "1200 events and 30 versions of keys are intact; lost: ...", in one line.
std::string summary_of(const SalvageReport& report);

}  // namespace hdb::dump
