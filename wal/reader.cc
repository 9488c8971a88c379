#include "wal/reader.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/seeded_defect.h"
#include "io/file_name.h"

namespace hdb::wal {
namespace {

constexpr std::uint64_t kReadBytes = 1u << 20;

std::string offset_text(std::uint64_t offset) {
  return "offset " + std::to_string(offset);
}

std::string point_text(LogPoint point) {
  return "segment " + std::to_string(point.segment.raw()) + " " + offset_text(point.offset);
}

// Reads a file piece by piece, mostly forward, into memory that is never written again while somebody keeps it: views
// live as long as buffer(). Single-owner.
class Window {
 public:
  Window(std::unique_ptr<RandomAccessFile> file, BatchMemory& memory, bool will_be_synced = false)
      : file_(std::move(file)), memory_(memory), will_be_synced_(will_be_synced) {}

  // `bytes` bytes at `offset`, within the file.
  Result<ByteView> view(std::uint64_t offset, std::uint64_t bytes) {
    const bool continues = offset >= begin_ && offset <= begin_ + bytes_;
    if (!continues || offset + bytes > begin_ + capacity_) start_at(offset, bytes);
    if (offset + bytes > begin_ + bytes_) HDB_TRY(extend_to(offset + bytes));
    return ByteView(buffer_.get() + (offset - begin_), bytes);
  }

  // Forgets what was read, so that it is read again, from the device.
  void forget() noexcept {
    capacity_ = 0;
    bytes_ = 0;
    file_->forget_cached();
  }

  const std::shared_ptr<std::byte>& buffer() const noexcept { return buffer_; }
  std::uint64_t size_bytes() const noexcept { return file_->size_bytes(); }

 private:
  // Takes a buffer for the file from `offset` on: a region, unless more is asked for, or the file has less.
  void start_at(std::uint64_t offset, std::uint64_t bytes) {
    forget_buffer();
    const std::uint64_t left = size_bytes() - offset;
    if (left < BatchMemory::kRegionBytes || bytes > BatchMemory::kRegionBytes) {
      capacity_ = left < BatchMemory::kRegionBytes ? left : bytes;
      buffer_ = memory_.allocate(round_up(capacity_, BatchMemory::kAlignment));
      touched_ = capacity_;
    } else {
      BatchMemory::Region region = memory_.allocate_region();
      buffer_ = std::move(region.bytes);
      capacity_ = BatchMemory::kRegionBytes;
      touched_ = region.is_fresh ? 0 : capacity_;
    }
    begin_ = offset;
  }

  // Reads on until `end` is in the buffer, kReadBytes at least: the checksums that follow find it in the processor's
  // cache.
  Status extend_to(std::uint64_t end) {
    const std::uint64_t room = std::min(capacity_, size_bytes() - begin_) - bytes_;
    const std::uint64_t wanted = std::max(end - begin_ - bytes_, std::min(kReadBytes, room));
    if (touched_ < bytes_ + wanted) {
      const std::uint64_t until = round_up(bytes_ + wanted, BatchMemory::kAlignment);
      BatchMemory::touch(buffer_.get() + touched_, until - touched_);
      touched_ = until;
    }
    HDB_TRY(file_->read(begin_ + bytes_, {buffer_.get() + bytes_, wanted}));
    if (will_be_synced_) file_->start_sync(begin_ + bytes_, wanted);
    bytes_ += wanted;
    return {};
  }

  void forget_buffer() noexcept {
    buffer_.reset();
    capacity_ = 0;
    bytes_ = 0;
  }

