// tools/dump/salvage_log.h: every batch of the log that can be proved intact, also behind damage.
//
// Where wal::replay() refuses a log, its groups are sought one by one: a group's checksum binds it to the store, its
// epoch, its segment and its place, and its header says which sequence and position it begins with, so that what is
// missing before it is known. Up to the highest point that anything intact says was durable, every intact group counts;
// behind that, as in a sound log, those that follow one another without a gap, and the rest is a torn tail.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/batch.h"
#include "base/ids.h"
#include "compaction/version_edit.h"
#include "io/env.h"
#include "tools/dump/survey_table.h"

namespace hdb::dump {

// A batch of a log group. Views live until the visitor returns.
struct SalvagedBatch {
  SegmentNumber segment;  // that it is in
  BatchView batch;
  SequenceNumber first_sequence;
  Position first_position = 0;
  Timestamp commit_time{};
};

struct LogSurvey {
  std::vector<Damage> damages;   // empty: the log is sound
  std::uint64_t torn_bytes = 0;  // behind the end: never acknowledged as durable
  SequenceNumber next_sequence;  // behind everything the log tells of, lost or not
  Position next_position = 0;
  std::uint64_t lost_changes = 0;  // of keys: between intact groups, or in damaged batches of such
  SequenceNumber intact_from;      // no change from there on is lost, but for those behind a lost end
  bool is_end_lost = false;        // more may have been committed behind the end: nothing tells
};

// Visits in the order of commits what lies above the tables of `state`, of which only what is known need be set:
// with `is_manifest_sound` false every segment that is there is read, and only the store's id is believed.
Result<LogSurvey> salvage_log(Env& env, const std::string& store, const compaction::ManifestState& state,
                              bool is_manifest_sound, const std::function<Status(const SalvagedBatch&)>& visit);

// The store's id as most segments of its log have it; empty if none can be read.
Result<std::optional<StoreId>> store_id_in_log(Env& env, const std::string& store);

// Of all segments that are there.
Result<std::uint64_t> log_bytes(Env& env, const std::string& store);

}  // namespace hdb::dump
