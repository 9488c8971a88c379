// The simulated disk itself: what it may do in a crash; and each fault it can inject does what it says, counts, and
// repeats with its seed.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/file_contents.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kSectorBytes = 512;

Buffer filled(std::size_t size, int value) {
  return Buffer(size, static_cast<std::byte>(value));
}

void write_durably(Env& env, const std::string& path, ByteView content) {
  write_whole(env, path, content);
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

TEST_CASE("a crash keeps what was synced, and of the rest whole sectors of old or new") {
  std::set<std::string> outcomes;
  std::set<std::uint64_t> sizes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    const std::string path = "log";
    const auto log = env.create_log(path);
    REQUIRE(log.ok());
    REQUIRE(log.value()->prepare(4096).ok());
    const Buffer synced = pattern(1000, 1), unsynced = pattern(3000, 2);
    REQUIRE(write_log(*log.value(), 0, synced, false).ok());
    REQUIRE(log.value()->sync().ok());
    REQUIRE(env.sync_directory(".").ok());
    REQUIRE(write_log(*log.value(), 1024, unsynced, false).ok());
    REQUIRE(log.value()->prepare(16384).ok());
    env.crash(seed);

    const Buffer content = read_file(env, path, 1u << 20).value();
    REQUIRE(content.size() >= 4096);
    REQUIRE(content.size() <= 16384);
    sizes.insert(content.size());
    CHECK(equal_bytes(ByteView(content).first(1000), synced));
    std::string outcome;
    Buffer written(16384);
    std::copy(unsynced.begin(), unsynced.end(), written.begin() + 1024);
    const Buffer zeros(512);
    for (std::size_t at = 1024; at < 4096; at += 512) {
      const ByteView sector = ByteView(content).subspan(at, 512);
      const bool is_new = equal_bytes(sector, ByteView(written).subspan(at, 512));
      CHECK((is_new || equal_bytes(sector, zeros)));
      outcome += is_new ? 'n' : 'o';
    }
    outcomes.insert(outcome);
  }
  CHECK(outcomes.size() > 32);  // of 64
  CHECK(sizes.contains(4096));
  CHECK(sizes.contains(16384));
  CHECK(sizes.size() > 10);
}

TEST_CASE("a durable write is so alone; what was written before it may be lost") {
  bool was_lost = false, was_kept = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    const auto log = env.create_log("log");
    REQUIRE(log.ok());
    REQUIRE(log.value()->prepare(4096).ok());
    REQUIRE(env.sync_directory(".").ok());
    const Buffer first = pattern(512, 1), second = pattern(512, 2);
    REQUIRE(write_log(*log.value(), 0, first, false).ok());
    REQUIRE(write_log(*log.value(), 512, second, true).ok());
    env.crash(seed);
    const Buffer content = read_file(env, "log", 4096).value();
    REQUIRE(content.size() >= 1024);
    CHECK(equal_bytes(ByteView(content).subspan(512, 512), second));
    (equal_bytes(ByteView(content).first(512), first) ? was_kept : was_lost) = true;
  }
  CHECK(was_lost);
  CHECK(was_kept);
}

TEST_CASE("a failed sync loses what it should have kept, even if a later one succeeds") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    const auto log = env.create_log("log");
    REQUIRE(log.ok());
    REQUIRE(log.value()->prepare(1024).ok());
    REQUIRE(log.value()->sync().ok());
    REQUIRE(env.sync_directory(".").ok());
    const Buffer bytes = pattern(1024, 1);
    REQUIRE(write_log(*log.value(), 0, bytes, false).ok());
    env.fail_at(env.operations());
    CHECK(log.value()->sync().code() == StatusCode::kIoError);
    REQUIRE(write_log(*log.value(), 512, ByteView(bytes).first(512), false).ok());
    CHECK(log.value()->sync().ok());
    env.crash(seed);
    const Buffer content = read_file(env, "log", 1024).value();
    CHECK(equal_bytes(ByteView(content).first(512), Buffer(512)));
    CHECK(equal_bytes(ByteView(content).subspan(512), ByteView(bytes).first(512)));  // written again
  }
}

TEST_CASE("a truncation survives a crash as a whole or not at all, and once synced for good") {
  std::set<std::size_t> sizes;
  const Buffer bytes = pattern(4000, 1);
  for (const bool is_synced : {false, true}) {
    for (std::uint64_t seed = 0; seed < 50; ++seed) {
      CAPTURE(seed);
      MemoryEnv env;
      write_whole(env, "log", bytes);
      REQUIRE(env.sync_directory(".").ok());
      const auto log = env.open_log("log");
      REQUIRE(log.ok());
      REQUIRE(log.value()->truncate(1024).ok());
      if (is_synced) REQUIRE(log.value()->sync().ok());
      env.crash(seed);
      const Buffer content = read_file(env, "log", 4000).value();
      CHECK(equal_bytes(content, ByteView(bytes).first(content.size())));
      if (is_synced) {
        CHECK(content.size() == 1024);
      } else {
        sizes.insert(content.size());
      }
    }
  }
  CHECK(sizes.contains(1024));
  CHECK(sizes.contains(4000));
}

