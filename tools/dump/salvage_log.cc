#include "tools/dump/salvage_log.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "io/file_name.h"
#include "wal/format.h"
#include "wal/reader.h"

namespace hdb::dump {

namespace {

constexpr std::uint64_t kWindowBytes = 1u << 20;
constexpr std::uint64_t kPieceBytes = 4096;  // read one by one where the whole window cannot be
constexpr Epoch kUnknownEpoch{};             // of no open: the first is 1

using Visit = std::function<Status(const SalvagedBatch&)>;

Result<std::vector<SegmentNumber>> segments_of(Env& env, const std::string& store) {
  std::vector<SegmentNumber> numbers;
  const Result<std::vector<std::string>> names = env.list(log_directory(store));
  if (!names.ok() && names.status().code() == StatusCode::kNotFound) return numbers;
  if (!names.ok()) return names.status();
  for (const std::string& name : names.value()) {
    if (const auto number = parse_segment_name(name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

// A segment file, read piece by piece. Single-owner.
class SegmentFile {
 public:
  SegmentFile(SegmentNumber number, std::unique_ptr<RandomAccessFile> file) : number_(number), file_(std::move(file)) {}

  SegmentNumber number() const noexcept { return number_; }
  const std::string& path() const noexcept { return file_->path(); }
  std::uint64_t size_bytes() const noexcept { return file_->size_bytes(); }

  // `bytes` at `offset`, within the file; what the system will not give is zero.
  ByteView view(std::uint64_t offset, std::uint64_t bytes) {
    if (offset < begin_ || offset + bytes > begin_ + window_.size()) {
      const std::uint64_t wanted = std::max(bytes, std::min(kWindowBytes, size_bytes() - offset));
      window_.assign(static_cast<std::size_t>(wanted), std::byte{0});
      begin_ = offset;
      if (!file_->read(offset, window_).ok()) read_pieces();
    }
    return bytes_of(window_).subspan(static_cast<std::size_t>(offset - begin_), static_cast<std::size_t>(bytes));
  }

  // By itself, not as a part of what is viewed next.
  Status read_begin(MutableBytes destination) { return file_->read(0, destination); }

  // Why the system did not give a part of bytes [begin, end), of which all were viewed; empty if it gave them.
  std::string_view refusal_of(std::uint64_t begin, std::uint64_t end) const {
    const auto piece = unreadable_.lower_bound(begin / kPieceBytes);
    return piece == unreadable_.end() || piece->first * kPieceBytes >= end ? std::string_view() : piece->second;
  }

 private:
  void read_pieces() {
    const std::uint64_t end = begin_ + window_.size();
    for (std::uint64_t at = begin_; at < end;) {
      const std::uint64_t next = std::min((at / kPieceBytes + 1) * kPieceBytes, end);
      const MutableBytes piece = MutableBytes(window_).subspan(at - begin_, next - at);
      if (const Status read = file_->read(at, piece); !read.ok()) {
        std::fill(piece.begin(), piece.end(), std::byte{0});
        unreadable_.emplace(at / kPieceBytes, read.message());
      }
      at = next;
    }
  }

  const SegmentNumber number_;
  const std::unique_ptr<RandomAccessFile> file_;
  Buffer window_;
  std::uint64_t begin_ = 0;
  std::map<std::uint64_t, std::string> unreadable_;  // by number of the piece: why
};

// The header of the segment, if it can be believed. kUnsupported: of a newer version.
Result<std::optional<wal::SegmentHeader>> header_of(SegmentFile& file) {
  const std::optional<wal::SegmentHeader> none;
  if (file.size_bytes() < wal::kSegmentHeaderBytes) return none;
  std::array<std::byte, wal::kSegmentHeaderBytes> bytes{};
  if (!file.read_begin(bytes).ok()) return none;
  const auto header = wal::decode_segment_header(bytes, file.path());
  if (header.status().code() == StatusCode::kUnsupported) return header.status();
  if (!header.ok() || header->segment != file.number()) return none;
  return std::optional(header.value());
}

// Looks for groups at every multiple of 8 of one segment after the other. Single-owner.
class LogScan {
 public:
  // Groups behind `durable_end` are taken only while each follows the one before. `visit` may be empty.
  LogScan(Env& env, const std::string& store, const compaction::ManifestState& state, bool is_manifest_sound,
          LogPoint durable_end, const Visit& visit)
      : env_(env),
        store_(store),
        store_id_(state.store_id),
        log_key_(wal::log_key_of(state.store_id)),
        epoch_max_(is_manifest_sound ? std::optional(state.epoch) : std::nullopt),
        is_start_known_(is_manifest_sound),
        start_(state.next_sequence),
        start_position_(state.position_end),
        durable_end_(durable_end),
        visit_(visit) {
    survey_.next_sequence = state.next_sequence;
    survey_.next_position = state.position_end;
    if (is_manifest_sound) {
      next_sequence_ = start_;
      next_position_ = start_position_;
      last_end_ = {state.log_floor.segment, std::max<std::uint64_t>(state.log_floor.offset, wal::kSegmentHeaderBytes)};
    }
  }

  // Groups from the offset on.
  Status scan(SegmentNumber number, std::uint64_t from) {
    auto opened = env_.open(segment_path(store_, number));
    if (!opened.ok() && !is_damage(opened.status())) return opened.status();
    if (!opened.ok()) {
      add_damage({std::string(opened.status().message()), 0});
      return {};
    }
    SegmentFile file(number, std::move(opened).value());
    const auto header = HDB_TRY(header_of(file));
    if (header && header->store_id != store_id_) {
      add_damage({file.path() + ": the log segment is of another store", file.size_bytes()});
      return {};
    }
    if (header) {
      vouched_end_ = std::max(vouched_end_, header->durable_end);
      if (is_start_known_ || has_begun_) skip_to(header->first_sequence, header->first_position);
      const bool is_first = last_end_ == LogPoint{};
      const bool leads_on = last_end_.segment.next() == number && header->predecessor_end == last_end_.offset;
      if (is_first || leads_on) {
        last_end_ = {number, wal::kSegmentHeaderBytes};
      }
    }
    Gap gap;
    bool is_empty = true;
    bool has_intact = false;
    Epoch epoch = header ? header->epoch : kUnknownEpoch;
    for (std::uint64_t at = from; at + 8 <= file.size_bytes();) {
      const auto group = group_at(file, at, epoch);
      if (group) {
        is_empty = false;
        epoch = group->header.epoch;
        if (!follows(*group, {number, at})) {
          survey_.torn_bytes += group->header.group_bytes;
        } else {
          end_gap(file, gap);
          HDB_TRY(take(file, at, *group));
          has_intact = true;
        }
        at += group->header.group_bytes;
        continue;
      }
      const std::string_view refusal = file.refusal_of(at, at + 8);
      if (!refusal.empty() || !is_zero(file.view(at, 8))) {
        is_empty = false;
        if (gap.begin == 0) gap.begin = at;
        gap.end = at + 8;
        if (gap.refusal.empty()) gap.refusal = refusal;
      }
      at += 8;
    }
    end_gap(file, gap);
    if (!header && !is_empty) {
      survey_.damages.push_back(
          {file.path() + " at offset 0: the segment's header is damaged", wal::kSegmentHeaderBytes});
      is_last_damaged_ |= !has_intact;
    }
    return {};
  }

  LogSurvey& survey() noexcept { return survey_; }
  // The highest point that anything intact says was durable.
  LogPoint vouched_end() const noexcept { return vouched_end_; }
  // Damage, or nothing, is the last there is.
  bool ends_in_damage() const noexcept { return is_last_damaged_; }

 private:
  // Bytes between groups, from the first to behind the last that is not zero, or that the system will not give.
  struct Gap {
    std::uint64_t begin = 0;  // 0: there is none
    std::uint64_t end = 0;
    std::string refusal;  // of the first such; empty: all were given
  };

  void add_damage(Damage damage) {
    survey_.damages.push_back(std::move(damage));
    is_last_damaged_ = true;
  }

  // The valid group that begins there, if one does. Its batches may be damaged. Of no other epoch than its segment's,
  // which is that of its header or of its first group, and not below that of the segment before.
  std::optional<wal::GroupParts> group_at(SegmentFile& file, std::uint64_t offset, Epoch epoch) {
    const std::uint64_t room = file.size_bytes() - offset;
    if (room < wal::kGroupHeaderBytes) return std::nullopt;
    const ByteView head = file.view(offset, wal::kGroupHeaderBytes);
    if (load<std::uint32_t>(head.data()) != wal::kGroupMagic) return std::nullopt;
    const wal::GroupPlace place{log_key_, {file.number(), offset}};
    const auto bytes = wal::stated_group_bytes(head, room, place);
    if (!bytes.ok()) return std::nullopt;
    const Epoch stated = load<wal::GroupHeader>(head.data()).epoch;
    if (stated < last_epoch_ || (epoch_max_ && stated > *epoch_max_)) return std::nullopt;
    if (epoch == kUnknownEpoch) epoch = stated;
    auto parts = wal::split_group(file.view(offset, bytes.value()), epoch, place);
    if (!parts.ok()) return std::nullopt;
    return std::move(parts).value();
  }

  // Whether the group is below what was durable, or follows the last one taken.
  bool follows(const wal::GroupParts& group, LogPoint begin) const {
    if (begin < durable_end_) return true;
    return begin.segment == last_end_.segment && group.header.predecessor_end == last_end_.offset;
  }

  void end_gap(const SegmentFile& file, Gap& gap) {
    if (gap.begin != 0) {
      // What the system will not give may be a group, wherever it is: a torn tail can be read.
      if (!gap.refusal.empty() || LogPoint{file.number(), gap.begin} < durable_end_) {
        add_damage({file.path() + " at offset " + std::to_string(gap.begin) + ": no intact group until offset " +
                        std::to_string(gap.end) + (gap.refusal.empty() ? "" : ": ") + gap.refusal,
                    gap.end - gap.begin});
      } else {
        survey_.torn_bytes += gap.end - gap.begin;
      }
    }
    gap = {};
  }

  // What comes next in the log begins there: what should have been before it is lost, unless it is below the start.
  void skip_to(SequenceNumber sequence, Position position) {
    if (sequence <= next_sequence_ || position < next_position_) return;
    const SequenceNumber lost_from = std::max(next_sequence_, start_);
    if ((has_begun_ || is_start_known_) && sequence > lost_from) {
      const std::uint64_t items = sequence.raw() - lost_from.raw();
      const std::uint64_t events = position - std::min(position, std::max(next_position_, start_position_));
      lose_changes(items - std::min(items, events), sequence);
    }
    go_on_from(sequence, position);
  }

  // Before `end`.
  void lose_changes(std::uint64_t changes, SequenceNumber end) {
    survey_.lost_changes += changes;
    if (changes > 0) survey_.intact_from = end;
  }

  void go_on_from(SequenceNumber sequence, Position position) {
    next_sequence_ = sequence;
    next_position_ = position;
    survey_.next_sequence = std::max(survey_.next_sequence, sequence);
    survey_.next_position = std::max(survey_.next_position, position);
  }

  Status take(const SegmentFile& file, std::uint64_t offset, const wal::GroupParts& group) {
    const std::string& path = file.path();
    if (const Status known = wal::check_supported(group); !known.ok()) return known.in_context(path);
    vouched_end_ = std::max(vouched_end_, group.header.durable_end);
    last_end_ = {file.number(), offset + group.header.group_bytes};
    last_epoch_ = group.header.epoch;
    SequenceNumber sequence = group.header.first_sequence;
    Position position = group.header.first_position;
    if (is_start_known_ && sequence < start_) return {};  // below the floor
    if (has_begun_ && sequence < next_sequence_) {
      add_damage({path + " at offset " + std::to_string(offset) + ": a group of what was committed before",
                  group.header.group_bytes});
      return {};
    }
    skip_to(sequence, position);
    has_begun_ = true;
    is_last_damaged_ = false;
    for (const ByteView bytes : group.batches) {
      const BatchView::Counts counts = BatchView::counts_in_header(bytes);
      const auto batch = BatchView::decode(bytes);
      if (batch.status().code() == StatusCode::kUnsupported) return batch.status().in_context(path);
      if (!batch.ok()) {
        const std::string_view refusal = file.refusal_of(offset, offset + group.header.group_bytes);
        survey_.damages.push_back({path + " at offset " + std::to_string(offset) + ": a batch of the group: " +
                                       std::string(refusal.empty() ? batch.status().message() : refusal),
                                   bytes.size()});
        const SequenceNumber end(sequence.raw() + counts.events + counts.changes);
        if (sequence >= start_) lose_changes(counts.changes, end);
      } else if (visit_) {
        HDB_TRY(visit_({file.number(), batch.value(), sequence, position, wal::commit_time_of(group.header)}));
      }
      sequence = SequenceNumber(sequence.raw() + counts.events + counts.changes);
      position += counts.events;
    }
    go_on_from(sequence, position);
    return {};
  }

  Env& env_;
  const std::string& store_;
  const StoreId store_id_;
  const std::uint64_t log_key_;
  const std::optional<Epoch> epoch_max_;  // that the manifest knows of
  const bool is_start_known_;             // the log is needed from start_ on, without a gap
  const SequenceNumber start_;            // of what tables do not hold, as far as the manifest tells
  const Position start_position_;
  const LogPoint durable_end_;
  const Visit& visit_;
  SequenceNumber next_sequence_;  // behind the last group taken
  Position next_position_ = 0;
  LogPoint vouched_end_;
  LogPoint last_end_;            // of the last group taken
  Epoch last_epoch_;             // of it
  bool has_begun_ = false;       // a group was taken
  bool is_last_damaged_ = true;  // nothing intact came behind the last damage
  LogSurvey survey_;
};

// Of a log that replay accepts: all of it.
Result<LogSurvey> visit_sound(Env& env, const std::string& store, const wal::ReplayStart& start,
                              const wal::ReplayEnd& end, const Visit& visit) {
  const auto replayed = wal::replay(env, store, start, [&visit](const wal::Group& group) -> Status {
    SalvagedBatch salvaged{group.begin.segment, group.batches.front(), group.first_sequence, group.first_position,
                           group.commit_time};
    for (const BatchView& batch : group.batches) {
      salvaged.batch = batch;
      if (visit) HDB_TRY(visit(salvaged));
      salvaged.first_sequence = SequenceNumber(salvaged.first_sequence.raw() + batch.sequence_count());
      salvaged.first_position += batch.event_count();
    }
    return {};
  });
  if (!replayed.ok()) return replayed.status();
  LogSurvey survey;
  survey.torn_bytes = end.torn_bytes;
  survey.next_sequence = end.next_sequence;
  survey.next_position = end.next_position;
  return survey;
}

}  // namespace

Result<std::optional<StoreId>> store_id_in_log(Env& env, const std::string& store) {
  std::map<StoreId, std::size_t> segments;
  for (const SegmentNumber number : HDB_TRY(segments_of(env, store))) {
    auto opened = env.open(segment_path(store, number));
    if (!opened.ok() && !is_damage(opened.status())) return opened.status();
    if (!opened.ok()) continue;
    SegmentFile file(number, std::move(opened).value());
    const auto header = HDB_TRY(header_of(file));
    if (header) ++segments[header->store_id];
  }
  const auto most = std::max_element(segments.begin(), segments.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == segments.end() ? std::optional<StoreId>() : std::optional(most->first);
}

Result<std::uint64_t> log_bytes(Env& env, const std::string& store) {
  std::uint64_t bytes = 0;
  for (const SegmentNumber number : HDB_TRY(segments_of(env, store))) {
    const auto segment = env.file_bytes(segment_path(store, number));
    bytes += segment.ok() ? segment.value() : 0;
  }
  return bytes;
}

Result<LogSurvey> salvage_log(Env& env, const std::string& store, const compaction::ManifestState& state,
                              bool is_manifest_sound, const Visit& visit) {
  LogSurvey survey;
  survey.next_sequence = state.next_sequence;
  survey.next_position = state.position_end;
  if (is_manifest_sound && !state.is_log_open) return survey;
  Status refused;
  if (is_manifest_sound) {
    const wal::ReplayStart start{.store_id = state.store_id,
                                 .epoch_max = state.epoch,
                                 .floor = state.log_floor,
                                 .next_sequence = state.next_sequence,
                                 .next_position = state.position_end};
    // Whether the log is sound is known only at its end, so it is read before it is visited.
    const auto sound = wal::replay(env, store, start, [](const wal::Group&) { return Status(); });
    if (sound.ok()) return visit_sound(env, store, start, sound.value(), visit);
    if (!is_damage(sound.status())) return sound.status();
    refused = sound.status();
  }
  const std::vector<SegmentNumber> segments = HDB_TRY(segments_of(env, store));
  const auto scan_all = [&](LogScan& scan) -> Status {
    for (const SegmentNumber number : segments) {
      if (is_manifest_sound && number < state.log_floor.segment) continue;
      const bool is_floor = is_manifest_sound && number == state.log_floor.segment;
      const std::uint64_t floor = is_floor ? state.log_floor.offset : 0;
      HDB_TRY(scan.scan(number, std::max<std::uint64_t>(floor, wal::kSegmentHeaderBytes)));
    }
    return {};
  };
  const Visit nobody;
  LogScan look(env, store, state, is_manifest_sound, {SegmentNumber(std::numeric_limits<std::uint64_t>::max()), 0},
               nobody);
  HDB_TRY(scan_all(look));
  LogScan scan(env, store, state, is_manifest_sound, look.vouched_end(), visit);
  HDB_TRY(scan_all(scan));
  survey = std::move(scan.survey());
  if (!refused.ok()) {
    // A segment that is missing leaves no damage behind, and, at the end, no gap either.
    const bool is_hidden = survey.damages.empty();
    if (is_hidden) survey.damages.push_back({std::string(refused.message()), 0});
    survey.is_end_lost = scan.ends_in_damage() || (is_hidden && survey.lost_changes == 0);
  } else {
    survey.is_end_lost = scan.ends_in_damage() && !survey.damages.empty();
  }
  return survey;
}

}  // namespace hdb::dump
