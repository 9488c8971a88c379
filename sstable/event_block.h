// sstable/event_block.h: a block of consecutive records, and the index of such blocks.
//
// Block bytes: records (base/record.h) one after the other, then runs of equal commit time {u32 records, i64 commit
// time}, then u32 number of records, u32 number of runs.
//
// Index bytes: per block varints: records; stored bytes without trailer; zigzag differences of the least event time and
// of the least commit time to the block before's; greatest minus least event time; greatest minus least commit time.
// Blocks lie one after the other from offset 0, so that their offsets and first positions follow. Times are counts of
// ns, differences modulo 2^64.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/record.h"
#include "sstable/format.h"

namespace hdb::sstable {

// One data block in the index: where it is, what is in it. Times are inclusive.
struct EventBlockEntry {
  BlockHandle handle;
  std::uint32_t first = 0;  // position of its first record, relative to the table's
  std::uint32_t count = 0;
  Timestamp time_min{};
  Timestamp time_max{};
  Timestamp commit_time_min{};
  Timestamp commit_time_max{};
};

Buffer encode_event_index(const std::vector<EventBlockEntry>& blocks);
// Blocks without gaps from offset 0 and position 0, with entry_count records in all, that end at or before `data_end`:
// how many there are is bounded by the file, not by what an index decompresses to.
Result<std::vector<EventBlockEntry>> decode_event_index(ByteView bytes, std::uint64_t entry_count,
                                                        std::uint64_t data_end);

// Single-owner.
class EventBlockBuilder {
 public:
  void add(Timestamp commit_time, const RecordView& record);
  std::size_t bytes() const noexcept { return records_.size() + runs_.size() * 12 + 8; }
  std::uint32_t count() const noexcept { return entry_.count; }
  // The zone map and count of what was added; the handle is left to the caller.
  const EventBlockEntry& entry() const noexcept { return entry_; }
  // The whole block. Valid until the next call; reset() before the next add().
  ByteView finish();
  // Empties the block; its first record will be at relative position `first`.
  void reset(std::uint32_t first);

 private:
  struct Run {
    std::uint32_t records;
    Timestamp commit_time;
  };
  Buffer records_;
  std::vector<Run> runs_;
  EventBlockEntry entry_;
};

// Owns its bytes; every record was checked when it was made. Immutable.
class EventBlock {
 public:
  static Result<EventBlock> decode(Buffer bytes);

  std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(offsets_.size()); }
  RecordView record(std::uint32_t index) const noexcept;
  Timestamp commit_time(std::uint32_t index) const noexcept;

  ByteView bytes() const noexcept { return bytes_of(bytes_); }
  std::uint32_t record_offset(std::uint32_t index) const noexcept { return offsets_[index]; }
  std::uint32_t records_end() const noexcept { return records_end_; }
  // What it takes in memory.
  std::uint64_t memory_bytes() const noexcept {
    return sizeof *this + bytes_.capacity() + offsets_.capacity() * 4 + runs_.capacity() * sizeof(Run);
  }

 private:
  struct Run {
    std::uint32_t end;  // index behind its last record
    Timestamp commit_time;
  };
  Buffer bytes_;
  std::vector<std::uint32_t> offsets_;
  std::vector<Run> runs_;
  std::uint32_t records_end_ = 0;
};

}  // namespace hdb::sstable
