// What an open does with a store that lost a part of itself: it says so and deletes nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "compaction/manifest.h"
#include "engine/log_read_ahead.h"
#include "io/file_name.h"
#include "tests/support/manual_background.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"
#include "tests/support/test_store.h"
#include "tools/dump/dump.h"
#include "wal/format.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kFileBytesMax = 64u << 20;

TestStore opened(Env& env) {
  auto store = open_store(env, "store", shrunk(presets::durable()), 7);
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  return std::move(store).value();
}

void append(const TestStore& store, int events) {
  for (int event = 0; event < events; ++event)
    REQUIRE(store->append(Event{.type = "t", .payload = as_bytes("p")}).ok());
}

std::vector<std::string> files_of(Env& env) {
  std::vector<std::string> files;
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    const std::vector<std::string> names = env.list(directory).value();
    for (const std::string& name : names) files.push_back(directory + "/" + name);
  }
  return files;
}

// The files as they are now, on a disk of their own.
std::unique_ptr<MemoryEnv> copy_of(Env& env) {
  auto copy = std::make_unique<MemoryEnv>();
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    REQUIRE(copy->create_directory(directory).ok());
  }
  for (const std::string& path : files_of(env)) {
    const auto content = read_file(env, path, kFileBytesMax);
    if (content.ok()) REQUIRE(replace_file(*copy, path, bytes_of(content.value())).ok());
  }
  return copy;
}

std::string newest_manifest(Env& env) {
  std::string newest;
  const std::vector<std::string> names = env.list("store").value();
  for (const std::string& name : names) {
    if (parse_manifest_name(name)) newest = "store/" + name;
  }
  return newest;
}

// So that a flipped bit hits what was written.
void cut_prepared_space(Env& env) {
  for (const std::string& path : files_of(env)) {
    if (path.find("/wal/") == std::string::npos) continue;
    Buffer content = read_file(env, path, kFileBytesMax).value();
    while (!content.empty() && content.back() == std::byte{0}) content.pop_back();
    content.resize(wal::round_up(content.size(), 64));  // a group may end in zeros
    REQUIRE(replace_file(env, path, bytes_of(content)).ok());
  }
}

// The open fails with kCorruption naming `path`; every file is still there, and verification finds it too.
void check_refused(MemoryEnv& env, const std::string& path) {
  const std::vector<std::string> before = files_of(env);
  const auto opened = open_store(env, "store", shrunk(presets::durable()), 8);
  REQUIRE(opened.status().code() == StatusCode::kCorruption);
  CHECK_MESSAGE(opened.status().message().find(path) != std::string_view::npos, std::string(opened.status().message()));
  CHECK(opened.status().message().find("restore") != std::string_view::npos);
  const std::vector<std::string> after = files_of(env);
  for (const std::string& file : before) {
    CHECK_MESSAGE((std::find(after.begin(), after.end(), file) != after.end()), file);
  }
  const auto verified = dump::verify_store(env, "store", [](std::string_view) {});
  CHECK((!verified.ok() || verified->errors > 0));
}

// Where the log of a store that nobody has open is to be read from.
wal::ReplayStart replay_start(Env& env) {
  const compaction::ManifestState state = compaction::recover(env, "store").value().state;
  return {.store_id = state.store_id,
          .epoch_max = state.epoch,
          .floor = state.log_floor,
          .next_sequence = state.next_sequence,
          .next_position = state.position_end};
}

}  // namespace

