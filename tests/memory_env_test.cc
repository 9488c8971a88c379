// The simulated disk itself: each fault it can inject does what it says, counts, and repeats with its seed. What it may
// do in a crash is in io_test.cc.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kSectorBytes = 512;

Buffer filled(std::size_t size, int value) {
  return Buffer(size, static_cast<std::byte>(value));
}

void write_whole(Env& env, const std::string& path, ByteView content) {
  const auto file = env.create(path);
  REQUIRE(file.ok());
  REQUIRE(file.value()->append({&content, 1}).ok());
  REQUIRE(file.value()->sync().ok());
  REQUIRE(env.sync_directory(".").ok());
}

// A log with 8 sectors of ones, durable, of which the second and third were then written over with twos.
std::unique_ptr<LogFile> twice_written_log(MemoryEnv& env) {
  auto log = env.create_log("log").value();
  REQUIRE(log->prepare(8 * kSectorBytes).ok());
  const Buffer ones = filled(8 * kSectorBytes, 1);
  const Buffer twos = filled(2 * kSectorBytes, 2);
  const ByteView first = ones;
  const ByteView second = twos;
  REQUIRE(log->wait(log->submit(0, {&first, 1}, true).value()).ok());
  REQUIRE(log->wait(log->submit(kSectorBytes, {&second, 1}, true).value()).ok());
  return log;
}

// What a read of the whole file gives under the fault.
Buffer read_under(MemoryEnv& env, const std::string& path, ReadFault fault, std::uint64_t seed, bool stays = false) {
  const auto file = env.open(path).value();
  Buffer found(file->size_bytes());
  env.damage_read(env.reads(), fault, seed, stays);
  REQUIRE(file->read(0, found).ok());
  return found;
}

std::size_t differences(ByteView a, ByteView b) {
  std::size_t count = 0;
  for (std::size_t index = 0; index < a.size(); ++index) count += a[index] != b[index] ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("a short read is an error of a file that ends inside the bytes asked for, and only that read") {
  MemoryEnv env;
  write_whole(env, "file", filled(1000, 7));
  const auto file = env.open("file").value();
  Buffer found(1000);
  env.damage_read(env.reads(), ReadFault::kShort, 3);
  const Status status = file->read(0, found);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(status.message().find("file: ends at byte ") != std::string_view::npos);
  REQUIRE(file->read(0, found).ok());
  CHECK(found == filled(1000, 7));
  CHECK(env.faults_injected(Fault::kShortRead) == 1);
}

TEST_CASE("a flipped bit is one bit, of that read or from then on; the same seed flips the same") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    MemoryEnv env;
    const Buffer sound = filled(3000, 0);
    write_whole(env, "file", sound);
    const bool stays = seed % 2 == 0;
    const Buffer found = read_under(env, "file", ReadFault::kFlippedBit, seed, stays);
    CHECK(differences(found, sound) == 1);
    CHECK(read_file(env, "file", 3000).value() == (stays ? found : sound));
    MemoryEnv again;
    write_whole(again, "file", sound);
    CHECK(read_under(again, "file", ReadFault::kFlippedBit, seed) == found);
    CHECK(again.faults_injected(Fault::kFlippedBit) == 1);
  }
}

TEST_CASE("a stale block is what was there before the last write, of all of a read or of one sector") {
  std::set<std::size_t> sizes;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    MemoryEnv env;
    const auto log = twice_written_log(env);
    const Buffer sound = read_file(env, "log", 1u << 20).value();
    const Buffer found = read_under(env, "log", ReadFault::kStale, seed);
    // Before the second write there were ones, before the first one zeros.
    for (std::size_t at = 0; at < found.size(); ++at) {
      const bool is_twice = at / kSectorBytes == 1 || at / kSectorBytes == 2;
      REQUIRE((found[at] == sound[at] || found[at] == (is_twice ? std::byte{1} : std::byte{0})));
    }
    sizes.insert(differences(found, sound));
    CHECK(env.faults_injected(Fault::kStaleBlock) == 1);
  }
  CHECK(sizes == std::set<std::size_t>{kSectorBytes, 8 * kSectorBytes});
}

