// tools/dump/survey_store.h: what lies in the files of a store that may be damaged, and whether its manifest is sound.
//
// A manifest is believed if nothing that lies in the store contradicts it: no table and no part of the log that it
// should know, none of its tables missing while a later one that it does not name is there, no key of a keyspace that
// it does not name. A contradicted one has lost its last edits: then which tables were live, nobody knows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compaction/version_edit.h"
#include "io/env.h"
#include "tools/dump/salvage_log.h"
#include "tools/dump/survey_table.h"

namespace hdb::dump {

struct TableInStore {
  std::uint32_t level = 0;
  SurveyedTable survey;
};

struct StoreSurvey {
  compaction::ManifestState state;  // as far as anything tells it
  bool is_manifest_sound = false;
  // With a sound manifest those it names, events by position, then keys from the newest on; without one all that are
  // there, by number.
  std::vector<TableInStore> tables;
  // With a sound manifest, those there are that it does not name: left by a process that died between two steps. What
  // they hold of events is as good as any.
  std::vector<TableInStore> unnamed_tables;
  std::uint64_t unplaced_events = 0;  // that can be read, but nothing proves at which positions they were
  LogSurvey log;
  std::vector<Damage> damages;     // of all of it
  FileNumber first_new_number{1};  // above those of all files
  std::uint64_t bytes = 0;         // of all tables and segments that are there
};

// Of a stored key; 0 if it is none.
std::uint32_t keyspace_of(ByteView stored);

// Reads every byte of tables and log, and writes nothing. kNotFound if there is no store, kUnsupported if a newer
// version wrote part of it; what the system refuses for another reason than damage is an error as well.
Result<StoreSurvey> survey_store(Env& env, const std::string& store);

}  // namespace hdb::dump
