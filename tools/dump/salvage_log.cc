#include "tools/dump/salvage_log.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "io/file_name.h"
#include "wal/format.h"
#include "wal/reader.h"

namespace hdb::dump {

namespace {

constexpr std::uint64_t kWindowBytes = 1u << 20;

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

Result<std::optional<wal::SegmentHeader>> header_of(Env& env, const std::string& store, SegmentNumber number) {
  const std::string path = segment_path(store, number);
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env.open(path));
  Buffer bytes(static_cast<std::size_t>(std::min<std::uint64_t>(file->size_bytes(), wal::kSegmentHeaderBytes)));
  if (!file->read(0, bytes).ok()) return std::optional<wal::SegmentHeader>();
  const auto header = wal::decode_segment_header(bytes_of(bytes), path);
  if (header.status().code() == StatusCode::kUnsupported) return header.status();
  if (!header.ok() || header->segment != number) return std::optional<wal::SegmentHeader>();
  return std::optional(header.value());
}

// Looks for groups at every multiple of 8. Single-owner.
class LogScan {
 public:
  LogScan(Env& env, const std::string& store, const compaction::ManifestState& state, bool is_manifest_sound,
          const std::function<Status(const SalvagedBatch&)>& visit)
      : env_(env),
        store_(store),
        log_key_(wal::log_key_of(state.store_id)),
        visit_(visit),
        is_start_known_(is_manifest_sound),
        start_(state.next_sequence) {
    survey_.next_sequence = state.next_sequence;
    survey_.next_position = state.position_end;
  }

  // From the offset on.
  Status scan(SegmentNumber number, std::uint64_t from) {
    const std::string path = segment_path(store_, number);
    const auto header = HDB_TRY(header_of(env_, store_, number));
    if (!header) {
      survey_.damages.push_back({path + " at offset 0: the segment's header is damaged", wal::kSegmentHeaderBytes});
    } else if (is_start_known_ || has_begun_) {
      skip_to(header->first_sequence, header->first_position);
    }
    auto opened = env_.open(path);
    if (!opened.ok()) {
      survey_.damages.push_back({std::string(opened.status().message()), 0});
      return {};
    }
    const std::unique_ptr<RandomAccessFile> file = std::move(opened).value();
    std::uint64_t damaged_from = 0;  // 0: the bytes before are not damaged
    std::uint64_t used_end = 0;      // behind the last byte that is not zero, since then
    for (std::uint64_t at = from; at + 8 <= file->size_bytes();) {
      const auto group = HDB_TRY(group_at(*file, number, at));
      if (group) {
        end_damage(path, damaged_from, used_end);
        HDB_TRY(take(path, at, *group));
        at += group->header.group_bytes;
        continue;
      }
      const ByteView word = HDB_TRY(window_at(*file, at, 8));
      if (std::any_of(word.begin(), word.end(), [](std::byte byte) { return byte != std::byte{0}; })) {
        if (damaged_from == 0) damaged_from = at;
        used_end = at + 8;
      }
      at += 8;
    }
    end_damage(path, damaged_from, used_end);
    return {};
  }

  LogSurvey& survey() noexcept { return survey_; }

 private:
  // `bytes` at `offset`, within the file; what the system will not give reads as zero.
  Result<ByteView> window_at(const RandomAccessFile& file, std::uint64_t offset, std::uint64_t bytes) {
    if (window_path_ != file.path() || offset < window_begin_ || offset + bytes > window_begin_ + window_.size()) {
      window_.assign(static_cast<std::size_t>(std::max(bytes, std::min(kWindowBytes, file.size_bytes() - offset))),
                     std::byte{0});
      const Status read = file.read(offset, window_);
      if (!read.ok()) {
        survey_.damages.push_back({std::string(read.message()), window_.size()});
        std::fill(window_.begin(), window_.end(), std::byte{0});
      }
      window_begin_ = offset;
      window_path_ = file.path();
    }
    return bytes_of(window_).subspan(static_cast<std::size_t>(offset - window_begin_), static_cast<std::size_t>(bytes));
  }

  // The valid group that begins there, if one does. Its batches may be damaged.
  Result<std::optional<wal::GroupParts>> group_at(const RandomAccessFile& file, SegmentNumber number,
                                                  std::uint64_t offset) {
    const std::optional<wal::GroupParts> none;
    const std::uint64_t room = file.size_bytes() - offset;
    if (room < wal::kGroupHeaderBytes) return none;
    const ByteView head = HDB_TRY(window_at(file, offset, wal::kGroupHeaderBytes));
    if (load<std::uint32_t>(head.data()) != wal::kGroupMagic) return none;
    const wal::GroupPlace place{log_key_, {number, offset}};
    const auto bytes = wal::stated_group_bytes(head, room, place);
    if (!bytes.ok()) return none;
    const Epoch epoch = load<wal::GroupHeader>(head.data()).epoch;
    const ByteView whole = HDB_TRY(window_at(file, offset, bytes.value()));
    auto parts = wal::split_group(whole, epoch, place);
    if (!parts.ok()) return none;
    return std::optional(std::move(parts).value());
  }

