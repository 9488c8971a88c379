// What the timer of the log promises: relaxed appends are durable in time, and an idle log is marked.
#include <doctest/doctest.h>

#include <string>

#include "tests/support/memory_env.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

TestStore opened(Env& env, const Options& options = shrunk(presets::durable())) {
  auto store = open_store(env, "store", options, 7);
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  return std::move(store).value();
}

}  // namespace

TEST_CASE("interval appends are synced by the timer, relaxed ones by the next synced one") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    const Event event{.type = "interval"};
    REQUIRE(store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = Durability::kInterval}).ok());
    store.clock->advance(std::chrono::seconds(1));
    store.background->run_timers();
    const Event relaxed{.type = "relaxed"};
    REQUIRE(store->append(Batch{.events = {&relaxed, 1}, .changes = {}, .durability = Durability::kNone}).ok());
    REQUIRE(store->append(Event{.type = "synced"}).ok());
    REQUIRE(store->append(Batch{.events = {&relaxed, 1}, .changes = {}, .durability = Durability::kNone}).ok());
    env.crash_at(env.operations());
  }
  env.crash(1);
  const TestStore store = opened(env);
  CHECK(store->stats().events >= 3);
  CHECK(store->get(Position{0}).value()->type() == "interval");
  CHECK(store->get(Position{1}).value()->type() == "relaxed");
  CHECK(store->get(Position{2}).value()->type() == "synced");
}

TEST_CASE("an idle log is marked, so that damage in it is not taken for a torn tail") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    const std::string payload(3000, 'p');
    for (int event = 0; event < 3; ++event) REQUIRE(store->append(Event{.payload = as_bytes(payload)}).ok());
    store.clock->advance(std::chrono::seconds(1));
    store.background->run_timers();
    env.crash_at(env.operations());
  }
  env.crash(1);
  const std::string segment = "store/wal/" + env.list("store/wal").value().front();
  const std::uint64_t bytes = env.file_bytes(segment).value();
  Buffer content = read_file(env, segment, bytes).value();
  const std::size_t third = std::string_view(as_text(bytes_of(content))).find("ppp") + 2 * 4096;
  content[third] ^= std::byte{1};
  REQUIRE(replace_file(env, segment, bytes_of(content)).ok());
  const Status damaged = open_store(env, "store", shrunk({}), 1).status();
  CHECK(damaged.code() == StatusCode::kCorruption);
  CHECK(damaged.message().find(segment) != std::string_view::npos);
}

TEST_CASE("an interval append is synced in time also when a later timer is set already") {
  MemoryEnv env;
  Options options = shrunk(presets::durable());
  options.sync_interval_ms = 5;
  const TestStore store = opened(env, options);
  REQUIRE(store->append(Event{.type = "synced"}).ok());
  CHECK(store.background->last_delay() > std::chrono::milliseconds(50));
  const Event event{.type = "interval"};
  REQUIRE(store->append(Batch{.events = {&event, 1}, .durability = Durability::kInterval}).ok());
  CHECK(store.background->last_delay() <= std::chrono::milliseconds(5));
}

TEST_CASE("steady interval appends keep no more timers than there are intervals in the time a log idles") {
  MemoryEnv env;
  Options options = shrunk(presets::durable());
  options.sync_interval_ms = 10;
  const TestStore store = opened(env, options);
  const Event event{.type = "interval"};
  for (int round = 0; round < 500; ++round) {
    const std::uint64_t syncs = store->stats().log_syncs;
    REQUIRE(store->append(Batch{.events = {&event, 1}, .durability = Durability::kInterval}).ok());
    store.clock->advance(std::chrono::milliseconds(10));
    store.background->run_timers_within(std::chrono::milliseconds(10));
    CHECK(store->stats().log_syncs > syncs);
    REQUIRE(store.background->timers() <= 20);
  }
}

}  // namespace hdb::test