  std::unique_ptr<RandomAccessFile> file_;
  BatchMemory& memory_;
  const bool will_be_synced_;
  std::shared_ptr<std::byte> buffer_;
  std::uint64_t capacity_ = 0;  // of buffer_
  std::uint64_t touched_ = 0;   // of buffer_, from its begin, has its pages
  std::uint64_t begin_ = 0;     // in the file, of buffer_
  std::uint64_t bytes_ = 0;     // that were read into buffer_
};

struct Segment {
  SegmentNumber number;
  std::string path;
  std::optional<SegmentHeader> header;  // empty: not valid
  std::string problem;                  // why not
};

// A valid group, or why there is none.
struct Probe {
  std::uint64_t begin = 0;
  std::optional<GroupParts> group;
  std::string problem;
};

Status remove_segments(Env& env, const std::string& store, const std::vector<SegmentNumber>& numbers) {
  for (auto number = numbers.rbegin(); number != numbers.rend(); ++number) {
    const Status status = env.remove(segment_path(store, *number));
    if (!status.ok() && status.code() != StatusCode::kNotFound) return status;
  }
  return {};
}

}  // namespace

// One replay. Single-owner.
class GroupReader::Replay {
 public:
  Replay(Env& env, const std::string& store, const ReplayStart& start, BatchMemory& memory)
      : env_(env), store_(store), start_(start), log_key_(log_key_of(start.store_id)), memory_(memory) {
    end_.end = start.floor;
    end_.durable_end = start.floor;
    end_.next_sequence = start.next_sequence;
    end_.next_position = start.next_position;
  }

  // As GroupReader::next().
  Result<std::optional<Group>> next();
  // For a log that the manifest says is closed.
  Status check_closed();
  const ReplayEnd& end() const noexcept { return end_; }

 private:
  Status list_segments();
  Result<Segment> read_header(SegmentNumber number, const std::string& path);
  Status check_is_orphan(const Segment& segment);
  Status begin_at_floor();
  Result<std::optional<Group>> next_of_segment();
  bool leads_on() const;
  Status end_segment();
  Result<Probe> probe(Window& window, const Segment& segment, std::uint64_t predecessor_end);
  Result<Probe> probe_at(Window& window, const Segment& segment, std::uint64_t begin, std::uint64_t predecessor_end);
  Result<Group> take(const Segment& segment, const Window& window, const Probe& probe);
  Status end_here(std::size_t index, const std::string& problem);
  Status search(const Segment& segment, std::uint64_t from, const std::string& damage);
  Result<std::optional<LogPoint>> durable_end_at(Window& window, const Segment& segment, std::uint64_t offset);
  Status damaged(const std::string& damage, const std::string& path, std::uint64_t offset, LogPoint durable_end) const;
  Status check_continues(const std::string& place, SequenceNumber sequence, Position position) const;
  Result<Window> open(const Segment& segment) { return Window(HDB_TRY(env_.open(segment.path)), memory_); }

