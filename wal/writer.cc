#include "wal/writer.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/batch.h"
#include "base/seeded_defect.h"
#include "io/file_name.h"

namespace hdb::wal {
namespace {

static_assert(kGroupHeaderBytes == kBatchRoomBytes);
static_assert(kBlockBytes == BatchMemory::kAlignment);

// A segment's space is prepared in steps that double: small logs stay small, and large ones pay for few steps.
constexpr std::uint64_t kStepBytesMin = 256u << 10;
constexpr std::uint64_t kStepBytesMax = 16u << 20;
// Groups up to this size, if durable, go into space that was written before; larger ones take longer than what that
// saves.
constexpr std::uint64_t kZeroedGroupBytesMax = 256u << 10;
constexpr std::uint64_t kZeroStepBytesMax = 4u << 20;

// What a segment needs for a group of `bytes` behind `end`: wherever the group begins, and two marks behind it, each in
// a block of its own.
constexpr std::uint64_t space_for(std::uint64_t end, std::uint64_t bytes) noexcept {
  return round_up(round_up(end, kBlockBytes) + bytes, kBlockBytes) + 2 * kBlockBytes;
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::create(Env& env, const std::string& store, const WriterStart& start) {
  std::unique_ptr<Writer> writer(new Writer(env, store, start));
  HDB_TRY(writer->list_older_segments());
  const std::string path = segment_path(store, start.segment);
  std::unique_ptr<LogFile> file = HDB_TRY(env.create_log(path, start.writes));
  const auto begin = [&]() -> Status {
    const std::uint64_t prepared = HDB_TRY(writer->grow(*file, 0, space_for(0, kSegmentHeaderBytes)));
    HDB_TRY(writer->begin_segment(std::move(file), prepared, start.recovered_end.offset));
    return writer->sync();
  };
  const Status begun = begin();
  if (!begun.ok()) {
    writer.reset();
    file.reset();
    ignore(env.remove(path), "nothing vouches for the segment: the next open removes it too");
    return begun;
  }
  // Its header says that everything before it is durable.
  writer->is_marked_ = true;
  return writer;
}

Writer::Writer(Env& env, std::string store, const WriterStart& start)
    : env_(env),
      store_(std::move(store)),
      store_id_(start.store_id),
      log_key_(log_key_of(start.store_id)),
      epoch_(start.epoch),
      segment_bytes_(start.segment_bytes),
      writes_(start.writes),
      segment_(start.segment),
      next_sequence_(start.next_sequence),
      next_position_(start.next_position),
      durable_end_(start.recovered_end) {}

Writer::~Writer() = default;

Status Writer::stopped() const {
  return Status::io_error("the log stopped at an earlier error; close the store and open it again: " +
                          std::string(first_error_.message()));
}

// Whatever the code was: what the log holds now is unknown, so no caller may take it for something to try again.
Status Writer::poison(const Status& error) {
  if (HDB_SEEDED(retry_a_failed_sync)) return error;
  try {
    first_error_ = Status::io_error(std::string(error.message()));
  } catch (...) {
    first_error_ = wordless_error_;
  }
  return first_error_;
}

// A full disk is the one error that leaves the log as it was.
Status Writer::preparing_failed(const Status& error) {
  const bool may_go_on = error.code() == StatusCode::kNoSpace && !HDB_SEEDED(stop_the_log_on_a_full_disk);
  return may_go_on ? error : poison(error);
}

Status Writer::list_older_segments() {
  for (const std::string& name : HDB_TRY(env_.list(log_directory(store_)))) {
    const auto number = parse_segment_name(name);
    if (!number || *number >= segment_) continue;
    const std::uint64_t bytes = HDB_TRY(env_.file_bytes(segment_path(store_, *number)));
    closed_segments_[*number] = bytes;
    closed_bytes_ += bytes;
  }
  return {};
}

// Prepares `file` for at least `bytes`, rather for a whole step; returns what is prepared then.
Result<std::uint64_t> Writer::grow(LogFile& file, std::uint64_t prepared, std::uint64_t bytes) const {
  const std::uint64_t step = std::clamp(prepared, kStepBytesMin, kStepBytesMax);
  const std::uint64_t rather = std::max(bytes, std::min(segment_bytes_, prepared + step));
  const Status status = file.prepare(rather).status();
  if (status.ok()) return rather;
  if (status.code() != StatusCode::kNoSpace || rather == bytes) return status;
  HDB_TRY(file.prepare(bytes));
  return bytes;
}

Status Writer::prepare(std::uint64_t batch_bytes, bool is_durable, std::uint64_t groups) {
  if (!first_error_.ok()) return stopped();
  if (batch_bytes > kGroupBytesMax - kGroupHeaderBytes) {
    return Status::invalid_argument("a commit group of " + std::to_string(batch_bytes) +
                                    " bytes exceeds the log's limit of " + std::to_string(kGroupBytesMax) +
                                    ": commit in smaller batches");
  }
  // Each may begin with a block of its own.
  const std::uint64_t bytes = batch_bytes + kGroupHeaderBytes + (groups - 1) * (kGroupHeaderBytes + kBlockBytes);
  const bool is_empty = end_ == kSegmentHeaderBytes;
  if (!is_empty && round_up(end_, kBlockBytes) + bytes > segment_bytes_) HDB_TRY(roll(bytes));
  const std::uint64_t needed = space_for(end_, bytes);
  if (needed > prepared_) {
    const Result<std::uint64_t> grown = grow(*file_, prepared_, needed);
    if (!grown.ok()) return preparing_failed(grown.status());
    prepared_ = grown.value();
  }
  return is_durable && bytes <= kZeroedGroupBytesMax ? zero_ahead(needed) : Status();
}

// A small durable write into space that is only reserved costs as much again for the journal of the file system.
Status Writer::zero_ahead(std::uint64_t end) {
  if (end <= zeroed_) return {};
  const std::uint64_t begin = std::max(zeroed_, round_up(end_, kBlockBytes));
  const std::uint64_t step = std::clamp(zeroed_, kStepBytesMin, kZeroStepBytesMax);
  const std::uint64_t rather = std::max(end, std::min(begin + step, prepared_ / kBlockBytes * kBlockBytes));
  if (const Status status = file_->zero(begin, rather); !status.ok()) return preparing_failed(status);
  zeroed_ = rather;
  bytes_written_ += rather - begin;
  ++syncs_;
  return {};
}

Status Writer::start_segment() {
  if (!first_error_.ok()) return stopped();
  if (end_ > kSegmentHeaderBytes) HDB_TRY(roll(0));
  if (HDB_SEEDED(forget_the_sync_of_a_floor)) return {};
  return sync_files();
}

// Goes on in a new segment with space for a group of `group_bytes`.
Status Writer::roll(std::uint64_t group_bytes) {
  if (!spare_) {
    Result<std::unique_ptr<LogFile>> made = env_.create_log(segment_path(store_, segment_.next()), writes_);
    if (!made.ok()) return preparing_failed(made.status());
    spare_ = std::move(made).value();
  }
  const Result<std::uint64_t> prepared = grow(*spare_, 0, space_for(kSegmentHeaderBytes, group_bytes));
  if (!prepared.ok()) return preparing_failed(prepared.status());
  try {
    return go_on_in_spare(prepared.value());
  } catch (...) {  // neither segment is one that a group may be written to
    if (first_error_.ok()) first_error_ = std::move(halfway_error_);
    throw;
  }
}

Status Writer::go_on_in_spare(std::uint64_t prepared) {
  const std::uint64_t predecessor_end = end_;
  const bool is_all_durable = durable_bytes_ == end_ && unsynced_.empty();
  if (!is_all_durable || HDB_SEEDED(leave_the_next_segment_unvouched)) {
    HDB_TRY(retire_segment());
    segment_ = segment_.next();
    return begin_segment(std::move(spare_), prepared, predecessor_end);
  }
  const std::unique_ptr<LogFile> predecessor = std::move(file_);
  segment_ = segment_.next();
  HDB_TRY(begin_segment(std::move(spare_), prepared, predecessor_end));
  HDB_TRY(sync_files());
  return vouch_from(*predecessor, predecessor_end);
}

// Marks the end of the segment before, of which all is durable, with the begin of this one, which is so now: without
// that nobody would miss it.
Status Writer::vouch_from(LogFile& predecessor, std::uint64_t predecessor_end) {
  const LogPoint at{SegmentNumber(segment_.raw() - 1), round_up(predecessor_end, kBlockBytes)};
  GroupHeader header;
  header.kind = GroupKind::kMark;
  header.epoch = epoch_;
  header.predecessor_end = predecessor_end;
  header.first_sequence = next_sequence_;
  header.first_position = next_position_;
  header.commit_time_ns = last_commit_time_ns_;
  header.durable_end = end();
  const std::array<std::byte, kGroupHeaderBytes> mark = encode_group_header(header, {}, {log_key_, at}, scratch_);
  const ByteView piece = mark;
  const std::uint64_t bytes = at.offset + kGroupHeaderBytes;
  HDB_TRY(write_at(predecessor, at.offset, {&piece, 1}, false));
  if (const Status status = predecessor.truncate(bytes); !status.ok()) return poison(status);
  if (const Status status = predecessor.close(); !status.ok()) return poison(status);
  closed_segments_[at.segment] = bytes;
  closed_bytes_ += bytes;
  bytes_written_ += kGroupHeaderBytes;
  return {};
}

// Gives back the unused space of the current segment, and keeps its file open only if it has to be synced.
Status Writer::retire_segment() {
  if (const Status status = file_->truncate(end_); !status.ok()) return poison(status);
  closed_segments_[segment_] = end_;
  closed_bytes_ += end_;
  if (durable_bytes_ < end_) {
    unsynced_.emplace(segment_, std::move(file_));
    return {};
  }
  const Status status = file_->close();
  return status.ok() ? status : poison(status);
}

// Writes the header of segment_, not yet durably.
Status Writer::begin_segment(std::unique_ptr<LogFile> file, std::uint64_t prepared, std::uint64_t predecessor_end) {
  file_ = std::move(file);
  prepared_ = prepared;
  zeroed_ = 0;
  durable_bytes_ = 0;
  end_ = 0;
  ends_with_block_ = false;
  is_name_durable_ = false;
  SegmentHeader header;
  header.store_id = store_id_;
  header.epoch = epoch_;
  header.segment = segment_;
  header.first_sequence = next_sequence_;
  header.first_position = next_position_;
  header.predecessor_end = predecessor_end;
  header.durable_end = durable_end_;
  const std::array<std::byte, kSegmentHeaderBytes> bytes = encode_segment_header(header);
  const ByteView piece = bytes;
  HDB_TRY(write_at(*file_, 0, {&piece, 1}, false));
  end_ = kSegmentHeaderBytes;
  bytes_written_ += kSegmentHeaderBytes;
  is_marked_ = false;
  return {};
}

Status Writer::short_write(const LogFile& file, std::uint64_t offset, std::uint64_t written,
                           std::uint64_t bytes) const noexcept {
  try {
    return Status::io_error(file.path() + ": write at byte " + std::to_string(offset) + ": only " +
                            std::to_string(written) + " of " + std::to_string(bytes) + " bytes were written");
  } catch (...) {
    return wordless_error_;
  }
}

// Submits and waits in one call, so in one thread, as LogFile asks: between two groups the leader, and so the thread
// that writes, may be another.
Status Writer::write_at(LogFile& file, std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) {
  const Result<LogFile::Ticket> ticket = file.submit(offset, pieces, is_durable);
  if (!ticket.ok()) return poison(ticket.status());
  const Result<std::uint64_t> written = file.wait(ticket.value());
  if (!written.ok()) return poison(written.status());
  std::uint64_t bytes = 0;
  for (const ByteView piece : pieces) bytes += piece.size();
  if (written.value() != bytes && !HDB_SEEDED(take_a_short_completion_for_a_whole_one)) {
    return poison(short_write(file, offset, written.value(), bytes));
  }
  if (is_durable) ++syncs_;
  return {};
}

// Where the next group begins: see "Place" in wal/format.h.
std::uint64_t Writer::group_start(bool is_block) const noexcept {
  return is_block || ends_with_block_ || end_ == durable_bytes_ ? round_up(end_, kBlockBytes) : end_;
}

Result<LogPoint> Writer::append(const GroupInput& group, bool is_durable) {
  if (!first_error_.ok()) return stopped();
  HDB_CHECK(!group.batches.empty());
  HDB_CHECK(group.first_sequence == next_sequence_ && group.first_position == next_position_);
  GroupHeader header;
  header.kind = GroupKind::kBatches;
  header.commit_time_ns = group.commit_time.time_since_epoch().count();
  header.durable_end = durable_end_;
  HDB_TRY(write_group(header, group.batches, group.block, is_durable));
  for (const ByteView bytes : group.batches) {
    const BatchView batch = BatchView::trusted(bytes);
    next_sequence_ = SequenceNumber(next_sequence_.raw() + batch.sequence_count());
    next_position_ += batch.event_count();
  }
  last_commit_time_ns_ = header.commit_time_ns;
  is_marked_ = false;
  return end();
}

Status Writer::write_group(GroupHeader header, std::span<const ByteView> batches, MutableBytes block, bool is_durable) {
  const LogPoint at{segment_, group_start(!block.empty())};
  header.epoch = epoch_;
  header.predecessor_end = end_;
  header.first_sequence = next_sequence_;
  header.first_position = next_position_;
  const std::array<std::byte, kGroupHeaderBytes> head = encode_group_header(header, batches, {log_key_, at}, scratch_);
  std::uint64_t bytes = kGroupHeaderBytes;
  for (const ByteView batch : batches) bytes += batch.size();
  if (block.empty()) {
    pieces_.assign(1, ByteView(head));
    pieces_.insert(pieces_.end(), batches.begin(), batches.end());
  } else {
    std::copy(head.begin(), head.end(), block.begin());
    pieces_.assign(1, ByteView(block));
  }
  HDB_CHECK(at.offset + std::max<std::uint64_t>(bytes, block.size()) <= prepared_);

  // A durable write covers its own bytes only: where older ones are not durable, everything is synced after it.
  const bool is_rest_durable = durable_bytes_ == end_ && unsynced_.empty() && is_name_durable_;
  if (HDB_SEEDED(acknowledge_before_sync)) is_durable = false;
  HDB_TRY(write_at(*file_, at.offset, pieces_, is_durable && is_rest_durable));
  end_ = at.offset + bytes;
  ends_with_block_ = !block.empty();
  bytes_written_ += bytes;
  if (!is_durable) return {};
  if (!is_rest_durable) return sync();
  durable_bytes_ = end_;
  durable_end_ = end();
  return {};
}

// Makes the current segment durable, with its name, whatever the older ones are.
Status Writer::sync_files() {
  if (durable_bytes_ < end_) {
    if (const Status status = file_->sync(); !status.ok()) return poison(status);
    ++syncs_;
    durable_bytes_ = end_;
  }
  if (!is_name_durable_ && !HDB_SEEDED(forget_the_sync_of_the_log_directory)) {
    if (const Status status = env_.sync_directory(log_directory(store_)); !status.ok()) return poison(status);
    ++syncs_;
    is_name_durable_ = true;
  }
  if (unsynced_.empty()) durable_end_ = end();
  return {};
}

Status Writer::sync() {
  if (!first_error_.ok()) return stopped();
  for (const auto& [segment, file] : unsynced_) {
    if (HDB_SEEDED(forget_the_sync_of_older_segments)) break;
    if (const Status status = file->sync(); !status.ok()) return poison(status);
    ++syncs_;
    if (const Status status = file->close(); !status.ok()) return poison(status);
  }
  unsynced_.clear();
  return sync_files();
}

Status Writer::mark() {
  HDB_TRY(sync());
  if (is_marked_) return {};
  GroupHeader header;
  header.kind = GroupKind::kMark;
  header.commit_time_ns = last_commit_time_ns_;
  header.durable_end = {segment_, group_start(false) + kGroupHeaderBytes};
  HDB_TRY(write_group(header, {}, {}, true));
  is_marked_ = true;
  return {};
}

Status Writer::close() {
  HDB_TRY(mark());
  if (const Status status = file_->truncate(end_); !status.ok()) return poison(status);
  if (const Status status = file_->close(); !status.ok()) return poison(status);
  if (!spare_) return {};
  if (const Status status = spare_->close(); !status.ok()) return poison(status);
  return env_.remove(segment_path(store_, segment_.next()));
}

Result<std::vector<SegmentNumber>> Writer::segments_below(LogPoint floor) const {
  if (!first_error_.ok()) return stopped();
  if (HDB_SEEDED(delete_the_log_above_the_floor)) floor.segment = floor.segment.next();
  std::vector<SegmentNumber> below;
  for (const auto& [segment, bytes] : closed_segments_) {
    if (segment < floor.segment) below.push_back(segment);
  }
  return below;
}

std::unique_ptr<LogFile> Writer::forget(SegmentNumber segment) noexcept {
  const auto closed = closed_segments_.find(segment);
  if (closed == closed_segments_.end()) return nullptr;
  closed_bytes_ -= closed->second;
  closed_segments_.erase(closed);
  const auto unsynced = unsynced_.find(segment);
  if (unsynced == unsynced_.end()) return nullptr;
  std::unique_ptr<LogFile> file = std::move(unsynced->second);
  unsynced_.erase(unsynced);  // nobody will ask for it: what it held is in tables
  return file;
}

Status Writer::remove_below(LogPoint floor) {
  for (const SegmentNumber segment : HDB_TRY(segments_below(floor))) {
    const Status status = env_.remove(segment_path(store_, segment));
    if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
    forget(segment);
  }
  return {};
}

}  // namespace hdb::wal
