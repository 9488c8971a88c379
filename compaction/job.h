// compaction/job.h: does what a plan says: reads its tables, writes new ones, and returns the edit that swaps them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "compaction/picker.h"
#include "compaction/version_edit.h"
#include "io/env.h"
#include "sstable/table_cache.h"
#include "sstable/table_settings.h"

namespace hdb::compaction {

struct JobContext {
  Env& env;
  std::string directory;  // of the store
  sstable::TableCache& tables;
  sstable::TableSettings settings;  // of the tables written
  // Sequences that readers may read at, ascending: of each key the newest version at or below each is kept, and the
  // newest of all. See retain.h.
  std::vector<SequenceNumber> held_sequences;
  std::function<FileNumber()> next_file_number;
  // Asked about once per block written; true ends the job with kClosed.
  std::function<bool()> is_stopping;
  // Told the bytes written since the last call, about once per block; it may sleep to limit the rate.
  std::function<void(std::uint64_t bytes)> pace;
};

// The edit to append to the manifest. Its added tables are complete, synced and named, but orphans until then: whoever
// does not install the edit removes them, or the next open does. On an error what was written is removed again.
// Memory: a block per input group, and what a table builder holds. Reads do not fill the block cache.
Result<VersionEdit> run_job(const Plan& plan, const JobContext& context);

}  // namespace hdb::compaction
