// A log that is torn, damaged, mixed up or not one at all: what was not durable is cut off as a torn tail, and where
// durable bytes are gone there is an error naming file and offset.
#include <doctest/doctest.h>

#include <algorithm>
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
using hdb::test::ReadFault;
using hdb::test::test_seed;

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