TEST_CASE("a manifest that lost its newest edits does not make an open delete the log they spoke of") {
  for (const bool was_closed_before : {false, true}) {
    CAPTURE(was_closed_before);
    MemoryEnv env;
    {
      TestStore store = opened(env);
      if (was_closed_before) {
        append(store, 10);
        REQUIRE(store->close().ok());
        store = opened(env);
      }
      append(store, 100);
      env.crash_at(env.operations());
    }
    env.crash(1);
    const std::string manifest = newest_manifest(env);
    const Buffer whole = read_file(env, manifest, kFileBytesMax).value();
    // The last record says that the edit before it is durable, and is not synced itself: both may be gone at once.
    bool was_refused = false;
    for (std::size_t cut = 8; cut <= 160 && cut < whole.size(); cut += 8) {
      CAPTURE(cut);
      REQUIRE(replace_file(env, manifest, bytes_of(whole).first(whole.size() - cut)).ok());
      const auto verified = dump::verify_store(env, "store", [](std::string_view) {});
      REQUIRE(verified.ok());
      const std::unique_ptr<MemoryEnv> tried = copy_of(env);
      if (verified->errors == 0) {
        CHECK(opened(*tried)->stats().events == (was_closed_before ? 110 : 100));
      } else {
        check_refused(*tried, "");
        was_refused = true;
      }
    }
    CHECK(was_refused);
    REQUIRE(replace_file(env, manifest, bytes_of(whole)).ok());
    const TestStore store = opened(env);
    CHECK(store->stats().events == (was_closed_before ? 110 : 100));
  }
}

TEST_CASE("what was replayed and not flushed yet is there again after any number of power losses") {
  MemoryEnv env;
  for (int opens = 0; opens < 4; ++opens) {
    CAPTURE(opens);
    {
      const TestStore store = opened(env);
      CHECK(store->stats().events == static_cast<std::uint64_t>(10 * opens));
      append(store, 10);
      CHECK(store->stats().flushes == 0);
      env.crash_at(env.operations());
    }
    env.crash(static_cast<std::uint64_t>(opens));
  }
}

TEST_CASE("an open that misreads finds all there is, or fails and has changed nothing: the next one finds it") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  const std::size_t rounds = scaled(12);
  std::size_t refused = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const auto killed_store = [round, seed](MemoryEnv& env) {
      {
        const TestStore store = opened(env);
        for (int flush = 0; flush < 2; ++flush) {
          append(store, 10);
          REQUIRE(store->flush().ok());
        }
        append(store, 10);
        env.crash_at(env.operations());
      }
      env.crash(seed + round);
      cut_prepared_space(env);
    };
    std::uint64_t end = 1;
    for (std::uint64_t number = 0; number < end; ++number) {
      MemoryEnv env;
      killed_store(env);
      if (number == 0) {
        const std::unique_ptr<MemoryEnv> healthy = copy_of(env);
        const std::uint64_t before = healthy->reads();
        opened(*healthy);
        end = healthy->reads() - before;
      }
      CAPTURE(round);
      CAPTURE(number);
      const ReadFault fault = round % 2 == 0 ? ReadFault::kFlippedBit : ReadFault::kStale;
      env.damage_read(env.reads() + number, fault, seed + number);
      {
        const auto once = open_store(env, "store", shrunk(presets::durable()), 8);
        if (once.ok()) {
          CHECK((*once)->stats().events == 30);
          continue;
        }
        ++refused;
        CAPTURE(once.status().message());
        CHECK(opened(env)->stats().events == 30);
      }
    }
    CHECK(end > 4);
  }
  CHECK(refused >= rounds);
}

TEST_CASE("a manifest that lost its newest keyspaces does not give their numbers, and what they hold, to others") {
  for (const bool is_flushed : {false, true}) {
    CAPTURE(is_flushed);
    MemoryEnv env;
    {
      const TestStore store = opened(env);
      for (const std::string name : {"a", "b", "c"}) {
        REQUIRE(store->put(store->keyspace(name).value(), as_bytes("key"), as_bytes("value of " + name)).ok());
      }
      if (is_flushed) REQUIRE(store->flush().ok());
      env.crash_at(env.operations());
    }
    env.crash(1);
    const std::string manifest = newest_manifest(env);
    const Buffer whole = read_file(env, manifest, kFileBytesMax).value();
    int refused = 0;
    for (std::size_t cut = 8; cut < whole.size(); cut += 8) {
      CAPTURE(cut);
      REQUIRE(replace_file(env, manifest, bytes_of(whole).first(whole.size() - cut)).ok());
      const std::unique_ptr<MemoryEnv> tried = copy_of(env);
      auto store = open_store(*tried, "store", shrunk(presets::durable()), 8);
      if (!store.ok()) {
        ++refused;
        const auto verified = dump::verify_store(env, "store", [](std::string_view) {});
        CHECK((!verified.ok() || verified->errors > 0));
        continue;
      }
      CHECK((*store)->keyspaces().size() == 3);
      for (const auto& [name, keyspace] : (*store)->keyspaces()) {
        const auto value = (*store)->get(keyspace, as_bytes("key")).value();
        REQUIRE(value.has_value());
        CHECK(as_text(value->bytes()) == "value of " + name);
      }
    }
    CHECK(refused > 20);
  }
}

