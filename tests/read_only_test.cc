// A store opened to be read only: all reads work, nothing changes, and calls that would change it say so.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

Options small() {
  return shrunk(presets::durable());
}

// A store that was killed with memtables' worth of batches in its log.
Model kill_a_store(MemoryEnv& env, Durability durability, std::size_t batches, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Model model;
  const TestStore store = open_store(env, "store", small(), seed).value();
  const std::vector<Keyspace> keyspaces{store->keyspace("keys").value()};
  for (; batches > 0; --batches) {
    ModelBatch batch = random_batch(random, keyspaces, 10);
    batch.events.push_back(random_event(random));
    REQUIRE(append(*store.engine, batch, durability).ok());
    model.apply(batch);
  }
  env.crash_at(env.operations());
  return model;
}

void check_refused(const Status& status) {
  CHECK(status.code() == StatusCode::kClosed);
  CHECK_MESSAGE(status.message().find("store: was opened to be read only; open it to write") == 0, status.message());
}

}  // namespace

TEST_CASE("calls that would change a store opened read-only are refused, and those that read it work") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  MemoryEnv env;
  const Model model = kill_a_store(env, Durability::kSync, 20, seed);
  env.crash(seed);
  const TestStore store = open_store_read_only(env, "store", small()).value();
  const std::vector<Keyspace> keyspaces{store->keyspace("keys").value()};
  check_equal(*store.engine, model, keyspaces);
  CHECK(store->stats().log_bytes_live > 0);

  check_refused(store->append(Event{.type = "new"}).status());
  check_refused(store->put(keyspaces[0], as_bytes("key"), {}));
  check_refused(store->erase(keyspaces[0], as_bytes("key")));
  check_refused(store->keyspace("another").status());
  check_refused(store->flush());
  check_refused(store->compact());
  check_refused(store->backup("copy").status());
  CHECK(store->sync().ok());
  check_equal(*store.engine, model, keyspaces);
  CHECK(!env.exists("copy").value());
  CHECK(store->close().ok());
  CHECK(store->flush().code() == StatusCode::kClosed);
}

TEST_CASE("a resume token of a store opened read-only holds over a power loss after it") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  MemoryEnv env;
  Options options = small();
  std::string token;
  std::uint64_t events = 0;
  {
    // The process was killed, and the machine goes on: what it wrote is there and not yet synced.
    TestStore writer = open_store(env, "store", options, seed).value();
    for (; events < 20; ++events) {
      const Event event{.type = "one"};
      REQUIRE(writer->append(Batch{.events = {&event, 1}, .changes = {}, .durability = Durability::kNone}).ok());
    }
    REQUIRE(env.remove(lock_path("store")).ok());
    const TestStore reader = open_store_read_only(env, "store", options).value();
    EventCursor cursor = reader->query(Query{}).value();
    while (true) {
      const auto event = cursor.next();
      REQUIRE(event.ok());
      if (!event.value()) break;
    }
    token = cursor.resume_token().value();
    env.crash_at(env.operations());
  }
  env.crash(seed);
  const TestStore store = open_store(env, "store", options, seed).value();
  CHECK(store->stats().events == events);
  CHECK(store->append(Event{.type = "another"}).ok());
  Query rest;
  rest.resume_token = token;
  EventCursor cursor = store->query(rest).value();
  const auto next = cursor.next();
  REQUIRE((next.ok() && next.value()));
  CHECK(next.value()->position() == events);
}

TEST_CASE("what a read-only open shows after a process was killed in a flush is there after a power loss") {
  const Options options = small();
  std::uint64_t operations = 0;
  bool is_flushed = false;
  std::size_t tried = 0;
  for (; !is_flushed; ++operations) {
    for (std::uint64_t seed = 0; seed < 4 && !is_flushed; ++seed) {
      CAPTURE(operations);
      CAPTURE(seed);
      MemoryEnv env;
      std::uint64_t shown = 0;
      {
        TestStore writer = open_store(env, "store", options, 1).value();
        for (int event = 0; event < 20; ++event) {
          const Event one{.type = "one"};
          REQUIRE(writer->append(Batch{.events = {&one, 1}, .changes = {}, .durability = Durability::kNone}).ok());
        }
        env.crash_at(env.operations() + operations);
        is_flushed = writer->flush().ok();
        env.heal();  // the process was killed there, and the machine goes on
        REQUIRE(env.remove(lock_path("store")).ok());
        {
          const auto reader = open_store_read_only(env, "store", options);
          REQUIRE_MESSAGE(reader.ok(), reader.status().message());
          shown = (*reader)->stats().events;
        }
        env.crash_at(env.operations());
      }
      env.crash(seed);
      const auto store = open_store(env, "store", options, 2);
      REQUIRE_MESSAGE(store.ok(), store.status().message());
      CHECK((*store)->stats().events >= shown);
      ++tried;
    }
  }
  CHECK(tried > 40);
}

TEST_CASE("a log of many memtables is read without a flush") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  MemoryEnv env;
  Options large = small();
  large.memtable_bytes = 4u << 20;
  large.log_bytes_max = 16u << 20;
  std::mt19937_64 random(seed);
  Model model;
  {
    const TestStore store = open_store(env, "store", large, seed).value();
    const std::vector<Keyspace> keyspaces{store->keyspace("keys").value()};
    while (store->stats().memtable_bytes < 5 * small().memtable_bytes) {
      const ModelBatch batch = random_batch(random, keyspaces, 20);
      REQUIRE(append(*store.engine, batch, Durability::kSync).ok());
      model.apply(batch);
    }
    env.crash_at(env.operations());
  }
  env.crash(seed);
  const TestStore store = open_store_read_only(env, "store", small()).value();
  CHECK(store->stats().sealed_memtables >= 3);
  CHECK(store->stats().flushes == 0);
  check_equal(*store.engine, model, {store->keyspace("keys").value()});
}

TEST_CASE("what is no store is not made one by opening it read-only") {
  MemoryEnv env;
  REQUIRE(env.create_directory("empty").ok());
  for (const std::string directory : {"nowhere", "empty"}) {
    CHECK(open_store_read_only(env, directory, small()).status().code() == StatusCode::kNotFound);
  }
  CHECK(!env.exists("nowhere").value());
  CHECK(env.list("empty").value().empty());
}

TEST_CASE("a store is not opened read-only beside one who writes, nor to be written beside one who reads") {
  MemoryEnv env;
  {
    const TestStore writer = open_store(env, "store", small(), 1).value();
    CHECK(open_store_read_only(env, "store", small()).status().code() == StatusCode::kBusy);
  }
  const TestStore reader = open_store_read_only(env, "store", small()).value();
  CHECK(open_store(env, "store", small(), 1).status().code() == StatusCode::kBusy);
}

}  // namespace hdb::test
