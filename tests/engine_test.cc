// The promises of include/hdb/engine.h, one by one, on files in memory.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <functional>
#include <set>
#include <thread>
#include <utility>

#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

TestStore opened(Env& env, const Options& options = shrunk(presets::durable()), Hooks hooks = {}) {
  auto store = open_store(env, "store", options, 7, OpenMode::kOpenOrCreate, std::move(hooks));
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  return std::move(store).value();
}

Event with_id(const char* name, std::string_view payload) {
  return Event{.id = EventId::from_name("test", name), .payload = as_bytes(payload)};
}

std::vector<Position> positions(Engine& engine, const Query& query) {
  auto cursor = engine.query(query);
  REQUIRE_MESSAGE(cursor.ok(), cursor.status().message());
  std::vector<Position> found;
  while (true) {
    const auto event = cursor->next();
    REQUIRE_MESSAGE(event.ok(), event.status().message());
    if (!event.value()) return found;
    found.push_back(event.value()->position());
  }
}

// Threads of the machine over files in memory.
std::unique_ptr<Engine> opened_with_threads(Env& env, const Options& options) {
  auto engine = open_with_threads(env, "store", options);
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  return std::move(engine).value();
}

// The first error of any thread.
class FirstError {
 public:
  void keep(const Status& error) {
    MutexLock lock(mutex_);
    if (error_.ok()) error_ = error;
  }
  std::string message() {
    MutexLock lock(mutex_);
    return std::string(error_.message());
  }

 private:
  Mutex mutex_;
  Status error_ HDB_GUARDED_BY(mutex_);
};

}  // namespace

TEST_CASE("opening what is no store says so, and creating over a store is refused") {
  MemoryEnv env;
  CHECK(open_store(env, "store", {}, 1, OpenMode::kOpen).status().code() == StatusCode::kNotFound);
  {
    const TestStore store = opened(env);
    CHECK(store->stats().events == 0);
  }
  CHECK(open_store(env, "store", {}, 1, OpenMode::kCreate).status().code() == StatusCode::kInvalidArgument);
  CHECK(open_store(env, "store", {}, 1, OpenMode::kOpen).ok());
}

TEST_CASE("a directory with other files is not made a store") {
  MemoryEnv env;
  REQUIRE(env.create_directory("store").ok());
  REQUIRE(replace_file(env, "store/thesis.txt", as_bytes("words")).ok());
  const Status refused = open_store(env, "store", {}, 1).status();
  CHECK(refused.code() == StatusCode::kInvalidArgument);
  CHECK(refused.message().find("thesis.txt") != std::string_view::npos);
}

TEST_CASE("a store that lost its file CURRENT is not started anew") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    REQUIRE(store->append(Event{.type = "kept"}).ok());
    REQUIRE(store->close().ok());
  }
  REQUIRE(env.remove("store/CURRENT").ok());
  CHECK(open_store(env, "store", {}, 1).status().code() == StatusCode::kCorruption);
  CHECK(open_store(env, "store", {}, 1, OpenMode::kOpen).status().code() == StatusCode::kCorruption);
}

TEST_CASE("a store is open once") {
  MemoryEnv env;
  const TestStore first = opened(env);
  CHECK(open_store(env, "store", {}, 1).status().code() == StatusCode::kBusy);
  REQUIRE(first->close().ok());
  CHECK(open_store(env, "store", {}, 1).ok());
}

TEST_CASE("an event given again with its id is reported, not stored") {
  MemoryEnv env;
  TestStore store = opened(env);
  const Event events[] = {with_id("a", "1"), with_id("b", "2"), with_id("a", "1")};
  const auto first = store->append(events);
  REQUIRE(first.ok());
  CHECK(first->count == 2);
  REQUIRE(first->duplicates.size() == 1);
  CHECK(first->duplicates[0].index == 2);
  CHECK(first->duplicates[0].position == 0);
  for (const bool is_flushed : {false, true, true}) {
    if (is_flushed) REQUIRE(store->compact().ok());
    const auto again = store->append(events);
    REQUIRE(again.ok());
    CHECK(again->count == 0);
    REQUIRE(again->duplicates.size() == 3);
    CHECK(again->duplicates[1].position == 1);
    CHECK(store->stats().events == 2);
    if (is_flushed) {
      REQUIRE(store->close().ok());
      store = opened(env);
    }
  }
}