TEST_CASE("an open that a misread made fail after it flushed a part of the log has lost nothing") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  constexpr int kEvents = 150;
  const std::string payload(2000, 'p');
  // The log is replayed by a store whose memtable takes about a fifth of it.
  Options large = shrunk(presets::durable());
  large.memtable_bytes = 1u << 20;
  const auto check_whole = [&](Env& env) {
    const TestStore store = opened(env);
    REQUIRE(store->stats().events == kEvents);
    std::size_t wrong = 0;
    for (Position position = 10; position < kEvents; ++position) {
      const auto event = store->get(position);
      REQUIRE_MESSAGE(event.ok(), event.status().message());
      const bool is_there = event.value() && event.value()->type() == std::to_string(position);
      wrong += !is_there || as_text(event.value()->payload()) != payload;
    }
    CHECK(wrong == 0);
  };
  MemoryEnv killed;
  {
    const auto store = open_store(killed, "store", large, 7);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    append(*store, 10);
    REQUIRE((*store)->flush().ok());
    for (int event = 10; event < kEvents; ++event) {
      const std::string type = std::to_string(event);
      REQUIRE((*store)->append(Event{.type = type, .payload = as_bytes(payload)}).ok());
    }
    CHECK((*store)->stats().flushes == 1);
    killed.crash_at(killed.operations());
  }
  killed.crash(seed);
  std::uint64_t end = 0;
  {
    const std::unique_ptr<MemoryEnv> healthy = copy_of(killed);
    const std::uint64_t before = healthy->reads();
    const TestStore store = opened(*healthy);
    end = healthy->reads() - before;
    CHECK(store->stats().flushes >= 3);
  }
  std::size_t refused = 0;
  std::size_t refused_with_a_new_manifest = 0;
  const std::size_t rounds = scaled(6);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    for (std::uint64_t number = 0; number < end; ++number) {
      const ReadFault fault = round % 3 == 0 ? ReadFault::kShort : ReadFault::kFlippedBit;
      const std::unique_ptr<MemoryEnv> env = copy_of(killed);
      const std::string manifest = newest_manifest(*env);
      env->damage_read(env->reads() + number, fault, seed + round * end + number);
      const auto once = open_store(*env, "store", shrunk(presets::durable()), 8);
      if (once.ok()) continue;
      ++refused;
      if (newest_manifest(*env) != manifest) ++refused_with_a_new_manifest;
      CAPTURE(round);
      CAPTURE(number);
      CAPTURE(once.status().message());
      check_whole(*env);
    }
  }
  CHECK(refused > refused_with_a_new_manifest);
  CHECK(refused_with_a_new_manifest > 0);
}

TEST_CASE("a log that lost the segments of the last open is refused") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    append(store, 50);
    env.crash_at(env.operations());
  }
  env.crash(1);
  {
    const TestStore store = opened(env);
    append(store, 50);
    store.clock->advance(std::chrono::seconds(1));
    store.background->run_timers();
    env.crash_at(env.operations());
  }
  env.crash(2);
  const std::vector<std::string> segments = env.list("store/wal").value();
  REQUIRE(segments.size() == 2);
  REQUIRE(env.remove("store/wal/" + segments[1]).ok());
  check_refused(env, "store/wal");
}

TEST_CASE("log segments under each other's names are refused") {
  MemoryEnv env;
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    {
      const TestStore store = opened(env);
      append(store, 50);
      store.clock->advance(std::chrono::seconds(1));
      store.background->run_timers();
      env.crash_at(env.operations());
    }
    env.crash(seed);
  }
  const std::vector<std::string> segments = env.list("store/wal").value();
  REQUIRE(segments.size() == 2);
  REQUIRE(env.rename("store/wal/" + segments[0], "store/wal/aside").ok());
  REQUIRE(env.rename("store/wal/" + segments[1], "store/wal/" + segments[0]).ok());
  REQUIRE(env.rename("store/wal/aside", "store/wal/" + segments[1]).ok());
  check_refused(env, "store/wal");
}