  Env& env_;
  const std::string store_;
  const ReplayStart start_;
  const std::uint64_t log_key_;
  BatchMemory& memory_;
  std::vector<Segment> segments_;  // from the floor's on, without orphans
  bool is_listed_ = false;         // segments_ is there
  bool is_ended_ = false;          // the log, or reading it
  std::size_t index_ = 0;          // in segments_, of the one being read
  std::optional<Window> window_;   // on it, once it was begun
  std::string problem_;            // what ended the reading of it; empty: it leads on to the next
  ReplayEnd end_;
};

Result<std::optional<Group>> GroupReader::Replay::next() {
  const std::optional<Group> none;
  if (!is_listed_) {
    is_listed_ = true;
    HDB_TRY(list_segments());
    is_ended_ = start_.epoch_max == Epoch(0);
    if (!is_ended_) HDB_TRY(begin_at_floor());
  }
  while (!is_ended_) {
    std::optional<Group> group = HDB_TRY(next_of_segment());
    if (!group) {
      HDB_TRY(end_segment());
    } else if (!group->batches.empty()) {
      return group;
    }
  }
  return none;
}

Status GroupReader::Replay::check_closed() {
  for (const std::string& name : HDB_TRY(env_.list(log_directory(store_)))) {
    const auto number = parse_segment_name(name);
    if (!number || *number < start_.floor.segment) continue;
    const Segment segment = HDB_TRY(read_header(*number, segment_path(store_, *number)));
    HDB_TRY(check_is_orphan(segment));
  }
  return {};
}

Status GroupReader::Replay::list_segments() {
  Result<std::vector<std::string>> names = env_.list(log_directory(store_));
  if (!names.ok() && names.status().code() != StatusCode::kNotFound) return names.status();
  std::vector<SegmentNumber> numbers;
  if (names.ok()) {
    for (const std::string& name : names.value()) {
      if (const auto number = parse_segment_name(name)) numbers.push_back(*number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  for (const SegmentNumber number : numbers) {
    if (number < start_.floor.segment) {
      end_.below_floor.push_back(number);
      continue;
    }
    Segment segment = HDB_TRY(read_header(number, segment_path(store_, number)));
    if (start_.epoch_max == Epoch(0) || (segment.header && segment.header->epoch > start_.epoch_max)) {
      HDB_TRY(check_is_orphan(segment));
      end_.orphans.push_back(number);
    } else {
      segments_.push_back(std::move(segment));
    }
  }
  return {};
}

// An open records its epoch in the manifest before it appends, so a group of an epoch the manifest does not know, or in
// a log it takes for closed, says that the manifest lost an edit that was durable.
Status GroupReader::Replay::check_is_orphan(const Segment& segment) {
  if (!segment.header || HDB_SEEDED(believe_a_shortened_manifest)) return {};
  Window window = HDB_TRY(open(segment));
  const Probe first = HDB_TRY(probe(window, segment, kSegmentHeaderBytes));
  if (!first.group) return {};
  return Status::corruption(segment.path + ": " + offset_text(first.begin) + ": holds a group of epoch " +
                            std::to_string(segment.header->epoch.raw()) +
                            ", of which the manifest knows nothing: the manifest has lost its last edits; restore the "
                            "store from a backup");
}

Result<Segment> GroupReader::Replay::read_header(SegmentNumber number, const std::string& path) {
  Segment segment{.number = number, .path = path, .header = {}, .problem = {}};
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env_.open(path));
  Buffer bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file->size_bytes(), kSegmentHeaderBytes)));
  HDB_TRY(file->read(0, bytes));
  Result<SegmentHeader> header = decode_segment_header(bytes_of(bytes), path);
  if (!header.ok() && !HDB_SEEDED(take_a_misread_for_a_torn_tail)) {
    file->forget_cached();
    HDB_TRY(file->read(0, bytes));
    header = decode_segment_header(bytes_of(bytes), path);
  }
  if (header.ok() && header->store_id != start_.store_id) {
    return Status::corruption(path + ": the log segment is of another store: put back the store's own files");
  }
  if (header.ok() && header->segment == number && header->epoch != Epoch(0)) {
    segment.header = header.value();
  } else if (header.ok()) {
    segment.problem = path + ": the file holds segment " + std::to_string(header->segment.raw());
  } else if (header.status().code() == StatusCode::kUnsupported) {
    return header.status();
  } else {
    segment.problem = header.status().message();
  }
  return segment;
}

Status GroupReader::Replay::begin_at_floor() {
  const LogPoint floor = start_.floor;
  if (segments_.empty() || segments_.front().number != floor.segment) {
    return Status::corruption(segment_path(store_, floor.segment) +
                              ": missing, though the log is needed from there on: put the file back, or restore the "
                              "store from a backup");
  }
  const Segment& first = segments_.front();
  const std::string place = first.path + ": " + offset_text(floor.offset);
  if (!first.header) {
    return Status::corruption(first.problem +
                              "; the log is needed from this segment on: restore the store from a backup");
  }
  const bool has_newest = std::any_of(segments_.begin(), segments_.end(), [this](const Segment& segment) {
    return segment.header && segment.header->epoch == start_.epoch_max;
  });
  if (!has_newest) {
    return Status::corruption(log_directory(store_) + ": no segment of epoch " +
                              std::to_string(start_.epoch_max.raw()) +
                              ", which the manifest says was opened: put the missing file back, or restore the store "
                              "from a backup");
  }
  end_.end.offset = std::max<std::uint64_t>(floor.offset, kSegmentHeaderBytes);
  const std::uint64_t bytes = HDB_TRY(env_.file_bytes(first.path));
  if (bytes < end_.end.offset) {
    return Status::corruption(place + ": the log is needed from there on, but the file has only " +
                              std::to_string(bytes) + " bytes: restore the store from a backup");
  }
  if (end_.end.offset > kSegmentHeaderBytes) return {};
  return check_continues(place, first.header->first_sequence, first.header->first_position);
}

