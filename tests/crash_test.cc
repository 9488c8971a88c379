// Power loss, or an error, at every operation of a seeded workload: run until the n-th operation on files, lose what
// was not synced (and a seeded part of the rest survives), reopen twice, and compare with the model of what was
// submitted. And errors at every operation of background work, which no caller waits for.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_run.h"
#include "tests/support/test_store.h"
#include "tests/support/workload.h"

namespace hdb::test {

namespace {

struct FullWorkload {
  std::uint64_t seed;
  std::uint64_t operations;
};

// A workload that does all that the loops are about: which of it a seed does is drawn.
FullWorkload full_workload() {
  const std::uint64_t first = test_seed();
  for (std::uint64_t seed = first; seed < first + 200; ++seed) {
    MemoryEnv env;
    Workload workload(env, seed);
    const Status done = workload.run();
    REQUIRE_MESSAGE(done.ok(), done.message());
    CHECK(workload.durable_batches == kWorkloadBatches);
    const bool is_full =
        workload.flushes > 0 && workload.compactions > 0 && workload.backups > 0 && workload.filled_segments > 0;
    if (is_full) return {seed, env.operations()};
  }
  FAIL("no workload of 200 seeds flushes, compacts, backs up and fills segments");
  return {};
}

// A store that has a flush to do, and then has to merge its tables of events and of keys. Single-owner.
class BusyStore {
 public:
  explicit BusyStore(std::uint64_t seed) : random_(seed) {
    Hooks hooks;
    hooks.listener = [this](Notice notice, std::string_view text) {
      if (notice == Notice::kError) errors.emplace_back(text);
    };
    store = open_store(env, "store", options(), seed, OpenMode::kOpenOrCreate, hooks).value();
    keyspaces.push_back(store->keyspace("keys").value());
    for (std::uint32_t table = 1; table < options().event_merge_width; ++table) {
      fill_memtable();
      store.background->run_tasks();
    }
    fill_memtable();
  }
  BusyStore(const BusyStore&) = delete;
  BusyStore& operator=(const BusyStore&) = delete;

  static Options options() {
    Options options = shrunk(presets::durable());
    options.level0_compaction_trigger = options.event_merge_width;
    options.table_bytes_target = 1u << 20;  // each merge makes one table
    return options;
  }

  bool is_flushed() const { return store->stats().sealed_memtables == 0; }
  // Whether its tables are those of `done`, after all work.
  bool is_done(const Stats& done) const {
    const Stats stats = store->stats();
    return stats.sealed_memtables == 0 && stats.event_tables == done.event_tables &&
           stats.keyspace_tables_by_level == done.keyspace_tables_by_level;
  }
  void check_holds_all() const { check_equal(*store.engine, model_, keyspaces); }

  MemoryEnv env;
  std::vector<std::string> errors;  // that the listener was told
  TestStore store;
  std::vector<Keyspace> keyspaces;
  std::vector<ModelBatch> batches;

 private:
  // What seals it is one append more.
  void fill_memtable() {
    while (is_flushed()) {
      batches.push_back(random_batch(random_, keyspaces, 20));
      batches.back().events.push_back(random_event(random_));
      REQUIRE(append(*store.engine, batches.back(), Durability::kSync).ok());
      model_.apply(batches.back());
    }
  }

