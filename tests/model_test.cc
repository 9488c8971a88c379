// Random operations against an oracle: appends, key-value changes, flushes, compactions, snapshots, queries and
// reopens, under every preset. A failure names its seed: HDB_TEST_SEED repeats it.
#include <doctest/doctest.h>

#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

struct Held {
  Snapshot snapshot;
  Model model;  // as of the snapshot
};

void run_operations(const Options& options, std::uint64_t seed, std::size_t operations) {
  std::mt19937_64 random(seed);
  MemoryEnv env;
  auto opened = open_store(env, "store", options, seed);
  REQUIRE_MESSAGE(opened.ok(), opened.status().message());
  TestStore store = std::move(opened).value();
  const std::vector<Keyspace> keyspaces = {store->keyspace("first").value(), store->keyspace("second").value()};
  Model model;
  std::vector<Held> held;
  for (std::size_t operation = 0; operation < operations; ++operation) {
    CAPTURE(operation);
    const std::uint64_t choice = random() % 100;
    if (choice < 60) {
      const ModelBatch batch = random_batch(random, keyspaces, random() % 10 == 0 ? 200 : 8);
      const auto result = append(*store.engine, batch, static_cast<Durability>(random() % 3));
      REQUIRE_MESSAGE(result.ok(), result.status().message());
      CHECK(result->count == batch.events.size());
      CHECK(result->first_position == model.events.size());
      model.apply(batch);
    } else if (choice < 63) {
      REQUIRE(store->flush().ok());
    } else if (choice < 65) {
      const Status compacted = store->compact();
      REQUIRE_MESSAGE(compacted.ok(), compacted.message());
    } else if (choice < 70) {
      store.background->run_tasks();
    } else if (choice < 73 && held.size() < 4) {
      held.push_back({store->snapshot().value(), model});
    } else if (choice < 76 && !held.empty()) {
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(random() % held.size()));
    } else if (choice < 78) {
      held.clear();
      const Status closed = store->close();
      REQUIRE_MESSAGE(closed.ok(), closed.message());
      opened = open_store(env, "store", options, random(), OpenMode::kOpen);
      REQUIRE_MESSAGE(opened.ok(), opened.status().message());
      store = std::move(opened).value();
      check_equal(*store.engine, model, keyspaces);
    } else if (choice < 92) {
      check_query(*store.engine, model, random_query(random), nullptr, model.events.size());
    } else if (!held.empty()) {
      const Held& chosen = held[random() % held.size()];
      check_query(*store.engine, model, random_query(random), &chosen.snapshot, chosen.model.events.size());
      for (const auto& [key, value] : chosen.model.values) {
        const auto found = store->get(Keyspace(key.first), as_bytes(key.second), &chosen.snapshot);
        REQUIRE(found.ok());
        REQUIRE(found.value().has_value());
        CHECK(as_text(found.value()->bytes()) == value);
      }
    }
  }
  check_equal(*store.engine, model, keyspaces);
  held.clear();
  CHECK(store->close().ok());
}

// Any options that are valid, of a size at which a few hundred events reach every part.
Options random_options(std::mt19937_64& random) {
  Options options = shrunk(all_presets()[random() % all_presets().size()].make());
  options.durability = static_cast<Durability>(random() % 3);
  options.sync_interval_ms = static_cast<std::uint32_t>(1 + random() % 1000);
  options.memtable_bytes = (64u << 10) << random() % 3;
  options.sealed_memtables_max = static_cast<std::uint32_t>(1 + random() % 3);
  options.log_bytes_max = (1u << 20) << random() % 3;
  options.log_segment_bytes = (256u << 10) << random() % 3;
  options.reserve_bytes = random() % 2 * (64u << 10);
  options.block_cache_bytes = (1u << 20) << random() % 3;
  options.block_bytes = 1024u << random() % 8;
  options.compression = static_cast<Compression>(random() % 2);
  options.compression_level = static_cast<std::uint32_t>(1 + random() % 6);
  options.filter_bits_per_key = static_cast<std::uint32_t>(random() % 20);
  options.table_bytes_target = (64u << 10) << random() % 5;
  options.event_merge_width = static_cast<std::uint32_t>(2 + random() % 6);
  options.level0_compaction_trigger = static_cast<std::uint32_t>(2 + random() % 4);
  options.level0_stop_trigger = options.level0_compaction_trigger + 2 + static_cast<std::uint32_t>(random() % 20);
  options.level_size_ratio = static_cast<std::uint32_t>(2 + random() % 9);
  options.background_threads = static_cast<std::uint32_t>(1 + random() % 4);
  options.leaf_hashes = random() % 2 == 0;
  return options;
}

}  // namespace

TEST_CASE("under every preset random operations give what the model gives, over flushes, compactions and reopens") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  for (const Preset& preset : all_presets()) {
    CAPTURE(preset.name);
    run_operations(shrunk(preset.make()), seed, scaled(300));
  }
}

TEST_CASE("the same operations give the same answers under a dozen sets of random options") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int set = 0; set < 12; ++set) {
    const Options options = random_options(random);
    REQUIRE(validate(options).ok());
    CAPTURE(to_toml(options));
    run_operations(options, seed, scaled(150));
  }
}

TEST_CASE("the same operations give the same answers with single-entry tables, no filters and one thread") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  Options options = shrunk(presets::small());
  options.filter_bits_per_key = 0;
  options.event_merge_width = 2;
  options.level0_compaction_trigger = 2;
  options.level_size_ratio = 2;
  options.background_threads = 1;
  options.sealed_memtables_max = 1;
  run_operations(options, seed, scaled(400));
}

}  // namespace hdb::test
