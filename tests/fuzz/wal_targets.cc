// Targets of wal/: segment headers, groups, and the replay of whole logs.
#include "base/batch.h"
#include "io/file_name.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/samples.h"
#include "tests/fuzz/target.h"
#include "tests/support/memory_env.h"
#include "wal/reader.h"
#include "wal/writer.h"

namespace hdb::fuzz {
namespace {

constexpr StoreId kStoreId{1, 2, 3, 4};
constexpr Epoch kEpoch{1};
const std::string kStore = kSampleStore;

bool run_wal_header(ByteView input) {
  Buffer bytes = copy_of(input);
  repair_segment(bytes, kStoreId, SegmentNumber(1));
  const auto header = wal::decode_segment_header(bytes_of(bytes), "store/wal/000001.wal");
  if (!header.ok()) {
    HDB_CHECK(contains(header.status().message(), "store/wal/000001.wal: "));
    return false;
  }
  HDB_CHECK(equal_bytes(wal::encode_segment_header(header.value()), bytes_of(bytes).first(wal::kSegmentHeaderBytes)));
  return true;
}

bool run_wal_group(ByteView input) {
  if (input.size() < wal::kGroupHeaderBytes) return false;
  Buffer bytes = copy_of(input);
  const wal::GroupPlace place{wal::log_key_of(kStoreId), {SegmentNumber(1), 128}};
  repair_group(bytes, kStoreId, place.at);
  const auto size = wal::stated_group_bytes(bytes_of(bytes), bytes.size(), place);
  if (!size.ok()) return false;
  HDB_CHECK(size.value() <= bytes.size());
  bytes.resize(size.value());
  repair_group(bytes, kStoreId, place.at);
  const auto parts = wal::split_group(bytes_of(bytes), kEpoch, place);
  if (!parts.ok()) return false;
  HDB_CHECK(wal::check_batches(parts.value()).ok());
  HDB_CHECK(parts->batches.size() == parts->header.batch_count);
  const std::byte* at = bytes.data() + wal::kGroupHeaderBytes + parts->extras.size();
  for (const ByteView batch : parts->batches) {
    HDB_CHECK(batch.data() == at);
    at += batch.size();
  }
  HDB_CHECK(at == bytes.data() + bytes.size());
  if (!wal::check_supported(parts.value()).ok()) return false;
  Buffer scratch;
  const auto again = wal::encode_group_header(parts->header, parts->batches, place, scratch);
  HDB_CHECK(equal_bytes(again, bytes_of(bytes).first(wal::kGroupHeaderBytes)));
  return true;
}

wal::ReplayStart start_of(std::uint8_t choice) {
  return {.store_id = kStoreId,
          .epoch_max = Epoch(1 + (choice & 1)),
          .floor = {SegmentNumber(1 + (choice >> 1 & 1)), choice & 4 ? 0 : wal::kSegmentHeaderBytes},
          .next_sequence = SequenceNumber(1),
          .next_position = 0};
}

// What is visited continues without gaps from the start.
class Visitor {
 public:
  explicit Visitor(const wal::ReplayStart& start)
      : end_(start.floor), sequence_(start.next_sequence.raw()), position_(start.next_position) {}

  Status visit(const wal::Group& group) {
    HDB_CHECK(group.first_sequence.raw() == sequence_ && group.first_position == position_);
    HDB_CHECK(group.begin < group.end && end_ <= group.begin && !group.batches.empty());
    HDB_CHECK(groups_ == 0 || group.commit_time >= commit_time_);
    for (const BatchView& batch : group.batches) {
      batch.for_each_record([this](const RecordView& record) {
        HDB_CHECK(record.bytes().size() >= kRecordHeaderBytes);
        ++position_;
      });
      sequence_ += batch.sequence_count();
    }
    end_ = group.end;
    commit_time_ = group.commit_time;
    ++groups_;
    return {};
  }

  void check(const wal::ReplayEnd& end) const {
    HDB_CHECK(end.groups == groups_);
    HDB_CHECK(end.next_sequence.raw() == sequence_ && end.next_position == position_);
    HDB_CHECK(end.end >= end_);
  }

