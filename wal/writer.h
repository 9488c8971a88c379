// wal/writer.h: appends commit groups to the log, and rolls its segments.
//
// Space comes first: prepare() makes room on the device, append() fills it. So the disk can only be full before
// anything was claimed. Any other error stops the log for good: whether the bytes behind it are on the device is
// unknown, and a sync tried again may report success for pages the kernel has dropped.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "io/env.h"
#include "wal/format.h"

namespace hdb::wal {

// What an open hands to its log.
struct WriterStart {
  StoreId store_id{};
  Epoch epoch;             // not yet used by any segment that the manifest vouches for
  SegmentNumber segment;   // the first one to make: the one behind the recovered log's last
  LogPoint recovered_end;  // where the log ended, durable since cut_tail(); {0, 0} if there was none
  SequenceNumber next_sequence;
  Position next_position = 0;
  std::uint64_t segment_bytes = 0;  // size at which the log goes on in a new file
  LogWrites writes = LogWrites::kAuto;
};

// One group. `batches` are encoded batches (base/batch.h), at least one.
struct GroupInput {
  SequenceNumber first_sequence;
  Position first_position = 0;
  Timestamp commit_time{};
  std::span<const ByteView> batches;
  // Of the only batch, if it has one: EncodedBatch::block(). Its room is written to.
  MutableBytes block{};
};

// Single-owner: whoever holds the log.
class Writer {
 public:
  // Makes the first segment of this open: its header and name are durable on return. The caller records epoch and
  // segment in the manifest before the first append; until then the segment is an orphan that the next open removes.
  static Result<std::unique_ptr<Writer>> create(Env& env, const std::string& store, const WriterStart& start);

  // Closes the files as they are; what was not synced is as a crash would leave it. close() is the proper end.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Makes space for groups with `batch_bytes` bytes of batches in all, going on in a new segment if they do not fit in
  // this one; groups larger than a segment get one prepared to their size. After kNoSpace nothing is claimed, and a
  // later call may succeed. kInvalidArgument if all together would exceed kGroupBytesMax. Throws std::bad_alloc: on the
  // way to a new segment that stops the log, else it may be called again.
  Status prepare(std::uint64_t batch_bytes, bool is_durable, std::uint64_t groups = 1);

  // Appends one of the groups that the last prepare() made space for, and returns where it ends. With `is_durable` it,
  // and everything before it, is on the device on return. Sequence and position continue those before.
  Result<LogPoint> append(const GroupInput& group, bool is_durable);

  // Goes on in a new segment, whose name and header are durable on return, so that its begin can be a floor; does no
  // more than that where nothing was appended to the current one. Errors are as of prepare().
  Status start_segment();

  // Makes everything appended durable.
  Status sync();

  // Makes everything appended durable and writes down that it is, so that later damage to it cannot pass for a torn
  // tail. Does nothing if that was the last thing written.
  Status mark();

  // Marks the end, gives back prepared space and closes the files. Nothing may be called after.
  Status close();

  // The segments that lie wholly below `floor`, oldest first, also those of earlier opens; never the one being written.
  // Nobody needs their files any more.
  Result<std::vector<SegmentNumber>> segments_below(LogPoint floor) const;
  // Of a segment whose file was deleted. What it returns frees the file's space when it is destroyed, which takes time.
  std::unique_ptr<LogFile> forget(SegmentNumber segment) noexcept;
  // Deletes the segments below `floor`.
  Status remove_below(LogPoint floor);

  LogPoint end() const noexcept { return {segment_, end_}; }  // of the last group
  LogPoint durable_end() const noexcept { return durable_end_; }
  std::uint64_t bytes_written() const noexcept { return bytes_written_; }  // headers, groups and marks of this open
  std::uint64_t syncs() const noexcept { return syncs_; }  // durable writes and syncs asked of the device
  // Why it is written another way than was asked for: LogFile::fallback() of the segment being written.
  std::string fallback() const { return file_->fallback(); }
  // The size of all segment files, without prepared space.
  std::uint64_t live_bytes() const noexcept { return closed_bytes_ + end_; }

 private:
  Writer(Env& env, std::string store, const WriterStart& start);

  Status stopped() const;
  Status poison(const Status& error);
  Status preparing_failed(const Status& error);
  Status list_older_segments();
  Result<std::uint64_t> grow(LogFile& file, std::uint64_t prepared, std::uint64_t bytes) const;
  Status roll(std::uint64_t group_bytes);
  Status go_on_in_spare(std::uint64_t prepared);
  Status zero_ahead(std::uint64_t end);
  Status begin_segment(std::unique_ptr<LogFile> file, std::uint64_t prepared, std::uint64_t predecessor_end);
  Status retire_segment();
  Status vouch_from(LogFile& predecessor, std::uint64_t predecessor_end);
  Status short_write(const LogFile& file, std::uint64_t offset, std::uint64_t written,
                     std::uint64_t bytes) const noexcept;
  Status write_at(LogFile& file, std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable);
  Status write_group(GroupHeader header, std::span<const ByteView> batches, MutableBytes block, bool is_durable);
  Status sync_files();
  std::uint64_t group_start(bool is_block) const noexcept;

  Env& env_;
  const std::string store_;
  const StoreId store_id_;
  const std::uint64_t log_key_;
  const Epoch epoch_;
  const std::uint64_t segment_bytes_;
  const LogWrites writes_;

  std::unique_ptr<LogFile> file_;  // of segment_
  SegmentNumber segment_;
  std::uint64_t end_ = 0;            // of the last group in segment_, or of its header
  std::uint64_t prepared_ = 0;       // bytes of file_ with space behind them
  std::uint64_t zeroed_ = 0;         // of file_: up to here zeros were written before groups are
  std::uint64_t durable_bytes_ = 0;  // of file_: what is durable, from its begin
  bool ends_with_block_ = false;     // the rest of the last group's block is written: the next begins behind it
  bool is_name_durable_ = false;     // the directory was synced since the newest segment was made
  bool is_marked_ = false;           // nothing was appended since the log last said that all of it is durable
  std::map<SegmentNumber, std::unique_ptr<LogFile>>
      unsynced_;  // older segments with bytes that are not durable, oldest first
  // The file of segment_ + 1 while the disk was too full to prepare it.
  std::unique_ptr<LogFile> spare_;

  SequenceNumber next_sequence_;
  Position next_position_;
  std::int64_t last_commit_time_ns_ = 0;
  LogPoint durable_end_;
  Status first_error_;  // not OK: poisoned
  // Of running out of memory between two segments; made while there is some.
  Status halfway_error_ = Status::io_error("no memory was left on the way to a new segment of the log");
  // Of an error whose own words found no memory.
  Status wordless_error_ = Status::io_error("a write or sync of the log failed; no memory was left to say how");

  std::map<SegmentNumber, std::uint64_t> closed_segments_;  // older segment files and their bytes
  std::uint64_t closed_bytes_ = 0;                          // sum of closed_segments_
  std::uint64_t bytes_written_ = 0;
  std::uint64_t syncs_ = 0;
  Buffer scratch_;
  std::vector<ByteView> pieces_;
};

}  // namespace hdb::wal
