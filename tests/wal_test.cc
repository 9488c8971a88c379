// The log gives back exactly what was promised: every durable group after any crash, never one that was not written,
// and an error naming file and offset where durable bytes are gone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/batch.h"
#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"
#include "wal/format.h"
#include "wal/reader.h"
#include "wal/writer.h"

namespace hdb::wal {

using hdb::test::Fault;
using hdb::test::MemoryEnv;
using hdb::test::ReadFault;
using hdb::test::test_seed;

namespace {

const std::string kStore = "store";
constexpr StoreId kStoreId = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct Logged {
  LogPoint begin;
  LogPoint end;
  SequenceNumber first_sequence;
  Position first_position = 0;
  Timestamp commit_time{};
  std::vector<Buffer> batches;

  // But `begin`, which only a reader knows.
  friend bool operator==(const Logged& a, const Logged& b) {
    return a.end == b.end && a.first_sequence == b.first_sequence && a.first_position == b.first_position &&
           a.commit_time == b.commit_time && a.batches == b.batches;
  }
};

Buffer random_batch(std::mt19937_64& random, std::size_t payload_bytes_max) {
  const std::string payload(random() % (payload_bytes_max + 1), static_cast<char>('a' + random() % 26));
  std::vector<Event> events(random() % 3);
  for (Event& event : events) {
    event.type = "dns";
    event.payload = as_bytes(payload);
  }
  std::vector<KeyValueChange> changes(events.empty() ? 1 : random() % 2,
                                      KeyValueChange{Keyspace(7), as_bytes("key"), as_bytes(payload)});
  const RecordStamp stamp{.encoded_at = Timestamp(std::chrono::seconds(5)), .id_random = 77};
  const EncodedBatch batch = encode_batch(events, changes, stamp);
  return Buffer(batch.bytes().begin(), batch.bytes().end());
}

// A log as the engine drives it, with the model of what it holds.
class TestLog {
 public:
  explicit TestLog(std::uint64_t segment_bytes) : segment_bytes_(segment_bytes) {
    REQUIRE(env.create_directory(log_directory(kStore)).ok());
  }

  ReplayStart from_floor() const { return {kStoreId, Epoch(epoch_), floor, SequenceNumber(1), 0}; }