 private:
  LogPoint end_;
  std::uint64_t sequence_;
  Position position_;
  Timestamp commit_time_{};
  std::uint64_t groups_ = 0;
};

bool replay(const std::vector<Buffer>& files, std::uint8_t choice) {
  test::MemoryEnv env;
  make_directories(env);
  for (std::size_t index = 0; index < files.size(); ++index) {
    put_file(env, segment_path(kStore, SegmentNumber(index + 1)), files[index]);
  }
  const wal::ReplayStart start = start_of(choice);
  const Status closed = wal::check_closed(env, kStore, start);
  HDB_CHECK(closed.ok() || contains(closed.message(), "store/wal"));
  Visitor visitor(start);
  const auto end = wal::replay(env, kStore, start, [&](const wal::Group& group) { return visitor.visit(group); });
  if (!end.ok()) {
    HDB_CHECK(contains(end.status().message(), "store/wal"));
    return false;
  }
  visitor.check(end.value());
  HDB_CHECK(wal::cut_tail(env, kStore, end.value()).ok());
  Visitor again(start);
  const auto cut = wal::replay(env, kStore, start, [&](const wal::Group& group) { return again.visit(group); });
  HDB_CHECK(cut.ok());
  again.check(cut.value());
  HDB_CHECK(cut->groups == end->groups && cut->end == end->end && cut->torn_bytes == 0 && cut->torn_segments.empty());
  return true;
}

// A byte that chooses the start, the number of files, the size of each but the last, the files.
bool run_wal_replay(ByteView input) {
  Pieces pieces(input);
  const std::uint8_t choice = pieces.byte();
  std::vector<std::size_t> sizes(pieces.byte() % 4u);
  for (std::size_t& size : sizes) size = pieces.number();
  std::vector<Buffer> files;
  for (const std::size_t size : sizes) files.push_back(copy_of(pieces.take(size)));
  files.push_back(copy_of(pieces.rest()));
  const bool is_raw_accepted = replay(files, choice);
  for (std::size_t index = 0; index < files.size(); ++index) {
    repair_segment(files[index], kStoreId, SegmentNumber(index + 1));
  }
  return replay(files, choice) || is_raw_accepted;
}

// Writes groups, and gives the segment files without the zeros that are prepared behind them.
std::vector<Buffer> written_log(std::size_t groups, bool is_rolled, bool is_closed) {
  test::MemoryEnv env;
  make_directories(env);
  const auto writer = wal::Writer::create(env, kStore,
                                          {.store_id = kStoreId,
                                           .epoch = kEpoch,
                                           .segment = SegmentNumber(1),
                                           .recovered_end = {},
                                           .next_sequence = SequenceNumber(1),
                                           .next_position = 0,
                                           .segment_bytes = 256u << 10})
                          .value();
  std::uint64_t sequence = 1;
  Position position = 0;
  for (std::size_t group = 0; group < groups; ++group) {
    const Buffer batch = sample_batch(group % 3, 2);
    const BatchView view = BatchView::trusted(bytes_of(batch));
    const ByteView batches[] = {bytes_of(batch)};
    if (is_rolled && group > 0) HDB_CHECK(writer->start_segment().ok());
    HDB_CHECK(writer->prepare(batch.size(), is_rolled).ok());
    const Timestamp time(std::chrono::seconds(1'700'000'000 + group));
    HDB_CHECK(writer->append({SequenceNumber(sequence), position, time, batches}, is_rolled).ok());
    sequence += view.sequence_count();
    position += view.event_count();
  }
  if (is_closed) HDB_CHECK(writer->close().ok());
  std::vector<Buffer> files;
  const auto names = env.list(log_directory(kStore)).value();
  for (const std::string& name : names) files.push_back(file_without_padding(env, log_directory(kStore) + "/" + name));
  return files;
}

std::vector<Buffer> wal_header_seeds() {
  Buffer file = written_log(1, false, false)[0];
  file.resize(wal::kSegmentHeaderBytes);
  return {file};
}

std::vector<Buffer> wal_group_seeds() {
  std::vector<Buffer> seeds;
  for (const bool is_closed : {false, true}) {  // a group of batches; with the mark behind it
    const Buffer file = written_log(1, false, is_closed)[0];
    const std::size_t begin = as_text(bytes_of(file)).find("HGRP");
    seeds.emplace_back(file.begin() + static_cast<std::ptrdiff_t>(begin), file.end());
  }
  return seeds;
}

Buffer log_input(const std::vector<Buffer>& files) {
  Buffer input = {std::byte{0}, static_cast<std::byte>(files.size() - 1)};
  for (std::size_t index = 0; index + 1 < files.size(); ++index) {
    append_fixed(input, static_cast<std::uint16_t>(files[index].size()));
  }
  for (const Buffer& file : files) append(input, file);
  return input;
}

std::vector<Buffer> wal_replay_seeds() {
  return {log_input(written_log(3, false, false)), log_input(written_log(2, true, true)),
          log_input(written_log(1, false, true))};
}

constexpr Target kTargets[] = {
    {"wal_header", &run_wal_header, &wal_header_seeds},
    {"wal_group", &run_wal_group, &wal_group_seeds},
    {"wal_replay", &run_wal_replay, &wal_replay_seeds},
};

}  // namespace

std::span<const Target> wal_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