TEST_CASE("an id with other content fails the whole batch and names the position") {
  MemoryEnv env;
  const TestStore store = opened(env);
  REQUIRE(store->append(with_id("a", "1")).ok());
  const Event events[] = {with_id("new", "n"), with_id("a", "changed")};
  const auto result = store->append(events);
  CHECK(result.status().code() == StatusCode::kConflict);
  CHECK(result.status().message().find("position 0") != std::string_view::npos);
  CHECK(store->stats().events == 1);
  const auto found = store->get(EventId::from_name("test", "new"));
  REQUIRE(found.ok());
  CHECK(!found.value().has_value());
}

TEST_CASE("events are found by both kinds of id, in memory, in tables and after a reopen") {
  MemoryEnv env;
  TestStore store = opened(env);
  REQUIRE(store->append(with_id("mine", "1")).ok());
  REQUIRE(store->append(Event{.type = "theirs"}).ok());
  const EventId made = store->get(Position{1}).value()->id();
  for (int round = 0; round < 3; ++round) {
    CHECK(store->get(EventId::from_name("test", "mine")).value()->position() == 0);
    CHECK(store->get(made).value()->position() == 1);
    CHECK(!store->get(EventId::from_name("test", "absent")).value().has_value());
    REQUIRE(store->flush().ok());
    if (round == 1) {
      REQUIRE(store->close().ok());
      store = opened(env);
    }
  }
}

TEST_CASE("a snapshot goes on seeing what it saw, over flush and compaction") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Keyspace keyspace = store->keyspace("k").value();
  REQUIRE(store->put(keyspace, as_bytes("key"), as_bytes("old")).ok());
  REQUIRE(store->append(Event{.type = "t"}).ok());
  const Snapshot snapshot = store->snapshot().value();
  for (int round = 0; round < 3; ++round) {
    REQUIRE(store->put(keyspace, as_bytes("key"), as_bytes("new")).ok());
    REQUIRE(store->append(Event{.type = "t"}).ok());
    REQUIRE(store->compact().ok());
    CHECK(as_text(store->get(keyspace, as_bytes("key"), &snapshot).value()->bytes()) == "old");
    CHECK(!store->get(Position{1}, &snapshot).value().has_value());
    CHECK(as_text(store->get(keyspace, as_bytes("key")).value()->bytes()) == "new");
  }
  CHECK(snapshot.position_end() == 1);
}

TEST_CASE("close waits for cursors and snapshots to be let go") {
  MemoryEnv env;
  const TestStore store = opened(env);
  REQUIRE(store->append(Event{.type = "t"}).ok());
  {
    auto cursor = store->query({});
    REQUIRE(cursor.ok());
    CHECK(store->close().code() == StatusCode::kBusy);
    CHECK(cursor->next().value().has_value());
  }
  CHECK(store->close().ok());
  CHECK(store->append(Event{.type = "t"}).status().code() == StatusCode::kClosed);
}

TEST_CASE("a batch with events and changes is seen whole or not at all") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Keyspace keyspace = store->keyspace("offsets").value();
  const Event event{.type = "t"};
  const KeyValueChange change{keyspace, as_bytes("file"), as_bytes("100")};
  const KeyValueChange unknown{Keyspace(77), as_bytes("file"), as_bytes("100")};
  CHECK(store->append(Batch{.events = {&event, 1}, .changes = {&unknown, 1}, .durability = {}}).status().code() ==
        StatusCode::kNotFound);
  CHECK(store->stats().events == 0);
  REQUIRE(store->append(Batch{.events = {&event, 1}, .changes = {&change, 1}, .durability = {}}).ok());
  CHECK(store->stats().events == 1);
  CHECK(as_text(store->get(keyspace, as_bytes("file")).value()->bytes()) == "100");
}

