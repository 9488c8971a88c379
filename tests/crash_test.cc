// Power loss at every operation of a seeded workload: run until the n-th operation on files, lose what was not synced
// (and a seeded part of the rest survives), reopen twice, and compare with the model of what was submitted. Background
// work runs in the test's thread on a seeded scheduler, so operation counts repeat.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

// What the workload submitted, and how much of it was promised to survive.
struct Submitted {
  std::vector<ModelBatch> batches;  // in order; each has at least one event
  std::size_t durable_batches = 0;  // acknowledged with kSync, or before one that was
};

// Appends in all durabilities with key-value changes, flushes, compactions, timers, and a close and reopen half-way;
// ends at the first error, which only an injected crash can cause.
void run_workload(Env& env, std::uint64_t seed, Submitted& submitted) {
  std::mt19937_64 random(seed);
  Options options = shrunk(presets::durable());
  options.memtable_bytes = 64u << 10;
  constexpr std::size_t kBatches = 60;
  auto store = open_store(env, "store", options, seed);
  if (!store.ok()) return;
  while (submitted.batches.size() < kBatches) {
    if (submitted.batches.size() == kBatches / 2 && random() % 2 == 0) {
      if (!(*store)->close().ok()) return;
      submitted.durable_batches = submitted.batches.size();
      store = open_store(env, "store", options, seed + 1);
      if (!store.ok()) return;
    }
    const auto keyspace = (*store)->keyspace("keys" + std::to_string(submitted.batches.size() / 40));
    if (!keyspace.ok()) return;
    ModelBatch batch = random_batch(random, std::vector<Keyspace>{*keyspace}, 30);
    batch.events.push_back(random_event(random));
    submitted.batches.push_back(batch);
    const auto durability = static_cast<Durability>(random() % 3);
    if (!append(*store->engine, batch, durability).ok()) return;
    if (durability == Durability::kSync) submitted.durable_batches = submitted.batches.size();
    switch (random() % 12) {
      case 0:
        if (!(*store)->flush().ok()) return;
        submitted.durable_batches = submitted.batches.size();
        break;
      case 1:
        if (!(*store)->compact().ok()) return;
        submitted.durable_batches = submitted.batches.size();
        break;
      case 2:
        store->background->run_timers();
        break;
      case 3:
        store->background->run_tasks();
        break;
      case 4:
        if (!(*store)->sync().ok()) return;
        submitted.durable_batches = submitted.batches.size();
        break;
      default:
        break;
    }
  }
  if ((*store)->close().ok()) submitted.durable_batches = submitted.batches.size();
}

// The batches found, which must be a prefix of those submitted. Checks that each is whole.
std::size_t check_prefix(Engine& engine, const Submitted& submitted) {
  const std::uint64_t events = engine.stats().events;
  Model model;
  std::size_t batches = 0;
  while (batches < submitted.batches.size() && model.events.size() < events) {
    model.apply(submitted.batches[batches]);
    ++batches;
  }
  REQUIRE(model.events.size() == events);  // batches are whole, and nothing was invented
  std::vector<Keyspace> keyspaces;
  for (const auto& [name, keyspace] : engine.keyspaces()) keyspaces.push_back(keyspace);
  check_equal(engine, model, keyspaces);
  return batches;
}

void check_recovery(MemoryEnv& env, const Submitted& submitted, std::uint64_t seed) {
  std::size_t found = 0;
  {
    auto store = open_store(env, "store", shrunk(presets::durable()), seed);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    found = check_prefix(*store->engine, submitted);
    CHECK(found >= submitted.durable_batches);
    const auto appended = (*store)->append(Event{.type = "after"});
    REQUIRE_MESSAGE(appended.ok(), appended.status().message());
    // Closed, or lost again: then what was recovered must still be in a log.
    if (seed % 2 == 0) {
      REQUIRE((*store)->close().ok());
    } else {
      env.crash_at(env.operations());
    }
  }
  if (seed % 2 != 0) env.crash(seed);
  auto again = open_store(env, "store", shrunk(presets::durable()), seed);
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  Submitted and_after{{submitted.batches.begin(), submitted.batches.begin() + static_cast<std::ptrdiff_t>(found)}, 0};
  ModelBatch after;
  after.events.emplace_back().type = "after";
  and_after.batches.push_back(after);
  CHECK(check_prefix(*again->engine, and_after) == found + 1);
}

}  // namespace

TEST_CASE("after a power loss at any operation every durable batch is there, whole and in order, and nothing else") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::uint64_t operations = 0;
  {
    MemoryEnv env;
    Submitted submitted;
    run_workload(env, seed, submitted);
    operations = env.operations();
    CHECK(submitted.durable_batches == submitted.batches.size());
  }
  REQUIRE(operations > 100);
  const std::uint64_t runs = std::min<std::uint64_t>(operations, scaled(400));
  for (std::uint64_t run = 0; run < runs; ++run) {
    const std::uint64_t crash_at = run * operations / runs;
    CAPTURE(crash_at);
    MemoryEnv env;
    env.crash_at(crash_at);
    Submitted submitted;
    run_workload(env, seed, submitted);
    env.crash(seed + crash_at);
    check_recovery(env, submitted, seed + crash_at);
  }
}

TEST_CASE("an error at any operation loses nothing that was acknowledged, and the store opens again") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::uint64_t operations = 0;
  {
    MemoryEnv env;
    Submitted submitted;
    run_workload(env, seed, submitted);
    operations = env.operations();
  }
  const std::uint64_t runs = std::min<std::uint64_t>(operations, scaled(300));
  for (std::uint64_t run = 0; run < runs; ++run) {
    const std::uint64_t fail_at = run * operations / runs;
    CAPTURE(fail_at);
    MemoryEnv env;
    env.fail_at(fail_at, Status::io_error("injected error"));
    Submitted submitted;
    run_workload(env, seed, submitted);
    env.crash(seed + fail_at);
    check_recovery(env, submitted, seed + fail_at);
  }
}

}  // namespace hdb::test
