// wal/reader.h: reads the log back after a close or a crash, and tells a torn tail from damage.
//
// The manifest vouches for two things: every segment up to `epoch_max` was recorded before its first append, and the
// log is durable up to its floor. So:
//   - no floor segment, a floor above the log's end, or no segment of the last epoch: kCorruption (but with epoch_max 0
//     nothing was ever logged);
//   - segments with a higher epoch are orphans of an open that died before its manifest edit: ignored, and removed by
//     cut_tail(), as are segments below the floor's. If one holds a group, the manifest lost that edit: kCorruption;
//   - segment numbers are consecutive, epochs never decrease, each header's predecessor_end is where the segment before
//     really ended, sequences and positions continue exactly.
// Where this breaks, at the point P, everything behind is searched, at each multiple of 8, for a valid group or segment
// header whose durable_end is above P. If there is one, durable bytes are damaged: kCorruption, naming file, offset and
// that durable end. Otherwise the log ends at P, and what lies behind is a torn tail. A later segment that follows from
// P makes P the end of this one, whatever lies behind P in the file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/batch.h"
#include "base/batch_memory.h"
#include "base/ids.h"
#include "io/env.h"
#include "wal/format.h"

namespace hdb::wal {

// Which log to read, as the manifest says.
struct ReplayStart {
  StoreId store_id{};
  Epoch epoch_max;               // 0: no open has recorded a segment yet
  LogPoint floor;                // everything below is in tables; the end of a group, or at most kSegmentHeaderBytes
  SequenceNumber next_sequence;  // of the first item at or above the floor
  Position next_position = 0;    // of the first event at or above the floor
  bool will_be_synced = false;   // by sync_replayed() or cut_tail(): the device may begin while the log is read
};

// A valid group with batches. The batches were decoded (BatchView::decode) and point into `bytes`, which whoever has
// the group may keep; it holds one region of batch memory, or one group if that is larger.
struct Group {
  LogPoint begin;
  LogPoint end;
  Timestamp commit_time{};
  SequenceNumber first_sequence;
  Position first_position = 0;
  std::vector<BatchView> batches;
  std::shared_ptr<void> bytes;  // keeps alive what `batches` view

  // For messages: its file and offset.
  std::string place(const std::string& store) const;
};

struct ReplayEnd {
  LogPoint end;  // of the last valid group, or of its segment's header; the floor if there is none
  SequenceNumber next_sequence;
  Position next_position = 0;
  Timestamp last_commit_time{};  // of the groups and marks read; the Unix epoch if there were none
  std::uint64_t groups = 0;      // that were read, without marks
  std::uint64_t batches = 0;
  LogPoint durable_end;                      // the highest that manifest, headers and groups vouch for
  bool is_marked = false;                    // the log ends in a mark: nothing durable can be missing
  std::uint64_t torn_bytes = 0;              // behind the end, up to the last byte that is not zero
  std::string torn_reason;                   // what ended the log, with file and offset; empty if nothing was torn
  std::vector<SegmentNumber> segments;       // that belong to the log, ascending; the last one may end it
  std::vector<SegmentNumber> torn_segments;  // wholly behind the end
  std::vector<SegmentNumber> orphans;        // of an open that died before its manifest edit
  std::vector<SegmentNumber> below_floor;    // flushed, not yet deleted
};

// Reads the groups from the floor on, in order. Writes nothing. Single-owner.
class GroupReader {
 public:
  // Reads into memory of `memory`, which must outlive it, as `env` must.
  GroupReader(Env& env, const std::string& store, const ReplayStart& start, BatchMemory& memory);
  ~GroupReader();
  GroupReader(const GroupReader&) = delete;
  GroupReader& operator=(const GroupReader&) = delete;

  // Empty when the log has ended. Neither then nor after an error there is a next one.
  Result<std::optional<Group>> next();
  // What was found, once next() returned empty.
  const ReplayEnd& end() const noexcept;

 private:
  class Replay;
  friend Status check_closed(Env& env, const std::string& store, const ReplayStart& start);

  const std::unique_ptr<Replay> replay_;
};

// Visits what a GroupReader reads. An error of the visitor ends it and is returned.
Result<ReplayEnd> replay(Env& env, const std::string& store, const ReplayStart& start,
                         const std::function<Status(const Group&)>& visit);

// For a log that the manifest says is closed, with all of it below the floor: kCorruption if there is a group at or
// above it, so that what the manifest forgot is not deleted.
Status check_closed(Env& env, const std::string& store, const ReplayStart& start);

// Makes what the replay visited durable; changes nothing.
Status sync_replayed(Env& env, const std::string& store, const ReplayEnd& replayed);

// Makes the log end durably where the replay saw it end: removes segments behind the end, orphans and segments below
// the floor, cuts the last segment, and syncs what remains. May be done again, also after a crash on the way.
Status cut_tail(Env& env, const std::string& store, const ReplayEnd& replayed);

}  // namespace hdb::wal