  // As the engine opens: replay, cut, a segment of a new epoch, vouched for.
  Status open() {
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

  Result<ReplayEnd> replay_into(const ReplayStart& start, std::vector<Logged>& seen) {
    return replay(env, kStore, start, [&seen](const Group& group) -> Status {
      Logged logged{group.begin, group.end, group.first_sequence, group.first_position, group.commit_time, {}};
      for (const BatchView& batch : group.batches) {
        logged.batches.emplace_back(batch.bytes().begin(), batch.bytes().end());
      }
      seen.push_back(std::move(logged));
      return {};
    });
  }

  Status append(std::vector<Buffer> batches, bool is_durable) {
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

  Status append_random(std::mt19937_64& random, bool is_durable, std::size_t payload_bytes_max = 300) {
    std::vector<Buffer> batches(1 + random() % 3);
    for (Buffer& batch : batches) batch = random_batch(random, payload_bytes_max);
    return append(std::move(batches), is_durable);
  }

  Status sync() {
    HDB_TRY(writer->sync());
    durable_groups = groups.size();
    return {};
  }

  std::string path(std::uint64_t segment) const { return segment_path(kStore, SegmentNumber(segment)); }
  Buffer content(std::uint64_t segment) { return read_file(env, path(segment), 1u << 30).value(); }
  void overwrite(std::uint64_t segment, ByteView content) { REQUIRE(replace_file(env, path(segment), content).ok()); }

  MemoryEnv env;
  std::unique_ptr<Writer> writer;
  LogPoint floor;
  SequenceNumber next_sequence{1};
  Position next_position = 0;
  std::vector<Logged> groups;      // acknowledged
  std::size_t durable_groups = 0;  // of these
  std::optional<Logged> in_doubt;  // its append failed

 private:
  const std::uint64_t segment_bytes_;
  std::uint64_t epoch_ = 0;
  std::int64_t time_ = 0;
};

bool is_prefix(const std::vector<Logged>& prefix, const std::vector<Logged>& of) {
  return prefix.size() <= of.size() && std::equal(prefix.begin(), prefix.end(), of.begin());
}

// Three durable groups in one segment, without a mark.
void write_three_durable(TestLog& log) {
  std::mt19937_64 random(11);
  REQUIRE(log.open().ok());
  for (int count = 0; count < 3; ++count) REQUIRE(log.append_random(random, true).ok());
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace

TEST_CASE("random groups come back over rolling segments and reopens, from the begin and from any group's end") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (std::size_t round = 0; round < hdb::test::scaled(40); ++round) {
    CAPTURE(round);
    TestLog log(8192 << random() % 4);
    for (int opens = 0; opens < 3; ++opens) {
      REQUIRE(log.open().ok());
      for (std::size_t count = random() % 40; count > 0; --count) {
        REQUIRE(log.append_random(random, random() % 4 == 0, random() % 8 == 0 ? 20000 : 300).ok());
        if (random() % 16 == 0) REQUIRE(log.append({random_batch(random, 200'000)}, random() % 2 == 0).ok());
        if (random() % 8 == 0) REQUIRE(log.sync().ok());
        if (random() % 8 == 0) REQUIRE(log.writer->mark().ok());
        if (random() % 16 == 0) REQUIRE(log.writer->start_segment().ok());
      }
      const std::vector<Logged> written = log.groups;
      if (random() % 2 == 0) REQUIRE(log.writer->close().ok());
      log.writer.reset();
      std::vector<Logged> seen;
      const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
      REQUIRE_MESSAGE(end.ok(), end.status().message());
      CHECK(seen == written);
      CHECK(end->groups == written.size());
      CHECK(end->torn_bytes == 0);
      CHECK(end->next_sequence == log.next_sequence);
      CHECK(end->next_position == log.next_position);
      if (written.empty()) continue;
      CHECK(end->last_commit_time == written.back().commit_time);

      const std::size_t skipped = random() % written.size();
      const bool is_last = skipped + 1 == written.size();
      ReplayStart from = log.from_floor();
      from.floor = written[skipped].end;
      from.next_sequence = is_last ? end->next_sequence : written[skipped + 1].first_sequence;
      from.next_position = is_last ? end->next_position : written[skipped + 1].first_position;
      std::vector<Logged> rest;
      REQUIRE(log.replay_into(from, rest).ok());
      CHECK(rest == std::vector<Logged>(written.begin() + static_cast<std::ptrdiff_t>(skipped) + 1, written.end()));
    }
  }
}

TEST_CASE("after a crash at any operation every durable group is back, nothing else but what was appended, in order") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (std::size_t round = 0; round < hdb::test::scaled(300); ++round) {
    CAPTURE(round);
    TestLog log(16384);
    REQUIRE(log.open().ok());
    for (int lives = 0; lives < 4; ++lives) {
      log.in_doubt.reset();
      log.env.crash_at(log.env.operations() + random() % 120);
      Status status;
      while (status.ok()) {
        switch (random() % 12) {
          case 0:
            status = log.sync();
            break;
          case 1:
            status = log.writer->mark();
            break;
          case 2:
            status = log.writer->start_segment();
            break;
          default:
            status = log.append_random(random, random() % 3 == 0, random() % 6 == 0 ? 9000 : 300);
        }
      }
      log.writer.reset();
      const std::vector<Logged> written = log.groups;
      // The process dies, and what it wrote stays; or the machine does.
      const bool is_power_lost = random() % 3 != 0;
      std::size_t kept = is_power_lost ? log.durable_groups : written.size();
      is_power_lost ? log.env.crash(random()) : log.env.heal();

      // Recovery dies too, now and then.
      Status opened;
      do {
        if (random() % 2 == 0) log.env.crash_at(log.env.operations() + random() % 30);
        opened = log.open();
        const bool is_dead = !opened.ok() && opened.code() == StatusCode::kIoError;
        if (!opened.ok()) REQUIRE_MESSAGE(is_dead, opened.message());
        if (is_dead) {
          kept = log.durable_groups;
          log.env.crash(random());
        }
        log.env.heal();
      } while (!opened.ok());

      CHECK(log.groups.size() >= kept);
      if (log.groups.size() > written.size()) {
        REQUIRE(log.in_doubt.has_value());
        CHECK(log.groups.back().batches == log.in_doubt->batches);
        log.groups.pop_back();
        CHECK(is_prefix(log.groups, written));
        REQUIRE(log.open().ok());
      } else {
        CHECK(is_prefix(log.groups, written));
      }
    }
  }
}

TEST_CASE("a tail torn at any length of the last group ends the log before it") {
  TestLog log(1u << 20);
  write_three_durable(log);
  const std::vector<Logged> written = log.groups;
  const Buffer whole = log.content(1);
  std::vector<Logged> all;
  REQUIRE(log.replay_into(log.from_floor(), all).ok());
  REQUIRE(all == written);
  const LogPoint begin = all.back().begin;
  for (std::uint64_t length = begin.offset; length < all.back().end.offset; ++length) {
    CAPTURE(length);
    log.overwrite(1, bytes_of(whole).first(length));
    std::vector<Logged> seen;
    const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
    REQUIRE(end.ok());
    CHECK(seen.size() == 2);
    CHECK(is_prefix(seen, written));
    CHECK(end->end == written[1].end);
    CHECK((end->torn_bytes > 0) == (length > begin.offset));
    CHECK(end->torn_reason.empty() == (end->torn_bytes == 0));
  }
}

TEST_CASE("damage below a mark is corruption that names file and offset") {
  TestLog log(1u << 20);
  write_three_durable(log);
  REQUIRE(log.writer->close().ok());
  Buffer damaged = log.content(1);
  damaged[log.groups[2].end.offset - 1] ^= std::byte{1};
  log.overwrite(1, bytes_of(damaged));
  std::vector<Logged> seen;
  const Status status = log.replay_into(log.from_floor(), seen).status();
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(contains(status.message(), log.path(1) + ": offset " + std::to_string(log.groups[1].end.offset)));
  CHECK(is_prefix(seen, log.groups));
}

TEST_CASE("damage below a later group's durable end is corruption, above it a torn tail") {
  TestLog log(1u << 20);
  write_three_durable(log);
  const Buffer sound = log.content(1);
  std::vector<Logged> all;
  REQUIRE(log.replay_into(log.from_floor(), all).ok());
  for (const std::size_t victim : {0u, 1u, 2u}) {
    CAPTURE(victim);
    Buffer damaged = sound;
    damaged[all[victim].begin.offset + kGroupHeaderBytes + 4] ^= std::byte{1};
    log.overwrite(1, bytes_of(damaged));
    std::vector<Logged> seen;
    const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
    // Group n + 1 says that group n is durable; nothing says so of the last.
    CHECK(end.ok() == (victim == 2));
    if (!end.ok()) CHECK(end.status().code() == StatusCode::kCorruption);
    CHECK(seen.size() == victim);
  }
}

TEST_CASE("what was misread once is no torn tail: it is read again before anything is cut") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  TestLog log(1u << 20);
  write_three_durable(log);
  Buffer written = log.content(1);
  written.resize(log.groups.back().end.offset);  // without prepared space: every fault hits what was written
  log.overwrite(1, bytes_of(written));
  const std::uint64_t before = log.env.reads();
  std::vector<Logged> sound;
  REQUIRE(log.replay_into(log.from_floor(), sound).ok());
  const std::uint64_t reads = log.env.reads() - before;
  REQUIRE(sound == log.groups);
  for (std::uint64_t run = 0; run < 60 * reads; ++run) {
    CAPTURE(run);
    log.env.damage_read(log.env.reads() + run % reads, ReadFault::kFlippedBit, seed + run);
    std::vector<Logged> seen;
    const auto end = log.replay_into(log.from_floor(), seen);
    log.env.heal();
    CHECK(seen == sound);
    CHECK_MESSAGE(end.ok(), std::string(end.status().message()));
  }
  CHECK(log.env.faults_injected(Fault::kFlippedBit) > 100);
}

TEST_CASE("groups of a relaxed run behind a lost one are a torn tail, and never come back") {
  std::mt19937_64 random(5);
  TestLog log(1u << 20);
  REQUIRE(log.open().ok());
  REQUIRE(log.append_random(random, true).ok());
  for (int count = 0; count < 3; ++count) REQUIRE(log.append_random(random, false).ok());
  std::vector<Logged> all;
  REQUIRE(log.replay_into(log.from_floor(), all).ok());
  Buffer damaged = log.content(1);
  damaged[all[1].begin.offset + 20] ^= std::byte{1};
  log.writer.reset();
  log.overwrite(1, bytes_of(damaged));

  REQUIRE(log.open().ok());
  CHECK(log.groups.size() == 1);
  CHECK(log.env.file_bytes(log.path(1)).value() == all[0].end.offset);
  REQUIRE(log.append_random(random, true).ok());
  const std::vector<Logged> written = log.groups;

  SUBCASE("as the cut left it") {}
  SUBCASE("though the cut was undone behind the engine's back") {
    log.overwrite(1, bytes_of(damaged));
  }
  SUBCASE("though the lost group is whole again") {
    damaged[all[1].begin.offset + 20] ^= std::byte{1};
    log.overwrite(1, bytes_of(damaged));
  }
  std::vector<Logged> seen;
  const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
  REQUIRE_MESSAGE(end.ok(), end.status().message());
  CHECK(seen == written);
}

TEST_CASE("a log without its floor segment, or without one in the middle, is corruption") {
  std::mt19937_64 random(7);
  TestLog log(8192);
  REQUIRE(log.open().ok());
  for (int count = 0; count < 6; ++count) REQUIRE(log.append_random(random, true, 9000).ok());
  const std::uint64_t last = log.writer->end().segment.raw();
  REQUIRE(last > 3);
  for (const std::uint64_t missing : {std::uint64_t{1}, std::uint64_t{2}}) {
    CAPTURE(missing);
    const Buffer kept = log.content(missing);
    REQUIRE(log.env.remove(log.path(missing)).ok());
    std::vector<Logged> seen;
    const Status status = log.replay_into(log.from_floor(), seen).status();
    CHECK(status.code() == StatusCode::kCorruption);
    CHECK(contains(status.message(), log_directory(kStore)));
    log.overwrite(missing, bytes_of(kept));
  }
  ReplayStart beyond = log.from_floor();
  beyond.floor = {SegmentNumber(1), log.content(1).size() + 8};
  std::vector<Logged> seen;
  CHECK(log.replay_into(beyond, seen).status().code() == StatusCode::kCorruption);
}

TEST_CASE("durable segments at the end of the log that are gone, empty or zeros are missed, and no torn tail") {
  TestLog log(64u << 10);
  REQUIRE(log.open().ok());
  std::mt19937_64 random(11);
  while (log.writer->end().segment.raw() < 5) REQUIRE(log.append({random_batch(random, 40)}, true).ok());
  std::vector<Logged> seen;
  const auto whole = log.replay_into(log.from_floor(), seen);
  REQUIRE_MESSAGE(whole.ok(), whole.status().message());
  CHECK(seen.size() == log.groups.size());
  for (std::uint64_t number = 5; number > 1; --number) {
    CAPTURE(number);
    const std::string path = segment_path(kStore, SegmentNumber(number));
    const std::uint64_t bytes = log.env.file_bytes(path).value();
    const auto check_missed = [&] {
      std::vector<Logged> some;
      const Status status = log.replay_into(log.from_floor(), some).status();
      CHECK(status.code() == StatusCode::kCorruption);
      CHECK_MESSAGE(status.message().find("this is no torn tail") != std::string_view::npos, status.message());
    };
    REQUIRE(replace_file(log.env, path, Buffer(bytes)).ok());
    check_missed();
    REQUIRE(replace_file(log.env, path, {}).ok());
    check_missed();
    REQUIRE(log.env.remove(path).ok());
    check_missed();
  }
}

TEST_CASE("a segment of an epoch the manifest does not know is an orphan: ignored, and removed by the cut") {
  TestLog log(1u << 20);
  write_three_durable(log);
  const WriterStart start{.store_id = kStoreId,
                          .epoch = Epoch(2),
                          .segment = SegmentNumber(2),
                          .recovered_end = log.writer->end(),
                          .next_sequence = log.next_sequence,
                          .next_position = log.next_position,
                          .segment_bytes = 1u << 20};
  REQUIRE(Writer::create(log.env, kStore, start).ok());
  std::vector<Logged> seen;
  const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
  REQUIRE(end.ok());
  CHECK(seen == log.groups);
  CHECK(end->orphans == std::vector<SegmentNumber>{SegmentNumber(2)});
  REQUIRE(cut_tail(log.env, kStore, end.value()).ok());
  CHECK_FALSE(log.env.exists(log.path(2)).value());
  CHECK(log.env.exists(log.path(1)).value());
}

TEST_CASE("before the manifest vouches for any epoch there is no log") {
  TestLog log(1u << 20);
  REQUIRE(Writer::create(log.env, kStore,
                         {.store_id = kStoreId,
                          .epoch = Epoch(1),
                          .segment = SegmentNumber(1),
                          .recovered_end = {},
                          .next_sequence = SequenceNumber(1),
                          .next_position = 0,
                          .segment_bytes = 1u << 20})
              .ok());
  std::vector<Logged> seen;
  const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
  REQUIRE(end.ok());
  CHECK(end->orphans.size() == 1);
  CHECK(end->end == LogPoint{});
}

TEST_CASE("cutting the tail again changes nothing") {
  std::mt19937_64 random(3);
  TestLog log(8192);
  REQUIRE(log.open().ok());
  for (int count = 0; count < 8; ++count) REQUIRE(log.append_random(random, false, 5000).ok());
  log.writer.reset();
  Buffer damaged = log.content(2);
  damaged[kSegmentHeaderBytes + 30] ^= std::byte{1};
  log.overwrite(2, bytes_of(damaged));
  std::vector<Logged> seen;
  const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
  REQUIRE(end.ok());
  CHECK(end->torn_bytes > 0);
  CHECK_FALSE(end->torn_segments.empty());
  std::vector<std::string> names;
  for (int times = 0; times < 2; ++times) {
    REQUIRE(cut_tail(log.env, kStore, end.value()).ok());
    const std::vector<std::string> left = log.env.list(log_directory(kStore)).value();
    CHECK(left.size() == 2);
    if (times > 0) CHECK(left == names);
    names = left;
    CHECK(log.env.file_bytes(log.path(2)).value() == end->end.offset);
  }
  std::vector<Logged> again;
  const Result<ReplayEnd> after = log.replay_into(log.from_floor(), again);
  REQUIRE(after.ok());
  CHECK(again == seen);
  CHECK(after->torn_bytes == 0);
}

TEST_CASE("a full disk refuses space and claims nothing; with space back the log goes on") {
  std::mt19937_64 random(9);
  TestLog log(64u << 10);
  REQUIRE(log.open().ok());
  REQUIRE(log.append_random(random, true).ok());
  log.env.limit_bytes(log.env.bytes_used());
  Status status;
  std::size_t accepted = 0;
  while (status.ok() && accepted < 1000) {
    status = log.append_random(random, true, 3000);
    if (status.ok()) ++accepted;
  }
  CHECK(status.code() == StatusCode::kNoSpace);
  const LogPoint end = log.writer->end();
  for (int times = 0; times < 3; ++times) CHECK(log.writer->prepare(100000, false).code() == StatusCode::kNoSpace);
  CHECK(log.writer->end() == end);
  CHECK(log.sync().ok());
  CHECK(log.writer->mark().ok());

  log.env.limit_bytes(log.env.bytes_used() + (8u << 20));
  for (int count = 0; count < 50; ++count) REQUIRE(log.append_random(random, true, 3000).ok());
  const std::vector<Logged> written = log.groups;
  REQUIRE(log.writer->close().ok());
  std::vector<Logged> seen;
  REQUIRE(log.replay_into(log.from_floor(), seen).ok());
  CHECK(seen == written);
}

TEST_CASE("after a failed sync every call reports the first error, and nothing is synced again") {
  std::mt19937_64 random(13);
  TestLog log(64u << 10);
  REQUIRE(log.open().ok());
  REQUIRE(log.append_random(random, false).ok());
  log.env.fail_at(log.env.operations(), Status::io_error("the device went away"));
  CHECK(contains(log.sync().message(), "the device went away"));
  const std::uint64_t operations = log.env.operations();
  for (const Status& status :
       {log.writer->sync(), log.writer->prepare(100, false), log.writer->mark(), log.writer->start_segment(),
        log.writer->remove_below({SegmentNumber(9), 0}), log.append_random(random, true), log.writer->close()}) {
    CHECK(status.code() == StatusCode::kIoError);
    CHECK(contains(status.message(), "the device went away"));
  }
  CHECK(log.env.operations() == operations);
}

TEST_CASE("with any one byte changed the log gives a prefix of what was written, or an error") {
  std::mt19937_64 random(17);
  TestLog log(8192);
  REQUIRE(log.open().ok());
  for (int count = 0; count < 5; ++count) REQUIRE(log.append_random(random, count % 2 == 0, 100).ok());
  REQUIRE(log.writer->start_segment().ok());
  for (int count = 0; count < 3; ++count) REQUIRE(log.append_random(random, false, 100).ok());
  const std::vector<Logged> written = log.groups;
  REQUIRE(log.writer->close().ok());
  const std::uint64_t last = log.writer->end().segment.raw();
  std::uint64_t errors = 0;
  for (std::uint64_t segment = 1; segment <= last; ++segment) {
    const Buffer sound = log.content(segment);
    for (std::size_t index = 0; index < sound.size(); ++index) {
      CAPTURE(segment);
      CAPTURE(index);
      Buffer damaged = sound;
      damaged[index] ^= static_cast<std::byte>(1u << random() % 8);
      log.overwrite(segment, bytes_of(damaged));
      std::vector<Logged> seen;
      const Result<ReplayEnd> end = log.replay_into(log.from_floor(), seen);
      errors += end.ok() ? 0 : 1;
      REQUIRE(is_prefix(seen, written));
      // What is torn was not vouched for: only the mark itself, or unused space.
      if (end.ok()) REQUIRE(seen.size() == written.size());
    }
    log.overwrite(segment, bytes_of(sound));
  }
  CHECK(errors > 1000);
}

TEST_CASE("a group larger than a segment gets one to its size") {
  std::mt19937_64 random(19);
  TestLog log(8192);
  REQUIRE(log.open().ok());
  REQUIRE(log.append_random(random, true, 100).ok());
  const std::string payload(300000, 'x');
  Event event;
  event.type = "raw";
  event.payload = as_bytes(payload);
  const EncodedBatch batch = encode_batch({&event, 1}, {}, RecordStamp{});
  REQUIRE(log.append({Buffer(batch.bytes().begin(), batch.bytes().end())}, true).ok());
  REQUIRE(log.append_random(random, true, 100).ok());
  CHECK(log.writer->end().segment == SegmentNumber(3));
  std::vector<Logged> seen;
  REQUIRE(log.replay_into(log.from_floor(), seen).ok());
  CHECK(seen == log.groups);
  CHECK(log.writer->prepare(kGroupBytesMax, false).code() == StatusCode::kInvalidArgument);
}

TEST_CASE("space for small durable groups is written with zeros first, a step at a time, and for no others") {
  constexpr std::uint64_t kStepMin = 256u << 10;
  TestLog log(16u << 20);
  REQUIRE(log.open().ok());
  std::mt19937_64 random(5);
  for (int group = 0; group < 50; ++group) REQUIRE(log.append({random_batch(random, 100)}, false).ok());
  CHECK(log.writer->bytes_written() < kStepMin);
  REQUIRE(log.append({random_batch(random, 100)}, true).ok());
  std::uint64_t written = log.writer->bytes_written();
  CHECK(written >= kStepMin / 2);  // the rest of what is reserved at first
  CHECK(written < 2 * kStepMin);
  // Each takes a block; within a step nothing but the groups is written.
  std::uint64_t steps = 0;
  for (int group = 0; group < 1000; ++group) {
    REQUIRE(log.append({random_batch(random, 100)}, true).ok());
    const std::uint64_t more = log.writer->bytes_written() - written;
    written += more;
    if (more >= kStepMin / 2) ++steps;
    CHECK((more >= kStepMin / 2 || more < 2 * kBlockBytes));
  }
  CHECK(steps >= 3);
  CHECK(steps <= 1000 * kBlockBytes / (kStepMin / 2));
  std::vector<Logged> seen;
  REQUIRE(log.replay_into(log.from_floor(), seen).ok());
  CHECK(seen == log.groups);
}

TEST_CASE("a durable block is never written again: after a sync the next group begins in another") {
  std::mt19937_64 random(23);
  TestLog log(1u << 20);
  REQUIRE(log.open().ok());
  for (int count = 0; count < 30; ++count) {
    REQUIRE(log.append_random(random, random() % 2 == 0).ok());
    if (random() % 3 == 0) REQUIRE(log.sync().ok());
    const LogPoint durable = log.writer->durable_end();
    REQUIRE(log.append_random(random, false).ok());
    std::vector<Logged> seen;
    REQUIRE(log.replay_into(log.from_floor(), seen).ok());
    CHECK(seen.back().begin.offset >= round_up(durable.offset, kBlockBytes));
  }
}

TEST_CASE(
    "space prepared for several groups takes each of them, of small batches and of one large, wherever it begins") {
  std::mt19937_64 random(31);
  const Buffer small = random_batch(random, 100);
  std::string payload(kLargeBatchBytes, 'x');
  BatchMemory memory(0);
  for (const bool is_durable : {false, true}) {
    for (std::size_t before = 0; before < 3; ++before) {
      for (std::size_t extra : {0u, 1u, 3900u, 3950u, 4000u, 4096u}) {
        TestLog log(1u << 20);
        REQUIRE(log.open().ok());
        for (std::size_t count = 0; count < before; ++count) REQUIRE(log.append_random(random, is_durable).ok());
        payload.resize(kLargeBatchBytes + extra);
        const KeyValueChange change{Keyspace(7), as_bytes("key"), as_bytes(payload)};
        const EncodedBatch large = encode_batch({}, {&change, 1}, {}, &memory);
        REQUIRE(large.block().size() % kBlockBytes == 0);
        REQUIRE(log.writer->prepare(small.size() + 2 * large.bytes().size(), is_durable, 3).ok());
        const BatchView small_view = BatchView::trusted(bytes_of(small));
        SequenceNumber sequence = log.next_sequence;
        Position position = log.next_position;
        std::vector<Buffer> written;
        for (const ByteView batch : {large.bytes(), bytes_of(small), large.bytes()}) {
          const bool is_large = batch.size() >= kLargeBatchBytes;
          const MutableBytes block = is_large ? large.block() : MutableBytes();
          const auto end = log.writer->append(
              {sequence, position, Timestamp(std::chrono::hours(1)), {&batch, 1}, block}, is_durable);
          REQUIRE_MESSAGE(end.ok(), end.status().message());
          written.emplace_back(batch.begin(), batch.end());
          sequence = SequenceNumber(sequence.raw() + (is_large ? 1 : small_view.sequence_count()));
          position += is_large ? 0 : small_view.event_count();
        }
        REQUIRE(log.writer->mark().ok());
        std::vector<Logged> seen;
        REQUIRE(log.replay_into(log.from_floor(), seen).ok());
        REQUIRE(seen.size() == before + 3);
        for (std::size_t index = 0; index < 3; ++index) {
          CHECK(seen[before + index].batches == std::vector<Buffer>{written[index]});
        }
        CHECK(seen[before].begin.offset % kBlockBytes == 0);
        CHECK(seen[before + 2].begin.offset % kBlockBytes == 0);
      }
    }
  }
}

TEST_CASE("segments below a floor are deleted, never the one being written, and live bytes say so") {
  std::mt19937_64 random(29);
  TestLog log(8192);
  REQUIRE(log.open().ok());
  for (int count = 0; count < 6; ++count) REQUIRE(log.append_random(random, true, 9000).ok());
  const LogPoint end = log.writer->end();
  const std::uint64_t live = log.writer->live_bytes();
  REQUIRE(log.writer->remove_below({SegmentNumber(2), kSegmentHeaderBytes}).ok());
  CHECK(log.writer->live_bytes() < live);
  CHECK_FALSE(log.env.exists(log.path(1)).value());
  CHECK(log.env.exists(log.path(2)).value());
  REQUIRE(log.writer->remove_below({end.segment.next(), 0}).ok());
  CHECK(log.env.list(log_directory(kStore)).value() == std::vector<std::string>{segment_name(end.segment)});
  CHECK(log.writer->live_bytes() == end.offset);
}

TEST_CASE("a segment deleted below the floor is let go of: nothing of it is synced any more") {
  TestLog log(1u << 20);
  std::mt19937_64 random(1);
  REQUIRE(log.open().ok());
  for (int segment = 0; segment < 4; ++segment) {
    REQUIRE(log.append_random(random, /*is_durable=*/false, 300).ok());
    REQUIRE(log.writer->start_segment().ok());
  }
  REQUIRE(log.writer->remove_below(log.writer->end()).ok());
  const std::uint64_t syncs = log.writer->syncs();
  REQUIRE(log.writer->sync().ok());
  CHECK(log.writer->syncs() <= syncs + 1);
}

TEST_CASE("a file that is no log, a newer one, a damaged one and one of another store have their own errors") {
  TestLog log(1u << 20);
  write_three_durable(log);
  const Buffer sound = log.content(1);
  const auto error_after = [&](std::size_t offset) {
    Buffer changed = sound;
    changed[offset] ^= std::byte{0x40};
    return decode_segment_header(bytes_of(changed), "f").status();
  };
  CHECK(contains(error_after(0).message(), "not an HDB log"));
  CHECK(contains(error_after(8).message(), "damaged"));  // a flipped bit does not make a version
  SegmentHeader newer = decode_segment_header(bytes_of(sound), "f").value();
  newer.version = kSegmentVersion + 1;
  CHECK(decode_segment_header(encode_segment_header(newer), "f").status().code() == StatusCode::kUnsupported);
  CHECK(contains(error_after(40).message(), "damaged"));
  CHECK(contains(decode_segment_header(bytes_of(sound).first(100), "f").status().message(), "too few"));
  ReplayStart other = log.from_floor();
  other.store_id[0] ^= 1;
  std::vector<Logged> seen;
  CHECK(contains(log.replay_into(other, seen).status().message(), "another store"));
}

TEST_CASE("a group of another epoch than its segment's is no part of the log, though all else of it is right") {
  TestLog log(1u << 20);
  write_three_durable(log);
  ReplayStart later = log.from_floor();
  later.epoch_max = Epoch(2);
  SegmentHeader header = decode_segment_header(bytes_of(log.content(1)), "f").value();
  header.epoch = Epoch(2);  // the segment, used again by a later open
  const auto fresh = encode_segment_header(header);
  Buffer reused = log.content(1);
  std::copy(fresh.begin(), fresh.end(), reused.begin());
  log.overwrite(1, bytes_of(reused));
  std::vector<Logged> seen;
  const auto end = log.replay_into(later, seen);
  REQUIRE_MESSAGE(end.ok(), end.status().message());
  CHECK(seen.empty());
  CHECK(end->end == LogPoint{SegmentNumber(1), kSegmentHeaderBytes});
}

TEST_CASE("an unknown kind of group or group section with a good checksum is refused, not cut off") {
  TestLog log(1u << 20);
  write_three_durable(log);
  const Buffer sound = log.content(1);
  std::vector<Logged> all;
  REQUIRE(log.replay_into(log.from_floor(), all).ok());
  const LogPoint at = all[2].begin;
  GroupHeader header = load<GroupHeader>(sound.data() + at.offset);
  SUBCASE("kind") {
    header.kind = static_cast<GroupKind>(9);
  }
  SUBCASE("version") {
    header.version = 2;
  }
  SUBCASE("flags") {
    header.flags = 1;
  }
  std::vector<ByteView> batches;
  for (const Buffer& batch : all[2].batches) batches.push_back(bytes_of(batch));
  Buffer scratch;
  const auto bytes = encode_group_header(header, batches, {log_key_of(kStoreId), at}, scratch);
  Buffer changed = sound;
  std::copy(bytes.begin(), bytes.end(), changed.begin() + static_cast<std::ptrdiff_t>(at.offset));
  log.overwrite(1, bytes_of(changed));
  std::vector<Logged> seen;
  CHECK(log.replay_into(log.from_floor(), seen).status().code() == StatusCode::kUnsupported);
}

}  // namespace hdb::wal