Status GroupReader::Replay::check_continues(const std::string& place, SequenceNumber sequence,
                                            Position position) const {
  if (sequence == end_.next_sequence && position == end_.next_position) return {};
  return Status::corruption(place + " begins with sequence " + std::to_string(sequence.raw()) + ", position " +
                            std::to_string(position) + "; expected " + std::to_string(end_.next_sequence.raw()) + ", " +
                            std::to_string(end_.next_position) + ": restore the store from a backup");
}

// Empty where the segment leads on to its successor, or problem_ says why it does not. What seems to be no group is
// read twice: it may have been misread, and what lies behind the log's end is cut.
Result<std::optional<Group>> GroupReader::Replay::next_of_segment() {
  const std::optional<Group> none;
  const Segment& segment = segments_[index_];
  if (!window_) {
    end_.segments.push_back(segment.number);
    end_.durable_end = std::max(end_.durable_end, segment.header->durable_end);
    window_.emplace(HDB_TRY(env_.open(segment.path)), memory_, start_.will_be_synced);
    problem_.clear();
  }
  if (leads_on()) return none;
  Probe probed = HDB_TRY(probe(*window_, segment, end_.end.offset));
  if (!probed.group && !HDB_SEEDED(take_a_misread_for_a_torn_tail)) {
    window_->forget();
    probed = HDB_TRY(probe(*window_, segment, end_.end.offset));
  }
  if (!probed.group) {
    problem_ = segment.path + ": " + offset_text(probed.begin) + ": " + probed.problem;
    return none;
  }
  return std::optional<Group>(HDB_TRY(take(segment, *window_, probed)));
}

// Whether the log continues in the next segment.
bool GroupReader::Replay::leads_on() const {
  if (index_ + 1 == segments_.size()) return false;
  const Segment& segment = segments_[index_];
  const Segment& successor = segments_[index_ + 1];
  return successor.header && successor.number == segment.number.next() &&
         successor.header->epoch >= segment.header->epoch && successor.header->predecessor_end == end_.end.offset;
}

Status GroupReader::Replay::end_segment() {
  window_.reset();
  if (!problem_.empty()) {
    is_ended_ = true;
    return end_here(index_, problem_);
  }
  const Segment& next = segments_[++index_];
  HDB_TRY(check_continues(next.path + ": the segment", next.header->first_sequence, next.header->first_position));
  end_.end = {next.number, kSegmentHeaderBytes};
  return {};
}

// The group that follows one that ends at `predecessor_end`.
Result<Probe> GroupReader::Replay::probe(Window& window, const Segment& segment, std::uint64_t predecessor_end) {
  const std::uint64_t next_block = round_up(predecessor_end, kBlockBytes);
  if (next_block == predecessor_end) return probe_at(window, segment, predecessor_end, predecessor_end);
  Probe here = HDB_TRY(probe_at(window, segment, predecessor_end, predecessor_end));
  if (here.group) return here;
  Probe there = HDB_TRY(probe_at(window, segment, next_block, predecessor_end));
  return there.group ? there : here;
}

Result<Probe> GroupReader::Replay::probe_at(Window& window, const Segment& segment, std::uint64_t begin,
                                            std::uint64_t predecessor_end) {
  Probe result;
  result.begin = begin;
  const std::uint64_t room = window.size_bytes() > begin ? window.size_bytes() - begin : 0;
  if (room < kGroupHeaderBytes) {
    result.problem = "the file ends";
    return result;
  }
  const GroupPlace place{log_key_, {segment.number, begin}};
  const auto claimed = stated_group_bytes(HDB_TRY(window.view(begin, kGroupHeaderBytes)), room, place);
  if (!claimed.ok()) {
    result.problem = claimed.status().message();
    return result;
  }
  const ByteView bytes = HDB_TRY(window.view(begin, claimed.value()));
  Result<GroupParts> parts = split_group(bytes, segment.header->epoch, place);
  if (!parts.ok()) {
    result.problem = parts.status().message();
  } else if (parts->header.predecessor_end != predecessor_end) {
    result.problem = "the group follows one that ended at " + offset_text(parts->header.predecessor_end);
  } else if (const Status intact = check_batches(parts.value()); !intact.ok()) {
    result.problem = intact.message();
  } else {
    result.group = std::move(parts).value();
  }
  return result;
}