TEST_CASE("what is over a limit is refused with the field's name, and nothing is stored") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const std::string long_text(4097, 'x');
  const std::string payload((16u << 20) + 1, 'x');
  const std::string_view no_tag[] = {""};
  const auto code_of = [&store](const Event& event) { return store->append(event).status().code(); };
  CHECK(code_of(Event{.type = long_text}) == StatusCode::kInvalidArgument);
  CHECK(code_of(Event{.entity = "\xff"}) == StatusCode::kInvalidArgument);
  CHECK(code_of(Event{.tags = no_tag}) == StatusCode::kInvalidArgument);
  CHECK(code_of(Event{.metadata = "[1]"}) == StatusCode::kInvalidArgument);
  CHECK(code_of(Event{.metadata = "{\"a\":"}) == StatusCode::kInvalidArgument);
  const Status too_large = store->append(Event{.payload = as_bytes(payload)}).status();
  CHECK(too_large.code() == StatusCode::kInvalidArgument);
  CHECK(too_large.message().find("payload") != std::string_view::npos);
  CHECK(store->append(Batch{}).status().code() == StatusCode::kInvalidArgument);
  CHECK(store->stats().events == 0);
  REQUIRE(store->append(Event{.payload = as_bytes(std::string_view(payload).substr(1))}).ok());
  CHECK(as_text(store->get(Position{0}).value()->payload()) == std::string_view(payload).substr(1));
}

TEST_CASE("a value that is none of its enum is refused with the enum's name") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Event event{.type = "t"};
  const auto appended =
      store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = static_cast<Durability>(9)});
  CHECK(appended.status().code() == StatusCode::kInvalidArgument);
  Query query;
  query.order = static_cast<Order>(9);
  CHECK(store->query(query).status().code() == StatusCode::kInvalidArgument);
  query = {};
  query.where = {Condition::parse("n=1").value()};
  query.where[0].comparison = static_cast<Comparison>(50);
  CHECK(store->query(query).status().code() == StatusCode::kInvalidArgument);
  CHECK(open_store(env, "other", {}, 1, static_cast<OpenMode>(9)).status().code() == StatusCode::kInvalidArgument);
  CHECK(open_store(env, "", {}, 1).status().code() == StatusCode::kInvalidArgument);
  CHECK(store->stats().events == 0);
}

TEST_CASE("after a failed log write nothing more is written, the first error is told, and reads go on") {
  MemoryEnv env;
  const TestStore store = opened(env);
  REQUIRE(store->append(Event{.type = "kept"}).ok());
  env.fail_at(env.operations(), Status::io_error("the disk caught fire"));
  Status failed;
  while (failed.ok()) failed = store->append(Event{.type = "lost"}).status();
  CHECK(failed.message().find("the disk caught fire") != std::string_view::npos);
  const Status refused = store->append(Event{.type = "refused"}).status();
  CHECK(refused.code() == StatusCode::kClosed);
  CHECK(refused.message().find("the disk caught fire") != std::string_view::npos);
  CHECK(store->get(Position{0}).value()->type() == "kept");
}

TEST_CASE("a full disk refuses an append and takes it again once there is room, without a reopen") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const std::string payload(100'000, 'x');
  REQUIRE(store->append(Event{.type = "first"}).ok());
  env.limit_bytes(env.bytes_used());
  Status refused;
  std::uint64_t accepted = 1;
  while (refused.ok() && accepted < 1000) {
    refused = store->append(Event{.payload = as_bytes(payload)}).status();
    if (refused.ok()) ++accepted;
  }
  CHECK(refused.code() == StatusCode::kNoSpace);
  CHECK(store->get(Position{0}).value()->type() == "first");
  env.limit_bytes(1u << 30);
  store.background->run_timers();
  REQUIRE(store->append(Event{.type = "last"}).ok());
  CHECK(store->stats().events == accepted + 1);
  CHECK(store->flush().ok());
}

