// What parts of one task in several threads promise, and the flush that is written so.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/side_by_side.h"
#include "io/file_name.h"
#include "sstable/table_reader.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

using Parts = std::vector<std::function<Status()>>;

constexpr auto kFlush = Background::Priority::kFlush;

Status failed(std::size_t part) {
  return Status::error(StatusCode::kIoError, "part " + std::to_string(part));
}

// Nothing is merged, and memtables are sealed by their size alone.
Options options_of_flushes() {
  Options options = shrunk(presets::durable());
  options.table_bytes_target = 1u << 30;
  options.event_merge_width = 64;
  options.level0_compaction_trigger = 64;
  options.level0_stop_trigger = 1024;
  options.log_bytes_max = 64u << 20;
  return options;
}

// Appends events of a KiB until the memtable has so many bytes. Each says which it is.
void append_events(const TestStore& store, std::uint64_t bytes) {
  const std::string payload(1024, 'p');
  while (store->stats().memtable_bytes < bytes) {
    const std::string type = "event " + std::to_string(store->stats().events);
    REQUIRE(store->append(Event{.type = type, .payload = as_bytes(payload)}).ok());
  }
}

void check_events(const TestStore& store, std::uint64_t events) {
  REQUIRE(store->stats().events == events);
  for (Position position = 0; position < events; ++position) {
    CHECK(store->get(position).value()->type() == "event " + std::to_string(position));
  }
}

}  // namespace

TEST_CASE("parts run at once where a thread is free, and in the caller where none is") {
  const auto background = thread_background(1);
  std::atomic<int> arrived{0};
  const auto meet = [&arrived]() -> Status {
    ++arrived;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (arrived < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return arrived == 2 ? Status() : Status::error(StatusCode::kBusy, "nobody came");
  };
  CHECK(run_side_by_side(*background, kFlush, {meet, meet}).ok());

  ManualBackground nobody(1);
  std::vector<std::size_t> ran;
  Parts parts;
  for (std::size_t part = 0; part < 5; ++part) {
    parts.emplace_back([&ran, part]() -> Status {
      ran.push_back(part);
      return {};
    });
  }
  CHECK(run_side_by_side(nobody, kFlush, parts).ok());
  CHECK(ran == std::vector<std::size_t>{0, 1, 2, 3, 4});
  nobody.run_tasks();  // those that came too late
  CHECK(ran.size() == 5);
  CHECK(run_side_by_side(nobody, kFlush, {}).ok());
}

TEST_CASE("the first part in order that failed is told, none begins after a failure, and none runs on after the call") {
  const auto background = thread_background(1);
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    const std::size_t count = 1 + random() % 6;
    const std::uint64_t fails = random();
    const bool is_thrown = random() % 4 == 0;
    std::vector<std::atomic<int>> ran(count);
    std::atomic<int> begun{0}, ended{0};
    Parts parts;
    for (std::size_t part = 0; part < count; ++part) {
      parts.emplace_back([&, part]() -> Status {
        ++begun;
        ++ran[part];
        for (int pause = 0; pause < 20; ++pause) std::this_thread::yield();
        ++ended;
        if (((fails >> part) & 1) == 0) return {};
        if (is_thrown) throw std::bad_alloc();
        return failed(part);
      });
    }
    const Status status = run_side_by_side(*background, kFlush, std::move(parts));
    CHECK(begun == ended);
    std::size_t first = 0;
    while (first < count && ((fails >> first) & 1) == 0) ++first;
    for (std::size_t part = 0; part < count; ++part) CHECK(ran[part] <= 1);
    for (std::size_t part = 0; part <= first && part < count; ++part) CHECK(ran[part] == 1);
    if (first == count) {
      CHECK(status.ok());
    } else if (is_thrown) {
      CHECK(status.code() == StatusCode::kOutOfMemory);
    } else {
      CHECK(status.message() == failed(first).message());
    }
  }
  ManualBackground nobody(1);
  int ran = 0;
  const auto count_and_fail = [&ran] { return failed(static_cast<std::size_t>(++ran)); };
  CHECK(!run_side_by_side(nobody, kFlush, {count_and_fail, count_and_fail}).ok());
  CHECK(ran == 1);
}