TEST_CASE("a misdirected block is bytes of another place or of another file") {
  std::size_t of_other = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    MemoryEnv env;
    Buffer sound;
    for (int sector = 0; sector < 8; ++sector) append(sound, filled(kSectorBytes, 10 + sector));
    write_whole(env, "file", sound);
    write_whole(env, "other", filled(8 * kSectorBytes, 99));
    const Buffer found = read_under(env, "file", ReadFault::kMisdirected, seed);
    CHECK(env.faults_injected(Fault::kMisdirectedBlock) == (found == sound ? 0 : 1));
    of_other += std::count(found.begin(), found.end(), std::byte{99}) > 0 ? 1 : 0;
  }
  CHECK(of_other > 5);
  CHECK(of_other < 50);
}

TEST_CASE("a stale block where nothing was ever changed is no fault") {
  MemoryEnv env;
  const auto log = env.create_log("log").value();
  REQUIRE(log->prepare(4096).ok());
  CHECK(read_under(env, "log", ReadFault::kStale, 1) == filled(4096, 0));
  CHECK(env.faults_injected(Fault::kStaleBlock) == 0);
}

TEST_CASE("a failed completion has written some sectors, none of them durable; a short one what it says") {
  std::set<std::size_t> parts;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    auto log = twice_written_log(env);
    REQUIRE(env.sync_directory(".").ok());
    const Buffer threes = filled(8 * kSectorBytes, 3);
    const ByteView piece = threes;
    const bool is_short = seed % 2 == 0;
    env.fail_submission(env.submissions(), is_short ? LogFault::kShort : LogFault::kFailed, seed);
    const auto written = log->wait(log->submit(0, {&piece, 1}, true).value());
    CHECK(written.ok() == is_short);
    const Buffer now = read_file(env, "log", 1u << 20).value();
    const auto threes_now = static_cast<std::size_t>(std::count(now.begin(), now.end(), std::byte{3}));
    parts.insert(threes_now);
    if (is_short) {
      CHECK(written.value() == threes_now);
      CHECK(env.faults_injected(Fault::kShortCompletion) == 1);
    } else {
      CHECK(threes_now % kSectorBytes == 0);
      CHECK(env.faults_injected(Fault::kFailedCompletion) == 1);
    }
    REQUIRE(log->sync().ok());  // does not make good what was lost
    env.crash(seed);
    const Buffer later = read_file(env, "log", 1u << 20).value();
    CHECK(std::count(later.begin(), later.end(), std::byte{3}) == (is_short ? static_cast<long>(threes_now) : 0));
  }
  CHECK(parts.size() > 10);
}

TEST_CASE("a later write to a log may be durable before an earlier one") {
  std::size_t reordered = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    const auto log = env.create_log("log").value();
    REQUIRE(log->prepare(3 * kSectorBytes).ok());
    REQUIRE(log->sync().ok());
    REQUIRE(env.sync_directory(".").ok());
    env.reorder_completions(seed);
    std::vector<Buffer> contents;
    std::vector<LogFile::Ticket> tickets;
    for (int write = 0; write < 3; ++write) contents.push_back(filled(kSectorBytes, write + 1));
    for (std::size_t write = 0; write < 3; ++write) {
      const ByteView piece = contents[write];
      tickets.push_back(log->submit(write * kSectorBytes, {&piece, 1}, true).value());
    }
    REQUIRE(log->wait(tickets[1]).ok());
    env.crash(seed);
    const Buffer kept = read_file(env, "log", 1u << 20).value();
    REQUIRE(kept.size() == 3 * kSectorBytes);
    CHECK(kept[kSectorBytes] == std::byte{2});  // waited for
    reordered += kept[0] == std::byte{0} && kept[2 * kSectorBytes] == std::byte{3} ? 1 : 0;
    if (env.faults_injected(Fault::kReorderedCompletion) == 2) CHECK(kept[0] == std::byte{1});
  }
  CHECK(reordered > 3);
}

TEST_CASE("delays let other threads go first, and change nothing else") {
  MemoryEnv env;
  env.delay(test_seed(), 3);
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&env, &failed, thread] {
      const std::string path = "file" + std::to_string(thread);
      const Buffer content = filled(700, thread);
      for (int round = 0; round < 20; ++round) {
        if (!replace_file(env, path, content).ok()) ++failed;
        const auto found = read_file(env, path, 1000);
        if (!found.ok() || found.value() != content) ++failed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failed == 0);
  CHECK(env.faults_injected(Fault::kDelay) > 50);
}

}  // namespace hdb::test