Result<Group> GroupReader::Replay::take(const Segment& segment, const Window& window, const Probe& probe) {
  const GroupHeader& header = probe.group->header;
  const std::string place = segment.path + ": the group at " + offset_text(probe.begin);
  if (const Status status = check_supported(*probe.group); !status.ok()) return status.in_context(place);
  HDB_TRY(check_continues(place, header.first_sequence, header.first_position));

  Group group;
  group.begin = {segment.number, probe.begin};
  group.end = {segment.number, probe.begin + header.group_bytes};
  group.commit_time = commit_time_of(header);
  group.first_sequence = header.first_sequence;
  group.first_position = header.first_position;
  group.bytes = window.buffer();
  group.batches.reserve(probe.group->batches.size());
  std::uint64_t sequences = 0;
  std::uint64_t events = 0;
  for (const ByteView bytes : probe.group->batches) {
    Result<BatchView> batch = BatchView::decode_checked(bytes);  // check_batches() was there
    if (!batch.ok()) {
      return batch.status().in_context(place + ", batch " + std::to_string(group.batches.size()));
    }
    sequences += batch->sequence_count();
    events += batch->event_count();
    group.batches.push_back(batch.value());
  }
  if (!group.batches.empty()) {
    ++end_.groups;
    end_.batches += group.batches.size();
  }
  end_.end = group.end;
  end_.is_marked = header.kind == GroupKind::kMark;
  end_.last_commit_time = std::max(end_.last_commit_time, group.commit_time);
  end_.durable_end = std::max(end_.durable_end, header.durable_end);
  end_.next_sequence = SequenceNumber(end_.next_sequence.raw() + sequences);
  end_.next_position += events;
  return group;
}

// The log ends at end_.end in segments_[index], unless something behind it says that it was durable further.
Status GroupReader::Replay::end_here(std::size_t index, const std::string& problem) {
  for (std::size_t later = index; later < segments_.size(); ++later) {
    const Segment& segment = segments_[later];
    std::uint64_t from = end_.end.offset;
    if (later > index) {
      end_.torn_segments.push_back(segment.number);
      from = 0;
      if (segment.header && segment.header->durable_end > end_.end) {
        return damaged(problem, segment.path, 0, segment.header->durable_end);
      }
    }
    HDB_TRY(search(segment, from, problem));
  }
  // What was read may itself have vouched for more than there is.
  if (HDB_SEEDED(take_damage_for_a_torn_tail)) return {};
  if (end_.durable_end > end_.end) return damaged(problem, segments_[index].path, end_.end.offset, end_.durable_end);
  if (end_.torn_bytes == 0) return {};
  end_.torn_reason = problem;
  if (index + 1 == segments_.size()) return {};
  const Segment& next = segments_[index + 1];
  end_.torn_reason += next.header ? "; " + next.path + " does not follow from there" : "; " + next.problem;
  return {};
}

// Looks for what vouches for more than end_.end at each multiple of 8 from `from` on, and counts torn bytes.
Status GroupReader::Replay::search(const Segment& segment, std::uint64_t from, const std::string& damage) {
  Window window = HDB_TRY(open(segment));
  Window groups = HDB_TRY(open(segment));
  const std::uint64_t size = window.size_bytes();
  std::uint64_t used_end = from;  // behind the last byte that is not zero
  for (std::uint64_t at = from; at < size;) {
    const ByteView chunk = HDB_TRY(window.view(at, std::min(kReadBytes, size - at)));
    for (std::size_t index = 0; index < chunk.size(); index += 8) {
      const ByteView word = chunk.subspan(index, std::min<std::size_t>(8, chunk.size() - index));
      std::size_t used = word.size();
      while (used > 0 && word[used - 1] == std::byte{0}) --used;
      if (used == 0) continue;
      used_end = at + index + used;
      if (word.size() < 8 || load<std::uint32_t>(word.data()) != kGroupMagic) continue;
      const std::optional<LogPoint> durable_end = HDB_TRY(durable_end_at(groups, segment, at + index));
      if (durable_end) return damaged(damage, segment.path, at + index, *durable_end);
    }
    at += chunk.size();
  }
  end_.torn_bytes += used_end - from;
  return {};
}

