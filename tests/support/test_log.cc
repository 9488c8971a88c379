#include "tests/support/test_log.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>

#include "base/batch.h"
#include "io/file_name.h"

namespace hdb::wal {

Buffer random_batch(std::mt19937_64& random, std::size_t payload_bytes_max) {
  const std::string payload(random() % (payload_bytes_max + 1), static_cast<char>('a' + random() % 26));
  std::vector<Event> events(random() % 3);
  for (Event& event : events) {
    event.type = "dns";
    event.payload = as_bytes(payload);
  }
  std::vector<KeyValueChange> changes(events.empty() ? 1 : random() % 2,
                                      KeyValueChange{Keyspace(7), as_bytes("key"), as_bytes(payload)});
  const BatchStamp stamp{{.encoded_at = Timestamp(std::chrono::seconds(5)), .id_random = 77}};
  const EncodedBatch batch = encode_batch(events, changes, stamp);
  return Buffer(batch.bytes().begin(), batch.bytes().end());
}

TestLog::TestLog(std::uint64_t segment_bytes) : segment_bytes_(segment_bytes) {
  REQUIRE(env.create_directory(log_directory(kStore)).ok());
}

Status TestLog::open() {
  std::vector<Logged> seen;
  const ReplayEnd end = HDB_TRY(replay_into(from_floor(), seen));
  HDB_TRY(cut_tail(env, kStore, end));
  WriterStart start{.store_id = kStoreId,
                    .epoch = Epoch(epoch_ + 1),
                    .segment = end.end.segment.next(),
                    .recovered_end = end.end,
                    .next_sequence = end.next_sequence,
                    .next_position = end.next_position,
                    .segment_bytes = segment_bytes_};
  writer = HDB_TRY(Writer::create(env, kStore, start));
  ++epoch_;
  if (floor == LogPoint{}) floor = {start.segment, kSegmentHeaderBytes};
  groups = std::move(seen);
  durable_groups = groups.size();
  next_sequence = end.next_sequence;
  next_position = end.next_position;
  return {};
}

Result<ReplayEnd> TestLog::replay_into(const ReplayStart& start, std::vector<Logged>& seen) {
  return replay(env, kStore, start, [&seen](const Group& group) -> Status {
    Logged logged{group.begin, group.end, group.first_sequence, group.first_position, group.commit_time, {}};
    for (const BatchView& batch : group.batches) {
      logged.batches.emplace_back(batch.bytes().begin(), batch.bytes().end());
    }
    seen.push_back(std::move(logged));
    return {};
  });
}

Status TestLog::append(std::vector<Buffer> batches, bool is_durable) {
  std::vector<ByteView> views;
  std::uint64_t bytes = 0;
  for (const Buffer& batch : batches) {
    views.push_back(bytes_of(batch));
    bytes += batch.size();
  }
  HDB_TRY(writer->prepare(bytes, is_durable));
  const LogPoint before = writer->end();
  Logged logged{before, {}, next_sequence, next_position, Timestamp(std::chrono::seconds(++time_)), {}};
  GroupInput input{next_sequence, next_position, logged.commit_time, views};
  Buffer block;
  if (batches.size() == 1 && batches[0].size() >= kLargeBatchBytes) {
    block.resize(round_up(kBatchRoomBytes + batches[0].size(), kBlockBytes));
    std::copy(batches[0].begin(), batches[0].end(), block.begin() + kBatchRoomBytes);
    input.block = block;
  }
  const Result<LogPoint> end = writer->append(input, is_durable);
  // An append that failed may be there, whole, after a crash.
  for (const Buffer& batch : batches) {
    const BatchView view = BatchView::trusted(bytes_of(batch));
    next_sequence = SequenceNumber(next_sequence.raw() + view.sequence_count());
    next_position += view.event_count();
  }
  logged.batches = std::move(batches);
  if (!end.ok()) {
    in_doubt = std::move(logged);
    return end.status();
  }
  logged.end = end.value();
  groups.push_back(std::move(logged));
  if (is_durable) durable_groups = groups.size();
  return {};
}

Status TestLog::append_random(std::mt19937_64& random, bool is_durable, std::size_t payload_bytes_max) {
  std::vector<Buffer> batches(1 + random() % 3);
  for (Buffer& batch : batches) batch = random_batch(random, payload_bytes_max);
  return append(std::move(batches), is_durable);
}

Status TestLog::sync() {
  HDB_TRY(writer->sync());
  durable_groups = groups.size();
  return {};
}
std::string TestLog::path(std::uint64_t segment) const {
  return segment_path(kStore, SegmentNumber(segment));
}

Buffer TestLog::content(std::uint64_t segment) {
  return read_file(env, path(segment), 1u << 30).value();
}

void TestLog::overwrite(std::uint64_t segment, ByteView content) {
  REQUIRE(replace_file(env, path(segment), content).ok());
}

bool is_prefix(const std::vector<Logged>& prefix, const std::vector<Logged>& of) {
  return prefix.size() <= of.size() && std::equal(prefix.begin(), prefix.end(), of.begin());
}

void write_three_durable(TestLog& log) {
  std::mt19937_64 random(11);
  REQUIRE(log.open().ok());
  for (int count = 0; count < 3; ++count) REQUIRE(log.append_random(random, true).ok());
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace hdb::wal