TEST_CASE("a crash keeps or undoes each unsynced create, rename and remove, and no synced one") {
  std::set<std::vector<std::string>> outcomes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    write_whole(env, "kept", as_bytes("kept"));
    write_whole(env, "renamed", as_bytes("renamed"));
    write_whole(env, "removed", as_bytes("removed"));
    REQUIRE(env.sync_directory(".").ok());
    write_whole(env, "created", as_bytes("created"));
    REQUIRE(env.rename("renamed", "renamed2").ok());
    REQUIRE(env.remove("removed").ok());
    env.crash(seed);
    const std::vector<std::string> names = env.list(".").value();
    outcomes.insert(names);
    std::size_t kept = 0, renamed = 0;
    for (const std::string& name : names) {
      kept += name == "kept" ? 1 : 0;
      renamed += name.starts_with("renamed") ? 1 : 0;
      CHECK(text_of(env, name).substr(0, 7) == std::string_view(name).substr(0, 7));  // synced before the crash
    }
    CHECK(kept == 1);
    CHECK(renamed == 1);  // never both names, never none
  }
  CHECK(outcomes.size() == 8);
}

TEST_CASE("after a crash old handles only fail, locks are free and faults are over") {
  MemoryEnv env;
  write_whole(env, "file", as_bytes("x"));
  REQUIRE(env.sync_directory(".").ok());
  auto held = env.lock("LOCK");
  REQUIRE(held.ok());
  const auto reader = env.open("file");
  const auto writer = env.create("new");
  const auto log = env.create_log("log");
  REQUIRE(reader.ok());
  REQUIRE(writer.ok());
  REQUIRE(log.ok());
  env.crash_at(env.operations());
  CHECK_FALSE(env.exists("file").ok());
  CHECK_FALSE(writer.value()->sync().ok());
  env.crash(1);
  Buffer byte(1);
  const ByteView piece = byte;
  CHECK(reader.value()->read(0, byte).code() == StatusCode::kIoError);
  CHECK(writer.value()->append({&piece, 1}).code() == StatusCode::kIoError);
  CHECK(writer.value()->sync().code() == StatusCode::kIoError);
  CHECK(log.value()->prepare(10).status().code() == StatusCode::kIoError);
  const auto second = env.lock("LOCK");
  CHECK(second.ok());
  std::move(held).value().reset();  // the lock of the dead machine: frees nothing
  CHECK(env.lock("LOCK").status().code() == StatusCode::kBusy);
  CHECK(text_of(env, "file") == "x");
}

TEST_CASE("every operation can be made to fail, by its number") {
  const auto work = [](MemoryEnv& env) -> Status {
    HDB_TRY(env.create_directory("store"));
    HDB_TRY(replace_file(env, "store/file", as_bytes("content")));
    const Buffer content = HDB_TRY(read_file(env, "store/file", 100));
    const std::unique_ptr<LogFile> log = HDB_TRY(env.create_log("store/log"));
    HDB_TRY(log->prepare(100));
    HDB_TRY(write_log(*log, 0, content, true));
    HDB_TRY(log->truncate(7));
    HDB_TRY(log->close());
    HDB_TRY(env.list("store"));
    const std::unique_ptr<FileLock> lock = HDB_TRY(env.lock("store/LOCK"));
    return env.remove("store/log");
  };
  MemoryEnv healthy;
  REQUIRE(work(healthy).ok());
  const std::uint64_t operations = healthy.operations();
  CHECK(operations >= 18);
  for (std::uint64_t number = 0; number < operations; ++number) {
    CAPTURE(number);
    MemoryEnv env;
    env.fail_at(number, Status::error(StatusCode::kNoSpace, "injected"));
    const Status status = work(env);
    CHECK(status.code() == StatusCode::kNoSpace);
    MemoryEnv full;
    full.fail_from(number);
    CHECK(work(full).code() == StatusCode::kIoError);
    full.heal();
    CHECK(full.list(".").ok());
  }
}

TEST_CASE("a full disk refuses log space and leaves the file as it was, until there is space") {
  MemoryEnv env;
  env.limit_bytes(10'000);
  const auto log = env.create_log("log");
  REQUIRE(log.ok());
  REQUIRE(log.value()->prepare(8000).ok());
  CHECK(log.value()->prepare(10'001).status().code() == StatusCode::kNoSpace);
  CHECK(env.file_bytes("log").value() == 8000);
  CHECK(env.bytes_used() == 8000);
  CHECK(write_log(*log.value(), 7000, pattern(1000, 1), true).ok());
  const auto file = env.create("file");
  REQUIRE(file.ok());
  const Buffer bytes = pattern(3000, 1);
  const ByteView piece = bytes;
  CHECK(file.value()->append({&piece, 1}).code() == StatusCode::kNoSpace);
  REQUIRE(env.remove("file").ok());
  CHECK(log.value()->prepare(10'000).value() == 2000);
  env.limit_bytes(20'000);
  CHECK(log.value()->prepare(20'000).value() == 10'000);
}

TEST_CASE("a short read is an error of a file that ends inside the bytes asked for, and only that read") {
  MemoryEnv env;
  write_durably(env, "file", filled(1000, 7));
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
    write_durably(env, "file", sound);
    const bool stays = seed % 2 == 0;
    const Buffer found = read_under(env, "file", ReadFault::kFlippedBit, seed, stays);
    CHECK(differences(found, sound) == 1);
    CHECK(read_file(env, "file", 3000).value() == (stays ? found : sound));
    MemoryEnv again;
    write_durably(again, "file", sound);
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
    write_durably(env, "file", sound);
    write_durably(env, "other", filled(8 * kSectorBytes, 99));
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