TEST_CASE("appends wait for flushes rather than take more memory than the memtables may") {
  MemoryEnv env;
  std::vector<std::string> notices;
  Hooks hooks;
  hooks.listener = [&notices](Notice notice, std::string_view text) {
    if (notice == Notice::kStall) notices.emplace_back(text);
  };
  const Options options = shrunk(presets::durable());
  const TestStore store = opened(env, options, std::move(hooks));
  const std::string payload(2000, 'x');
  std::uint64_t memory_max = 0;
  for (int event = 0; event < 1000; ++event) {
    REQUIRE(store->append(Event{.payload = as_bytes(payload)}).ok());
    memory_max = std::max(memory_max, store->stats().memtable_bytes);
  }
  CHECK(memory_max <= (options.sealed_memtables_max + 2) * options.memtable_bytes);
  CHECK(store->stats().stalls > 0);
  REQUIRE(!notices.empty());
  CHECK(notices[0].find("sealed memtables") != std::string::npos);
}

TEST_CASE("a forgotten cursor neither stops writers nor misses events that were flushed and merged under it") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Keyspace keyspace = store->keyspace("k").value();
  for (int item = 0; item < 50; ++item) {
    const std::string text = std::to_string(1000 + item);
    REQUIRE(store->append(Event{.type = "before", .payload = as_bytes(text)}).ok());
    REQUIRE(store->put(keyspace, as_bytes(text), as_bytes("before")).ok());
  }
  auto events = store->query({});
  auto keys = store->scan(keyspace, {});
  auto backward = store->scan(keyspace, {.lower = {}, .upper = {}, .prefix = {}, .is_backward = true});
  std::uint64_t seen_events = 0, seen_keys = 0, seen_backward = 0;
  const std::string large(20'000, 'y');
  while (true) {
    const auto event = events->next();
    const auto key = keys->next();
    const auto back = backward->next();
    REQUIRE(event.ok());
    REQUIRE(key.ok());
    REQUIRE(back.ok());
    if (!event.value() && !key.value() && !back.value()) break;
    if (event.value()) CHECK(event.value()->position() == seen_events++);
    if (key.value()) CHECK(as_text(key.value()->key) == std::to_string(1000 + seen_keys++));
    if (back.value()) CHECK(as_text(back.value()->key) == std::to_string(1049 - seen_backward++));
    REQUIRE(store->append(Event{.type = "after", .payload = as_bytes(large)}).ok());
    REQUIRE(store->put(keyspace, as_bytes("1049"), as_bytes("after")).ok());
    if (seen_events % 7 == 0) REQUIRE(store->compact().ok());
  }
  CHECK(seen_events == 50);
  CHECK(seen_keys == 50);
  CHECK(seen_backward == 50);
}

TEST_CASE("a resume token goes on where the page ended, over a reopen, in every order") {
  MemoryEnv env;
  TestStore store = opened(env);
  std::mt19937_64 random(3);
  for (int batch = 0; batch < 20; ++batch) {
    REQUIRE(append(*store.engine, random_batch(random, {}, 20), Durability::kNone).ok());
  }
  for (const Order order : {Order::kPosition, Order::kPositionDescending, Order::kTime, Order::kTimeDescending}) {
    CAPTURE(static_cast<int>(order));
    Query query;
    query.order = order;
    const std::vector<Position> all = positions(*store.engine, query);
    std::vector<Position> paged;
    query.limit = 7;
    while (true) {
      auto cursor = store->query(query);
      REQUIRE_MESSAGE(cursor.ok(), cursor.status().message());
      std::vector<StoredEvent> page;
      REQUIRE(cursor->next_batch(100, page).ok());
      if (page.empty()) break;
      for (const StoredEvent& event : page) paged.push_back(event.position());
      query.resume_token = cursor->resume_token().value();
      if (paged.size() == 14) {
        page.clear();
        cursor = Status::invalid_argument("let the cursor go");
        REQUIRE(store->close().ok());
        store = opened(env);
      }
    }
    CHECK(paged == all);
  }
}

