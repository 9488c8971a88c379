// tests/support/workload.h: a seeded workload that a fault may end anywhere, and what must be there afterwards.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

inline constexpr std::size_t kWorkloadBatches = 50;

Options workload_options();

// Appends in all durabilities with key-value changes, waited for or submitted, flushes, compactions, backups, timers,
// log segments that fill, and a close and reopen half-way. Background work runs in the caller's thread on a seeded
// scheduler, so that operations are the same ones with the same seed. Single-owner.
class Workload {
 public:
  Workload(Env& env, std::uint64_t seed);

  // Until all is done, or the first error, which it returns. Afterwards store() is what is left of it.
  Status run();

  TestStore& store() { return *store_; }
  // Whether there is one that nobody has begun to close.
  bool is_open() const noexcept { return store_.has_value() && !is_closing_; }

  std::vector<ModelBatch> batches;        // submitted, in order; each has at least one event
  std::size_t acknowledged_batches = 0;   // of these
  std::size_t durable_batches = 0;        // acknowledged with kSync, or before one that was
  std::size_t batches_in_the_backup = 0;  // when the last one was finished
  std::uint64_t flushes = 0, compactions = 0, backups = 0, filled_segments = 0;  // while all went well

 private:
  Status fill_segments();
  Status append_one();
  Status finish_submitted();
  Status do_something_else();
  Status open(std::uint64_t seed);
  Status close();

  Env& env_;
  const std::uint64_t seed_;
  std::mt19937_64 random_;
  std::optional<TestStore> store_;
  struct Submitted {
    AppendTicket ticket;
    std::size_t batches_end;
    Durability durability;
  };
  std::deque<Submitted> submitted_;  // not known to be done
  bool is_closing_ = false;
};

// Checks that the engine holds the first of the batches, each whole, and nothing else; how many these are.
std::size_t check_prefix(Engine& engine, const std::vector<ModelBatch>& batches);

// Opens the store after a crash, appends, and opens it again, perhaps after another power loss.
void check_recovery(MemoryEnv& env, const Workload& workload, std::uint64_t seed);

// The backup of a workload that a crash ended is no store, or one that restores to what it held when it was made.
void check_backup(MemoryEnv& env, const Workload& workload, std::uint64_t seed);

}  // namespace hdb::test