// The durable_end of a valid group at `offset`, if it is above end_.end. The batches need not be intact for that.
Result<std::optional<LogPoint>> GroupReader::Replay::durable_end_at(Window& window, const Segment& segment,
                                                                    std::uint64_t offset) {
  const std::optional<LogPoint> none;
  const std::uint64_t room = window.size_bytes() - offset;
  if (room < kGroupHeaderBytes) return none;
  const auto header = load<GroupHeader>(HDB_TRY(window.view(offset, kGroupHeaderBytes)).data());
  if (header.durable_end <= end_.end || header.epoch > start_.epoch_max) return none;
  if (segment.header && segment.header->epoch != header.epoch) return none;
  const GroupPlace place{log_key_, {segment.number, offset}};
  const auto claimed = stated_group_bytes(std::as_bytes(std::span(&header, 1)), room, place);
  if (!claimed.ok()) return none;
  const ByteView bytes = HDB_TRY(window.view(offset, claimed.value()));
  const bool is_valid = split_group(bytes, header.epoch, place).ok();
  return is_valid ? std::optional(header.durable_end) : none;
}

Status GroupReader::Replay::damaged(const std::string& damage, const std::string& path, std::uint64_t offset,
                                    LogPoint durable_end) const {
  return Status::corruption(damage + "; but " + path + " " + offset_text(offset) +
                            " says that the log was durable up to " + point_text(durable_end) +
                            ", so this is no torn tail: restore the store from a backup");
}

std::string Group::place(const std::string& store) const {
  return segment_path(store, begin.segment) + ": the group at " + offset_text(begin.offset);
}

GroupReader::GroupReader(Env& env, const std::string& store, const ReplayStart& start, BatchMemory& memory)
    : replay_(std::make_unique<Replay>(env, store, start, memory)) {}

GroupReader::~GroupReader() = default;

Result<std::optional<Group>> GroupReader::next() {
  return replay_->next();
}

const ReplayEnd& GroupReader::end() const noexcept {
  return replay_->end();
}

Result<ReplayEnd> replay(Env& env, const std::string& store, const ReplayStart& start,
                         const std::function<Status(const Group&)>& visit) {
  BatchMemory memory(BatchMemory::kRegionBytes);
  GroupReader reader(env, store, start, memory);
  while (const std::optional<Group> group = HDB_TRY(reader.next())) HDB_TRY(visit(*group));
  return reader.end();
}

Status check_closed(Env& env, const std::string& store, const ReplayStart& start) {
  BatchMemory memory(BatchMemory::kRegionBytes);
  return GroupReader::Replay(env, store, start, memory).check_closed();
}

Status sync_replayed(Env& env, const std::string& store, const ReplayEnd& replayed) {
  for (const SegmentNumber number : replayed.segments) {
    if (number != replayed.end.segment && number < replayed.durable_end.segment) continue;
    HDB_TRY(env.sync_file(segment_path(store, number)));
  }
  return env.sync_directory(log_directory(store));
}

Status cut_tail(Env& env, const std::string& store, const ReplayEnd& replayed) {
  HDB_TRY(remove_segments(env, store, replayed.torn_segments));
  HDB_TRY(remove_segments(env, store, replayed.orphans));
  HDB_TRY(remove_segments(env, store, replayed.below_floor));
  if (std::binary_search(replayed.segments.begin(), replayed.segments.end(), replayed.end.segment)) {
    const std::string path = segment_path(store, replayed.end.segment);
    if (HDB_TRY(env.file_bytes(path)) > replayed.end.offset) {
      const std::unique_ptr<LogFile> file = HDB_TRY(env.open_log(path));
      HDB_TRY(file->truncate(replayed.end.offset));
      HDB_TRY(file->close());
    }
  }
  return sync_replayed(env, store, replayed);
}

}  // namespace hdb::wal