TEST_CASE("a resume token is refused by another store and another query, and when it is not whole") {
  MemoryEnv env;
  const TestStore store = opened(env);
  REQUIRE(store->append(Event{.type = "t"}).ok());
  Query query;
  auto cursor = store->query(query);
  REQUIRE(cursor->next().ok());
  const std::string token = cursor->resume_token().value();
  const auto code_of = [](const TestStore& at, Query asked, const std::string& given) {
    asked.resume_token = given;
    return at->query(asked).status().code();
  };
  CHECK(code_of(store, query, token) == StatusCode::kOk);
  CHECK(code_of(store, query, token.substr(2)) == StatusCode::kInvalidArgument);
  CHECK(code_of(store, query, "zz") == StatusCode::kInvalidArgument);
  Query other;
  other.types = {"t"};
  CHECK(code_of(store, other, token) == StatusCode::kInvalidArgument);
  MemoryEnv elsewhere;
  auto second = open_store(elsewhere, "store", shrunk({}), 8);
  REQUIRE(second.ok());
  CHECK(code_of(*second, query, token) == StatusCode::kInvalidArgument);
}

TEST_CASE("a resume token is durable before it is given out") {
  MemoryEnv env;
  std::string token;
  {
    const TestStore store = opened(env);
    const Event event{.type = "relaxed"};
    REQUIRE(store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = Durability::kNone}).ok());
    auto cursor = store->query({});
    REQUIRE(cursor->next().value().has_value());
    token = cursor->resume_token().value();
    env.crash_at(env.operations());
  }
  env.crash(5);
  const TestStore store = opened(env);
  CHECK(store->stats().events == 1);
  Query query;
  query.resume_token = token;
  CHECK(positions(*store.engine, query).empty());
}

TEST_CASE("files left by a process that died are removed at the next open") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    REQUIRE(store->append(Event{.type = "kept"}).ok());
    REQUIRE(store->close().ok());
  }
  for (const char* left : {"store/sstables/000001.sst", "store/sstables/000998.sst.tmp", "store/CURRENT.tmp"}) {
    REQUIRE(replace_file(env, left, as_bytes("half a file")).ok());
  }
  const TestStore store = opened(env);
  CHECK(store->get(Position{0}).value()->type() == "kept");
  CHECK(env.list("store/sstables").value().size() == 1);
  CHECK(!env.exists("store/CURRENT.tmp").value());
}

TEST_CASE("keys that no merge will rewrite are flushed as small as zstd's level 1 makes them") {
  std::array<std::uint64_t, 2> bytes{};
  for (const bool is_merged : {false, true}) {
    MemoryEnv env;
    Options options = shrunk(presets::durable());
    options.memtable_bytes = 4u << 20;
    options.compression_level = 1;
    const TestStore store = opened(env, options);
    const Keyspace keys = store->keyspace("keys").value();
    for (int times = is_merged ? 2 : 1; times > 0; --times) {  // what was flushed twice is merged into one
      for (int key = 10'000; key < 12'000; ++key) {
        const std::string number = std::to_string(key);
        const std::string value = "{\"user\":\"u" + number + "\",\"outcome\":\"success\",\"pid\":" + number + "}";
        REQUIRE(store->put(keys, as_bytes(number), as_bytes(value)).ok());
      }
      REQUIRE(store->flush().ok());
    }
    if (is_merged) REQUIRE(store->compact().ok());
    bytes[is_merged ? 1 : 0] = store->stats().table_bytes_live;
  }
  CHECK(bytes[0] < bytes[1] * 11 / 10);
}

TEST_CASE("a full disk at a manifest edit refuses it and takes it again once there is room") {
  MemoryEnv env;
  const TestStore store = opened(env);
  REQUIRE(store->append(Event{.type = "first"}).ok());
  env.limit_bytes(env.bytes_used());
  CHECK(store->keyspace("refused").status().code() == StatusCode::kNoSpace);
  CHECK(store->flush().code() == StatusCode::kNoSpace);
  env.limit_bytes(1u << 30);
  CHECK(store->keyspace("taken").ok());
  CHECK(store->flush().ok());
  CHECK(store->append(Event{.type = "second"}).ok());
  CHECK(store->stats().events == 2);
}