  std::mt19937_64 random_;
  Model model_;
};

struct Work {
  std::uint64_t seed = 0;
  std::uint64_t operations = 0;
  Stats done;
};

// Of the first seed from `first` on whose BusyStore flushes, merges events and merges keys.
Work work_from(std::uint64_t first) {
  for (std::uint64_t seed = first; seed < first + 200; ++seed) {
    BusyStore busy(seed);
    REQUIRE(!busy.is_flushed());
    const Stats before = busy.store->stats();
    const std::uint64_t begin = busy.env.operations();
    busy.store.background->run_tasks();
    REQUIRE(busy.is_flushed());
    CHECK(busy.errors.empty());
    const Stats done = busy.store->stats();
    // The flush alone would have left more of each.
    const bool has_merged_both = done.event_tables <= before.event_tables &&
                                 done.keyspace_tables_by_level.front() <= before.keyspace_tables_by_level.front();
    if (has_merged_both) return {seed, busy.env.operations() - begin, done};
  }
  FAIL("no store of 200 seeds merges events and keys behind a flush");
  return {};
}

}  // namespace

TEST_CASE("after a power loss at any operation every durable batch is there, whole and in order, and nothing else") {
  const auto [seed, operations] = full_workload();
  CAPTURE(seed);
  const std::uint64_t runs = std::min<std::uint64_t>(operations, scaled(300));
  for (std::uint64_t run = 0; run < runs; ++run) {
    const std::uint64_t crash_at = run * operations / runs;
    CAPTURE(crash_at);
    MemoryEnv env;
    env.crash_at(crash_at);
    {
      Workload workload(env, seed);
      CHECK(!workload.run().ok());
      env.crash(seed + crash_at);
      check_backup(env, workload, seed + crash_at);
      check_recovery(env, workload, seed + crash_at);
    }
  }
}

TEST_CASE("an error at any operation loses nothing that was acknowledged, and the store opens again") {
  const auto [seed, operations] = full_workload();
  CAPTURE(seed);
  const std::uint64_t runs = std::min<std::uint64_t>(operations, scaled(200));
  for (std::uint64_t run = 0; run < runs; ++run) {
    const std::uint64_t fail_at = run * operations / runs;
    CAPTURE(fail_at);
    MemoryEnv env;
    env.fail_at(fail_at, Status::io_error("injected error"));
    Workload workload(env, seed);
    ignore(workload.run(), "some errors are made good");
    CHECK(env.faults_injected(Fault::kFailedOperation) == 1);
    env.crash(seed + fail_at);
    check_backup(env, workload, seed + fail_at);
    check_recovery(env, workload, seed + fail_at);
  }
}

TEST_CASE(
    "a flush or a merge that an error ends leaves its input, is told to the listener, and is tried again by itself") {
  const auto [seed, operations, done] = work_from(test_seed());
  CAPTURE(seed);
  const std::uint64_t runs = std::min<std::uint64_t>(operations, scaled(200));
  std::uint64_t flushes = 0, merges = 0, stopped = 0;  // that ended by an error
  for (const bool is_lasting : {false, true}) {
    for (std::uint64_t run = 0; run < runs; ++run) {
      const std::uint64_t fail_at = run * operations / runs;
      CAPTURE(is_lasting);
      CAPTURE(fail_at);
      BusyStore busy(seed);
      const std::uint64_t number = busy.env.operations() + fail_at;
      is_lasting ? busy.env.fail_from(number) : busy.env.fail_at(number);
      busy.store.background->run_tasks();
      REQUIRE(busy.env.faults_injected(Fault::kFailedOperation) > 0);
      busy.env.heal();
      if (!busy.is_done(done)) {
        ++(busy.is_flushed() ? merges : flushes);
        REQUIRE(!busy.errors.empty());
        CHECK_MESSAGE(busy.errors.front().find("injected fault") != std::string::npos, busy.errors.front());
      }
      busy.check_holds_all();
      // A manifest that could not be written leaves open what the next open finds: then nothing more is written.
      const Status appended = busy.store->append(Event{.type = "after"}).status();
      if (appended.ok()) {
        busy.batches.emplace_back().events.emplace_back().type = "after";
        busy.store.background->run_timers();
        busy.store.background->run_tasks();
        CHECK(busy.is_done(done));
      } else {
        CHECK(appended.code() == StatusCode::kClosed);
        CHECK(is_lasting);
        CHECK(!busy.errors.empty());
        ++stopped;
      }
      busy.env.crash_at(busy.env.operations());
      busy.env.crash(seed + run);
      const auto again = open_store(busy.env, "store", BusyStore::options(), seed);
      REQUIRE_MESSAGE(again.ok(), again.status().message());
      CHECK(check_prefix(*again->engine, busy.batches) == busy.batches.size());
    }
  }
  CHECK(flushes > 0);  // the first operation is of a flush
  if (runs < operations) return;
  CHECK(merges > 0);
  CHECK(stopped > 0);
}

}  // namespace hdb::test
