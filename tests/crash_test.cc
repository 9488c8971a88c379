// Power loss, or an error, at every operation of a seeded workload: run until the n-th operation on files, lose what
// was not synced (and a seeded part of the rest survives), reopen twice, and compare with the model of what was
// submitted.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"
#include "tests/support/workload.h"

namespace hdb::test {

namespace {

// How many operations the workload takes. A workload that does not do what the loops are about would cover nothing.
std::uint64_t operations_of(std::uint64_t seed) {
  MemoryEnv env;
  Workload workload(env, seed);
  const Status done = workload.run();
  REQUIRE_MESSAGE(done.ok(), done.message());
  CHECK(workload.durable_batches == kWorkloadBatches);
  CHECK(workload.flushes > 0);
  CHECK(workload.compactions > 0);
  CHECK(workload.backups > 0);
  CHECK(workload.filled_segments > 0);
  return env.operations();
}

// A seed whose workload flushes, compacts and backs up: which of them it does is drawn.
std::uint64_t seed_of_a_full_workload() {
  std::uint64_t seed = test_seed();
  while (true) {
    MemoryEnv env;
    Workload workload(env, seed);
    const Status done = workload.run();
    REQUIRE_MESSAGE(done.ok(), done.message());
    if (workload.compactions > 0 && workload.backups > 0) return seed;
    ++seed;
  }
}

}  // namespace

TEST_CASE("after a power loss at any operation every durable batch is there, whole and in order, and nothing else") {
  const std::uint64_t seed = seed_of_a_full_workload();
  CAPTURE(seed);
  const std::uint64_t operations = operations_of(seed);
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
  const std::uint64_t seed = seed_of_a_full_workload();
  CAPTURE(seed);
  const std::uint64_t operations = operations_of(seed);
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

}  // namespace hdb::test