TEST_CASE("tables of edits that a full disk refused leave the disk once an edit is taken") {
  MemoryEnv env;
  const TestStore store = opened(env);
  REQUIRE(store->append(Event{.type = "first"}).ok());
  int refused = 0;
  for (std::uint64_t room = 0;; room += 64) {
    env.limit_bytes(env.bytes_used() + room);
    const Status flushed = store->flush();
    env.limit_bytes(1u << 30);
    if (flushed.ok()) break;
    CHECK(flushed.code() == StatusCode::kNoSpace);
    ++refused;
  }
  CHECK(refused > 5);
  REQUIRE(store->append(Event{.type = "second"}).ok());
  REQUIRE(store->flush().ok());
  CHECK(env.list("store/sstables").value().size() == store->stats().event_tables);
}

TEST_CASE("a flush on a full disk uses the space kept for it, and appends wait until that is back") {
  MemoryEnv env;
  Options options = shrunk(presets::durable());
  options.reserve_bytes = 1u << 20;
  {
    const TestStore store = opened(env, options);
    for (int event = 0; event < 200; ++event) {
      REQUIRE(store->append(Event{.type = "t", .payload = as_bytes(std::string(300, 'x'))}).ok());
    }
    env.limit_bytes(env.bytes_used());
    CHECK(store->append(Event{.payload = as_bytes(std::string(1u << 20, 'x'))}).status().code() ==
          StatusCode::kNoSpace);
    CHECK(store->flush().ok());
    CHECK(!env.exists(reserve_path("store")).value());
    // What the flush left is not for appends, before the space is kept again.
    env.limit_bytes(env.bytes_used() + (512u << 10));
    const auto refused = store->append(Event{.type = "refused"});
    CHECK(refused.status().code() == StatusCode::kNoSpace);
    CHECK(refused.status().message().find("kept free for flushes") != std::string_view::npos);
    CHECK(store->get(Position{7}).value()->type() == "t");
    env.limit_bytes(64u << 20);
    CHECK(store->append(Event{.type = "taken"}).ok());
    CHECK(env.file_bytes(reserve_path("store")).value() == 1u << 20);
    REQUIRE(store->close().ok());
  }
  CHECK(!env.exists(reserve_path("store")).value());
  CHECK(opened(env, options)->stats().events == 201);
}

TEST_CASE("a batch too large for the disk is refused alone: those it met in the log's line are not") {
  MemoryEnv env;
  const auto engine = opened_with_threads(env, presets::durable());
  REQUIRE(engine->append(Event{.type = "first"}).ok());
  env.limit_bytes(env.bytes_used() + (2u << 20));
  const std::string large(4u << 20, 'x');
  std::atomic<int> small_refused{0};
  std::atomic<int> large_taken{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      for (int round = 0; round < 40; ++round) {
        if (thread % 2 == 0) {
          large_taken += engine->append(Event{.payload = as_bytes(large)}).ok();
        } else if (thread % 4 == 1) {
          small_refused += !engine->append(Event{.type = "small"}).ok();
        } else {
          small_refused += !engine->sync().ok();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(large_taken == 0);
  CHECK(small_refused == 0);
  CHECK(engine->stats().events == 81);
}

TEST_CASE("an event the store has is made as durable as the append that gives it again asks") {
  for (const Durability durability : {Durability::kInterval, Durability::kSync}) {
    MemoryEnv env;
    {
      const TestStore store = opened(env);
      const Event event = with_id("a", "x");
      const auto append = [&](Durability asked) {
        return store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = asked});
      };
      REQUIRE(append(Durability::kNone).ok());
      store.background->run_timers();
      REQUIRE(append(durability)->duplicates.size() == 1);
      store.clock->advance(std::chrono::seconds(1));
      if (durability == Durability::kInterval) store.background->run_timers();
      env.crash(3);
    }
    CHECK(opened(env)->stats().events == 1);
  }
}

TEST_CASE("a compaction that failed once is done by the next") {
  MemoryEnv env;
  const TestStore store = opened(env);
  for (int round = 0; round < 2; ++round) {
    REQUIRE(store->append(Event{.type = "t"}).ok());
    REQUIRE(store->flush().ok());
  }
  env.fail_at(env.operations() + 2);
  CHECK(!store->compact().ok());
  CHECK(store->compact().ok());
  CHECK(store->stats().event_tables == 1);
}

TEST_CASE("the inputs of a compaction leave the disk when it ends, unless somebody reads them") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const auto write_two_tables = [&store] {
    for (int round = 0; round < 2; ++round) {
      REQUIRE(store->append(Event{.type = "t"}).ok());
      REQUIRE(store->flush().ok());
    }
  };
  write_two_tables();
  REQUIRE(store->compact().ok());
  CHECK(env.list("store/sstables").value().size() == 1);
  const StoredEvent held = *store->get(Position{0}).value();
  write_two_tables();
  REQUIRE(store->compact().ok());
  CHECK(held.type() == "t");
  CHECK(env.list("store/sstables").value().size() == 1);
}