TEST_CASE(
    "a memtable full of events is flushed into two tables, a half-empty one and one with keys into one of events") {
  MemoryEnv env;
  const Options options = options_of_flushes();
  std::uint64_t events = 0;
  {
    const TestStore store = open_store(env, "store", options, 7).value();
    append_events(store, options.memtable_bytes / 4);
    REQUIRE(store->flush().ok());
    CHECK(store->stats().event_tables == 1);
    append_events(store, options.memtable_bytes * 3 / 4);
    REQUIRE(store->flush().ok());
    CHECK(store->stats().event_tables == 3);
    const Keyspace keys = store->keyspace("keys").value();
    REQUIRE(store->put(keys, as_bytes("key"), as_bytes("value")).ok());
    append_events(store, options.memtable_bytes * 3 / 4);
    REQUIRE(store->flush().ok());
    CHECK(store->stats().event_tables == 5);
    CHECK(store->stats().keyspace_tables == 1);
    events = store->stats().events;
    check_events(store, events);
    REQUIRE(store->close().ok());
  }
  check_events(open_store(env, "store", options, 7).value(), events);
}

TEST_CASE("the tables of a flush begin with a commit, unless it is of one") {
  MemoryEnv env;
  const Options options = options_of_flushes();
  const std::string payload(1024, 'p');
  const std::vector<Event> events(17, Event{.type = "t", .payload = as_bytes(payload)});
  const std::vector<Event> large(40, events.front());
  sstable::BlockCache cache(1u << 20);
  const TestStore store = open_store(env, "store", options, 7).value();
  for (const auto& [batch, times] : {std::pair(&events, 3), std::pair(&large, 1)}) {
    const Position begin = store->stats().events;
    for (int time = 0; time < times; ++time) {
      store.clock->advance(std::chrono::seconds(1));
      REQUIRE(store->append(Batch{.events = *batch, .changes = {}, .durability = {}}).ok());
    }
    REQUIRE(store->flush().ok());
    const std::uint64_t count = store->stats().events - begin;
    const Position middle = times == 1 ? begin + count / 2 : begin + 2 * batch->size();
    std::vector<Position> begins;
    const std::vector<std::string> names = env.list("store/sstables").value();
    for (const std::string& name : names) {
      const std::string path = "store/sstables/" + name;
      const auto table = sstable::TableReader::open(env, path, *parse_table_name(name), cache).value();
      begins.push_back(table->properties().position_begin);
    }
    CHECK(std::count(begins.begin(), begins.end(), begin) == 1);
    CHECK(std::count(begins.begin(), begins.end(), middle) == 1);
  }
}

TEST_CASE("a memtable full of keys is flushed into two tables that share no key, one of a single key into one") {
  MemoryEnv env;
  const Options options = options_of_flushes();
  std::map<std::string, std::string> newest;
  {
    const TestStore store = open_store(env, "store", options, 7).value();
    const Keyspace keys = store->keyspace("keys").value();
    const std::string padding(200, 'v');
    const auto put = [&](const std::string& key) {
      const std::string value = std::to_string(store->stats().key_value_changes) + padding;
      REQUIRE(store->put(keys, as_bytes(key), as_bytes(value)).ok());
      newest[key] = value;
    };
    std::mt19937_64 random(1);
    const std::uint64_t bytes = options.memtable_bytes * 3 / 4;
    while (store->stats().memtable_bytes < bytes) put("key " + std::to_string(random() % 40));
    REQUIRE(store->flush().ok());
    CHECK(store->stats().keyspace_tables_by_level.front() == 2);
    while (store->stats().memtable_bytes < bytes) put("hot");
    REQUIRE(store->flush().ok());
    CHECK(store->stats().keyspace_tables_by_level.front() == 3);
    REQUIRE(store->close().ok());
  }
  const TestStore store = open_store(env, "store", options, 7).value();
  auto cursor = store->scan(store->keyspace("keys").value(), {});
  for (const auto& [key, value] : newest) {
    const auto entry = cursor->next();
    REQUIRE(entry.value().has_value());
    CHECK(as_text(entry.value()->key) == key);
    CHECK(as_text(entry.value()->value) == value);
  }
  CHECK(!cursor->next().value().has_value());
}

TEST_CASE("a flush whose parts found no room leaves no table, and is done whole when there is") {
  const Options options = options_of_flushes();
  std::uint64_t refused = 0;
  for (std::uint64_t room = 0;; room += 512) {
    CAPTURE(room);
    MemoryEnv env;
    const TestStore store = open_store(env, "store", options, 7).value();
    append_events(store, options.memtable_bytes * 3 / 4);
    env.limit_bytes(env.bytes_used() + room);
    const Status flushed = store->flush();
    if (!flushed.ok()) {
      ++refused;
      CHECK(flushed.code() == StatusCode::kNoSpace);
      CHECK(store->stats().event_tables == 0);
      check_events(store, store->stats().events);
    }
    env.limit_bytes(1u << 30);
    REQUIRE(store->flush().ok());
    CHECK(store->stats().event_tables == 2);
    CHECK(env.list("store/sstables").value().size() == 2);
    check_events(store, store->stats().events);
    if (flushed.ok()) break;
  }
  CHECK(refused > 2);
}

}  // namespace hdb::test