  void end_damage(const std::string& path, std::uint64_t& from, std::uint64_t end) {
    if (from == 0) return;
    survey_.damages.push_back(
        {path + " at offset " + std::to_string(from) + ": no intact group until offset " + std::to_string(end),
         end - from});
    from = 0;
  }

  // What comes next in the file begins there: what should have been before it is lost.
  void skip_to(SequenceNumber sequence, Position position) {
    if (sequence <= survey_.next_sequence || position < survey_.next_position) return;
    const std::uint64_t items = sequence.raw() - survey_.next_sequence.raw();
    const std::uint64_t events = position - survey_.next_position;
    if (has_begun_ || is_start_known_) {
      survey_.lost_events += events;
      survey_.lost_changes += items - std::min(items, events);
    }
    survey_.next_sequence = sequence;
    survey_.next_position = position;
  }

  Status take(const std::string& path, std::uint64_t offset, const wal::GroupParts& group) {
    if (const Status known = wal::check_supported(group); !known.ok()) return known.in_context(path);
    SequenceNumber sequence = group.header.first_sequence;
    Position position = group.header.first_position;
    if (is_start_known_ && sequence < start_) return {};  // below the floor
    skip_to(sequence, position);
    has_begun_ = true;
    for (const ByteView bytes : group.batches) {
      const BatchView::Counts counts = BatchView::counts_in_header(bytes);
      const auto batch = BatchView::decode(bytes);
      if (batch.status().code() == StatusCode::kUnsupported) return batch.status().in_context(path);
      if (batch.ok()) {
        HDB_TRY(visit_({batch.value(), sequence, position, wal::commit_time_of(group.header)}));
      } else {
        survey_.damages.push_back({path + " at offset " + std::to_string(offset) +
                                       ": a batch of the group: " + std::string(batch.status().message()),
                                   bytes.size()});
        survey_.lost_events += counts.events;
        survey_.lost_changes += counts.changes;
      }
      sequence = SequenceNumber(sequence.raw() + counts.events + counts.changes);
      position += counts.events;
    }
    survey_.next_sequence = std::max(survey_.next_sequence, sequence);
    survey_.next_position = std::max(survey_.next_position, position);
    return {};
  }

  Env& env_;
  const std::string& store_;
  const std::uint64_t log_key_;
  const std::function<Status(const SalvagedBatch&)>& visit_;
  const bool is_start_known_;  // the log is needed from start_ on, without a gap
  const SequenceNumber start_;
  bool has_begun_ = false;  // a group was taken
  LogSurvey survey_;
  Buffer window_;
  std::uint64_t window_begin_ = 0;
  std::string window_path_;
};

}  // namespace

Result<std::optional<StoreId>> store_id_in_log(Env& env, const std::string& store) {
  for (const SegmentNumber number : HDB_TRY(segments_of(env, store))) {
    const auto header = HDB_TRY(header_of(env, store, number));
    if (header) return std::optional(header->store_id);
  }
  return std::optional<StoreId>();
}

Result<LogSurvey> salvage_log(Env& env, const std::string& store, const compaction::ManifestState& state,
                              bool is_manifest_sound, const std::function<Status(const SalvagedBatch&)>& visit) {
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
    // Whether the log is sound is known only at its end.
    const auto sound = wal::replay(env, store, start, [](const wal::Group&) { return Status(); });
    if (sound.ok()) {
      survey.torn_bytes = sound->torn_bytes;
      survey.next_sequence = sound->next_sequence;
      survey.next_position = sound->next_position;
      const auto replayed = wal::replay(env, store, start, [&visit](const wal::Group& group) -> Status {
        SalvagedBatch salvaged{group.batches.front(), group.first_sequence, group.first_position, group.commit_time};
        for (const BatchView& batch : group.batches) {
          salvaged.batch = batch;
          HDB_TRY(visit(salvaged));
          salvaged.first_sequence = SequenceNumber(salvaged.first_sequence.raw() + batch.sequence_count());
          salvaged.first_position += batch.event_count();
        }
        return {};
      });
      if (!replayed.ok()) return replayed.status();
      return survey;
    }
    if (sound.status().code() == StatusCode::kUnsupported) return sound.status();
    refused = sound.status();
  }
  LogScan scan(env, store, state, is_manifest_sound, visit);
  for (const SegmentNumber number : HDB_TRY(segments_of(env, store))) {
    if (is_manifest_sound && number < state.log_floor.segment) continue;
    const bool is_floor = is_manifest_sound && number == state.log_floor.segment;
    HDB_TRY(
        scan.scan(number, std::max<std::uint64_t>(is_floor ? state.log_floor.offset : 0, wal::kSegmentHeaderBytes)));
  }
  survey = std::move(scan.survey());
  // A segment that is missing leaves no damage behind.
  if (survey.damages.empty() && !refused.ok()) survey.damages.push_back({std::string(refused.message()), 0});
  return survey;
}

}  // namespace hdb::dump
