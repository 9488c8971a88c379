// The log gives back exactly what was promised: every durable group after any crash, never one that was not written.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "base/batch.h"
#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_log.h"
#include "tests/support/test_run.h"
#include "wal/format.h"
#include "wal/reader.h"
#include "wal/writer.h"

namespace hdb::wal {

using hdb::test::Fault;
using hdb::test::MemoryEnv;
using hdb::test::test_seed;

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

TEST_CASE("a group larger than a segment gets one to its size") {
  std::mt19937_64 random(19);
  TestLog log(8192);
  REQUIRE(log.open().ok());
  REQUIRE(log.append_random(random, true, 100).ok());
  const std::string payload(300000, 'x');
  Event event;
  event.type = "raw";
  event.payload = as_bytes(payload);
  const EncodedBatch batch = encode_batch({&event, 1}, {}, {});
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

}  // namespace hdb::wal