TEST_CASE("a store without its folder of logs or of tables is refused, and the folder is not made anew") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    append(store, 50);
    REQUIRE(store->close().ok());
  }
  for (const std::string missing : {"store/wal", "store/sstables"}) {
    MemoryEnv without;
    for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
      if (directory != missing) REQUIRE(without.create_directory(directory).ok());
    }
    for (const std::string& path : files_of(env)) {
      const auto content = read_file(env, path, kFileBytesMax);
      if (content.ok() && !path.starts_with(missing)) REQUIRE(replace_file(without, path, bytes_of(*content)).ok());
    }
    const Status refused = open_store(without, "store", shrunk(presets::durable()), 8).status();
    CHECK(refused.code() == StatusCode::kCorruption);
    CHECK_MESSAGE(refused.message().find(missing + ": is missing") != std::string_view::npos,
                  std::string(refused.message()));
    CHECK(without.list(missing).status().code() == StatusCode::kNotFound);
  }
}

TEST_CASE("a missing or shortened table is found by the open, before anything is deleted for the manifest's sake") {
  for (const bool is_cut : {false, true}) {
    CAPTURE(is_cut);
    MemoryEnv env;
    {
      const TestStore store = opened(env);
      append(store, 50);
      REQUIRE(store->flush().ok());
      append(store, 50);
      REQUIRE(store->close().ok());
    }
    const std::vector<std::string> tables = env.list("store/sstables").value();
    REQUIRE(tables.size() == 2);
    const std::string lost = "store/sstables/" + tables[0];
    const Buffer whole = read_file(env, lost, kFileBytesMax).value();
    // What is no table of the manifest may be all that is left of the data.
    REQUIRE(replace_file(env, table_path("store", FileNumber(1)), bytes_of(whole)).ok());
    if (is_cut) {
      REQUIRE(replace_file(env, lost, bytes_of(whole).first(whole.size() / 2)).ok());
    } else {
      REQUIRE(env.remove(lost).ok());
    }
    check_refused(env, lost);
    REQUIRE(replace_file(env, lost, bytes_of(whole)).ok());
    CHECK(opened(env)->stats().events == 100);
    CHECK(!env.exists(table_path("store", FileNumber(1))).value());
  }
}

TEST_CASE("log groups of many batches, small and large, come back whole") {
  MemoryEnv env;
  constexpr int kThreads = 8;
  constexpr int kAppendsMin = 50;
  constexpr int kAppendsMax = 20'000;          // of each thread: some group takes others along long before
  constexpr std::size_t kLargeBytes = 70'000;  // a batch of its own block
  std::atomic<std::uint64_t> appended{0};
  std::atomic<std::uint64_t> appended_bytes{0};
  {
    auto opened =
        Store::open("store", presets::durable(), OpenMode::kOpenOrCreate, {},
                    Platform{.env = &env, .clock = &system_clock(), .background = thread_background(1), .seed = 1});
    REQUIRE(opened.ok());
    const std::shared_ptr<Store> store = std::move(opened).value();
    std::atomic<bool> is_shared{false};  // some log group holds more than one append
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        for (int append = 0; append < kAppendsMin || (append < kAppendsMax && !is_shared); ++append) {
          const std::string payload(append % 10 == 5 ? kLargeBytes : 1, 'p');
          const Event event{.type = "t", .payload = as_bytes(payload)};
          if (store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = {}}).ok()) {
            ++appended;
            appended_bytes += payload.size();
          }
          if (append % kAppendsMin == 0) is_shared = store->stats().log_groups + kThreads < appended;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(store->stats().log_groups < appended);
    env.crash_at(env.operations());
  }
  env.crash(1);
  const TestStore store = opened(env);
  CHECK(store->stats().events == appended);
  std::size_t missing = 0;
  std::uint64_t found_bytes = 0;
  for (Position position = 0; position < appended; ++position) {
    const auto found = store->get(position);
    REQUIRE(found.ok());
    if (!found.value()) {
      ++missing;
    } else {
      found_bytes += found.value()->payload().size();
    }
  }
  CHECK(missing == 0);
  CHECK(found_bytes == appended_bytes);
}