TEST_CASE("with many threads every append gets its own dense positions and is seen at once by its caller") {
  MemoryEnv env;
  Options options = shrunk(presets::durable());
  options.background_threads = 2;
  const auto engine = opened_with_threads(env, options);
  const Keyspace keyspace = engine->keyspace("k").value();
  constexpr int kThreads = 6;
  const int batches = static_cast<int>(scaled(60));
  std::vector<std::vector<Position>> taken(kThreads);
  FirstError first;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937_64 random(static_cast<std::uint64_t>(thread));
      for (int batch = 0; batch < batches; ++batch) {
        const std::string text = std::to_string(thread) + "/" + std::to_string(batch);
        const std::string payload = text + std::string(random() % 3000, '.');
        std::vector<Event> events(1 + random() % 5, Event{.entity = text, .payload = as_bytes(payload)});
        const KeyValueChange change{keyspace, as_bytes(text), as_bytes(payload)};
        const auto result = engine->append(
            Batch{.events = events, .changes = {&change, 1}, .durability = static_cast<Durability>(random() % 3)});
        if (!result.ok()) first.keep(result.status());
        if (!result.ok() || result->count != events.size()) ++failures;
        for (std::size_t index = 0; result.ok() && index < events.size(); ++index) {
          const auto found = engine->get(result->first_position + index);
          if (!found.ok()) first.keep(found.status());
          if (found.ok() && !found.value()) first.keep(Status::corruption("an event is missing"));
          if (!found.ok() || !found.value() || as_text(found.value()->payload()) != payload) ++failures;
          taken[static_cast<std::size_t>(thread)].push_back(result->first_position + index);
        }
        const auto value = engine->get(keyspace, as_bytes(text));
        if (!value.ok()) first.keep(value.status());
        if (value.ok() && !value.value()) {
          const auto again = engine->get(keyspace, as_bytes(text));
          const bool is_there = again.ok() && again.value().has_value();
          first.keep(Status::corruption(is_there ? "a value was missing for a moment" : "a value is missing"));
        }
        if (!value.ok() || !value.value() || as_text(value.value()->bytes()) != payload) ++failures;
        if (batch % 16 == 0) {
          Query query;
          query.entities = {text};
          auto cursor = engine->query(query);
          std::vector<StoredEvent> found;
          const bool is_found = cursor.ok() && cursor->next_batch(100, found).ok() && found.size() == events.size();
          if (!is_found) first.keep(Status::corruption("a query found " + std::to_string(found.size())));
          failures += !is_found;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_MESSAGE(failures == 0, first.message());
  std::set<Position> all;
  std::size_t count = 0;
  for (const auto& own : taken) {
    count += own.size();
    all.insert(own.begin(), own.end());
    CHECK(std::is_sorted(own.begin(), own.end()));
  }
  CHECK(all.size() == count);
  CHECK((all.empty() || *all.rbegin() + 1 == count));
  CHECK(engine->compact().ok());
  CHECK(engine->stats().events == count);
  CHECK(engine->close().ok());
}

TEST_CASE("an id that another append commits between an append's look-up of it and its turn is found a duplicate") {
  // The wall clock is read between the two.
  class InterruptedClock final : public Clock {
   public:
    explicit InterruptedClock(std::function<void()>& meanwhile) : meanwhile_(meanwhile) {}
    Timestamp wall() override {
      if (const auto meanwhile = std::exchange(meanwhile_, {})) meanwhile();
      return clock_.wall();
    }
    std::chrono::nanoseconds monotonic() override { return clock_.monotonic(); }

   private:
    std::function<void()>& meanwhile_;
    ManualClock clock_;
  };
  MemoryEnv env;
  std::function<void()> meanwhile;
  InterruptedClock clock(meanwhile);
  auto store = Store::open(
      "store", shrunk(presets::durable()), OpenMode::kOpenOrCreate, {},
      Platform{.env = &env, .clock = &clock, .background = std::make_unique<ManualBackground>(7), .seed = 7});
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  Engine engine(std::move(store).value());
  for (const char* const payload : {"same", "other"}) {
    CAPTURE(payload);
    const std::uint64_t before = engine.stats().events;
    const std::string name = "id of " + std::to_string(before);
    Result<AppendResult> first = Status::not_found("not called");
    meanwhile = [&] { first = engine.append(with_id(name.c_str(), "same")); };
    const auto second = engine.append(with_id(name.c_str(), payload));
    REQUIRE_MESSAGE(first.ok(), first.status().message());
    CHECK(first->count == 1);
    CHECK(engine.stats().events == before + 1);
    if (std::string_view(payload) == "other") {
      CHECK(second.status().code() == StatusCode::kConflict);
      continue;
    }
    REQUIRE_MESSAGE(second.ok(), second.status().message());
    CHECK(second->count == 0);
    REQUIRE(second->duplicates.size() == 1);
    CHECK(second->duplicates[0].position == first->first_position);
  }
}

TEST_CASE("keys that ascend, but for neighbouring batches, are moved down and hardly rewritten") {
  const std::string value(200, 'v');
  const auto key_of = [](int number) {
    const std::string digits = std::to_string(number);
    return std::string(8 - digits.size(), '0') + digits;
  };
  // Of the memtables of more than a few hundred changes the middle is only about known.
  for (const auto& [memtable_bytes, pairs] : {std::pair(64u << 10, 6000), std::pair(1u << 20, 40'000)}) {
    CAPTURE(memtable_bytes);
    MemoryEnv env;
    Options options = shrunk(presets::throughput());
    options.memtable_bytes = memtable_bytes;
    options.table_bytes_target = memtable_bytes;
    options.log_bytes_max = 64u << 20;
    const TestStore store = opened(env, options);
    const Keyspace keyspace = store->keyspace("keys").value();
    for (int number = 0; number < pairs; ++number) {
      REQUIRE(store->put(keyspace, as_bytes(key_of(number ^ 1)), as_bytes(value)).ok());  // 1, 0, 3, 2, ...
      if (number % 64 == 0) store.background->run_tasks();
    }
    REQUIRE(store->flush().ok());
    store.background->run_tasks();
    const Stats stats = store->stats();
    CHECK(stats.flushes > 4);
    CHECK(stats.table_moves >= stats.flushes / 2);
    CHECK(stats.table_bytes_compacted < stats.table_bytes_flushed / 20);
    auto cursor = store->scan(keyspace, {}).value();
    for (int number = 0; number < pairs; ++number) {
      const auto pair = cursor.next().value();
      REQUIRE(pair.has_value());
      CHECK(as_text(pair->key) == key_of(number));
    }
    CHECK(!cursor.next().value().has_value());
  }
}

TEST_CASE("threads that append the same ids store each event once") {
  MemoryEnv env;
  const auto engine = opened_with_threads(env, shrunk(presets::throughput()));
  constexpr int kThreads = 4;
  const int ids = static_cast<int>(scaled(200));
  std::atomic<std::uint64_t> stored{0}, duplicates{0}, failures{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      for (int id = 0; id < ids; ++id) {
        const std::string name = std::to_string(id);
        const auto result = engine->append(with_id(name.c_str(), name));
        if (!result.ok()) {
          ++failures;
          continue;
        }
        stored += result->count;
        duplicates += result->duplicates.size();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(stored == static_cast<std::uint64_t>(ids));
  CHECK(duplicates == static_cast<std::uint64_t>(ids * (kThreads - 1)));
  CHECK(engine->stats().events == static_cast<std::uint64_t>(ids));
}

}  // namespace hdb::test
