// tests/support/test_store.h: an engine on a test's own files, clock and scheduler.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <hdb/engine.h>

#include "engine/store.h"
#include "tests/support/manual_background.h"

namespace hdb::test {

// An engine whose background work runs in the test's thread. Single-owner.
struct TestStore {
  std::unique_ptr<ManualClock> clock;
  std::unique_ptr<Engine> engine;
  ManualBackground* background = nullptr;  // the engine's

  Engine* operator->() const { return engine.get(); }
};

inline Platform make_platform(Env& env, std::uint64_t seed, TestStore& store) {
  store.clock = std::make_unique<ManualClock>();
  auto background = std::make_unique<ManualBackground>(seed);
  store.background = background.get();
  return {.env = &env, .clock = store.clock.get(), .background = std::move(background), .seed = seed};
}

inline Result<TestStore> open_store(Env& env, const std::string& directory, const Options& options, std::uint64_t seed,
                                    OpenMode mode = OpenMode::kOpenOrCreate, Hooks hooks = {}) {
  TestStore store;
  Platform platform = make_platform(env, seed, store);
  store.engine =
      std::make_unique<Engine>(HDB_TRY(Store::open(directory, options, mode, std::move(hooks), std::move(platform))));
  return store;
}

inline Result<TestStore> open_store_read_only(Env& env, const std::string& directory, const Options& options,
                                              Hooks hooks = {}) {
  TestStore store;
  Platform platform = make_platform(env, /*seed=*/1, store);
  store.engine = std::make_unique<Engine>(
      HDB_TRY(Store::open_read_only(directory, options, std::move(hooks), std::move(platform))));
  return store;
}

// Threads of the machine, over `env`.
inline Result<std::unique_ptr<Engine>> open_with_threads(Env& env, const std::string& directory,
                                                         const Options& options) {
  return std::make_unique<Engine>(
      HDB_TRY(Store::open(directory, options, OpenMode::kOpenOrCreate, {},
                          Platform{.env = &env,
                                   .clock = &system_clock(),
                                   .background = thread_background(options.background_threads),
                                   .seed = 1})));
}

// The same purpose at a size where a few hundred events fill memtables, make tables and merge them.
inline Options shrunk(Options options) {
  options.memtable_bytes = 64u << 10;
  options.log_segment_bytes = 256u << 10;
  options.log_bytes_max = 1u << 20;
  options.reserve_bytes = 0;  // tests of a full disk count bytes
  options.block_bytes = 1u << 10;
  options.table_bytes_target = 64u << 10;
  options.block_cache_bytes = 1u << 20;
  options.event_merge_width = 3;
  options.open_tables_max = 16;
  return options;
}

}  // namespace hdb::test