TEST_CASE("a log that is read ahead gives the groups and the error that it gives otherwise, in bounded memory") {
  constexpr std::uint64_t kGroups = 100;
  constexpr std::size_t kPayloadBytes = 300'000;
  constexpr std::uint64_t kAheadMax = (8u << 20) / kPayloadBytes + 2;  // groups, by the class's own comment
  MemoryEnv env;
  {
    Options options = presets::durable();
    options.memtable_bytes = 2 * kGroups * kPayloadBytes;
    const auto store = open_store(env, "store", options, 7);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    const std::string payload(kPayloadBytes, 'p');
    for (std::uint64_t group = 0; group < kGroups; ++group) {
      REQUIRE((*store)->append(Event{.type = "t", .payload = as_bytes(payload)}).ok());
    }
    env.crash_at(env.operations());
  }
  env.crash(1);
  const wal::ReplayStart start = replay_start(env);
  for (const bool is_damaged : {false, true}) {
    CAPTURE(is_damaged);
    std::vector<LogPoint> ends;
    const auto note_end = [&ends](const wal::Group& group) {
      ends.push_back(group.end);
      return Status();
    };
    if (is_damaged) {
      REQUIRE(wal::replay(env, "store", start, note_end).ok());
      REQUIRE(ends.size() == kGroups);
      const LogPoint half = ends[kGroups / 2];
      const std::string path = segment_path("store", half.segment);
      Buffer log = read_file(env, path, kFileBytesMax).value();
      log[half.offset - 100] ^= std::byte{1};
      REQUIRE(replace_file(env, path, bytes_of(log)).ok());
      ends.clear();
    }
    const Status expected = wal::replay(env, "store", start, note_end).status();
    REQUIRE(expected.ok() != is_damaged);
    for (const bool has_threads : {false, true}) {
      CAPTURE(has_threads);
      const std::unique_ptr<Background> background =
          has_threads ? thread_background(1) : std::make_unique<ManualBackground>(7);
      BatchMemory memory(0);
      wal::GroupReader reader(env, "store", start, memory);
      LogReadAhead ahead(*background, reader);
      std::size_t given = 0;
      std::uint64_t ahead_max = 0;
      Result<std::optional<wal::Group>> group = ahead.next();
      for (; group.ok() && group.value(); group = ahead.next()) {
        REQUIRE(given < ends.size());
        CHECK((*group)->end == ends[given++]);
        if (!has_threads) ahead_max = std::max(ahead_max, reader.end().groups - given);
      }
      CHECK(given == ends.size());
      CHECK(group.status().message() == expected.message());
      if (!has_threads) CHECK(ahead_max > 0);
      CHECK(ahead_max <= kAheadMax);
    }
  }
}

TEST_CASE("who stops in the middle of a log that is read ahead finds its reader behind the groups that were read") {
  MemoryEnv env;
  {
    const auto store = open_store(env, "store", presets::durable(), 7);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    append(*store, 50);
    env.crash_at(env.operations());
  }
  env.crash(1);
  const wal::ReplayStart start = replay_start(env);
  const std::unique_ptr<Background> background = thread_background(1);
  BatchMemory memory(0);
  {
    wal::GroupReader untouched(env, "store", start, memory);
    { const LogReadAhead nothing_taken(*background, untouched); }
    CHECK(untouched.next().value()->first_position == 0);
  }
  wal::GroupReader reader(env, "store", start, memory);
  {
    LogReadAhead ahead(*background, reader);
    CHECK(ahead.next().value()->first_position == 0);
  }
  const std::uint64_t read = reader.end().groups;
  CHECK(read > 0);
  std::uint64_t left = 0;
  while (reader.next().value()) ++left;
  CHECK(read + left == 50);
}

}  // namespace hdb::test
