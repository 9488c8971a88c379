#include "tests/support/damaged_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "io/file_name.h"
#include "sstable/event_block.h"
#include "sstable/event_table.h"
#include "sstable/table_reader.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

Files files_of(Env& env, const std::string& store) {
  Files files;
  for (const std::string& directory : {store, store + "/wal", store + "/sstables"}) {
    const std::vector<std::string> names = env.list(directory).value();
    for (const std::string& name : names) {
      auto content = read_file(env, directory + "/" + name, kFileBytesMax);
      if (content.ok()) files[directory + "/" + name] = std::move(content).value();
    }
  }
  return files;
}

std::unique_ptr<MemoryEnv> disk_with(const Files& files) {
  auto env = std::make_unique<MemoryEnv>();
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    REQUIRE(env->create_directory(directory).ok());
  }
  for (const auto& [path, bytes] : files) REQUIRE(replace_file(*env, path, bytes_of(bytes)).ok());
  return env;
}

Saved make_store(bool is_closed, std::uint64_t seed) {
  MemoryEnv env;
  Saved saved;
  std::mt19937_64 random(seed);
  {
    const TestStore store = open_store(env, "store", shrunk(presets::durable()), seed).value();
    const std::vector<std::pair<std::string, Keyspace>> keyspaces = {{"first", store->keyspace("first").value()},
                                                                     {"second", store->keyspace("second").value()}};
    const auto append_some = [&](int batches) {
      for (; batches > 0; --batches) {
        ModelBatch batch;
        for (std::uint64_t events = random() % 6; events > 0; --events) {
          batch.events.push_back(random_event(random));
          batch.events.back().payload.resize(std::min<std::size_t>(batch.events.back().payload.size(), 200));
        }
        for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
          const auto& [name, keyspace] = keyspaces[random() % 2];
          ModelChange change{keyspace.id(), "key" + std::to_string(random() % 60), {}};
          if (random() % 4 != 0) change.value = std::to_string(random()) + std::string(random() % 60, 'v');
          const std::string key = name + "/" + change.key;
          if (change.value) saved.values[key].insert(*change.value);
          saved.last[key] = change.value;
          batch.changes.push_back(std::move(change));
        }
        store.clock->advance(std::chrono::milliseconds(1));  // so that commit times tell batches apart
        REQUIRE(append(*store.engine, batch, Durability::kSync).ok());
        saved.events.insert(saved.events.end(), batch.events.begin(), batch.events.end());
      }
    };
    for (int round = 0; round < 3; ++round) {
      append_some(40);
      REQUIRE(store->flush().ok());
    }
    REQUIRE(store->compact().ok());
    append_some(30);
    REQUIRE(store->flush().ok());
    append_some(20);
    REQUIRE(store->flush().ok());
    append_some(20);
    if (is_closed) REQUIRE(store->close().ok());
    saved.files = files_of(env, "store");
  }
  return saved;
}

Salvaged check_salvage(MemoryEnv& env, const Saved& saved, bool takes_unproved_keys) {
  Salvaged result;
  const Files before = files_of(env, "store");
  const auto told = dump::salvage_store(env, "store", {.target = {}, .takes_unproved_keys = takes_unproved_keys},
                                        [&result](std::string_view line) { result.lines.emplace_back(line); });
  REQUIRE_MESSAGE(told.ok(), told.status().message());
  std::vector<std::string> lines;
  const auto done = dump::salvage_store(env, "store", {.target = "copy", .takes_unproved_keys = takes_unproved_keys},
                                        [&lines](std::string_view line) { lines.emplace_back(line); });
  REQUIRE_MESSAGE(done.ok(), done.status().message());
  CHECK(lines == result.lines);
  CHECK(files_of(env, "store") == before);
  result.report = done.value();
  CHECK(told->key_versions == done->key_versions);

  auto copy = open_store(env, "copy", shrunk(presets::durable()), 9, OpenMode::kOpen);
  REQUIRE_MESSAGE(copy.ok(), copy.status().message());
  const std::uint64_t positions = (*copy)->stats().events;
  REQUIRE(positions <= saved.events.size());
  CHECK(positions == done->events + done->lost_events());
  std::size_t wrong = 0;
  std::vector<dump::LostPositions> lost;
  for (Position position = 0; position < positions; ++position) {
    const auto found = (*copy)->get(position);
    if (found.status().code() == StatusCode::kLost) {
      if (lost.empty() || lost.back().end != position) lost.push_back({position, position});
      lost.back().end = position + 1;
    } else if (!found.ok() || !found.value() || !is_same(saved.events[position], *found.value())) {
      ++wrong;
    }
  }
  CHECK(wrong == 0);
  CHECK(lost == done->lost_positions);
  std::vector<StoredEvent> queried;
  auto cursor = (*copy)->query(Query{});
  REQUIRE(cursor.ok());
  REQUIRE(cursor->next_batch(saved.events.size(), queried).ok());
  CHECK(queried.size() == done->events);

  const bool is_proved = !takes_unproved_keys && done->is_manifest_sound;
  for (const auto& [name, keyspace] : (*copy)->keyspaces()) {
    auto keys = (*copy)->scan(keyspace, KeyRange{});
    REQUIRE(keys.ok());
    while (true) {
      const auto pair = keys->next();
      REQUIRE_MESSAGE(pair.ok(), pair.status().message());
      if (!pair.value()) break;
      const std::string key = name + "/" + std::string(as_text((*pair)->key));
      const std::string value(as_text((*pair)->value));
      if (!name.starts_with("salvaged-") && !saved.values.at(key).contains(value)) ++wrong;
      // A tail that nothing tells of is not known to be lost.
      if (is_proved && positions == saved.events.size() && saved.last.at(key) != value) ++wrong;
    }
  }
  CHECK(wrong == 0);
  return result;
}

namespace {

constexpr std::uint64_t kTableCacheBytes = 1u << 20;

FileNumber number_of(const std::string& path) {
  return parse_table_name(path.substr(path.rfind('/') + 1)).value();
}

}  // namespace

sstable::BlockHandle properties_of(const Files& files, const std::string& path) {
  const auto env = disk_with(files);
  sstable::BlockCache cache(kTableCacheBytes);
  const auto table = sstable::TableReader::open(*env, path, number_of(path), cache);
  REQUIRE(table.ok());
  return table.value()->footer().properties;
}

sstable::BlockHandle last_event_block_of(const Files& files, const std::string& path) {
  const auto env = disk_with(files);
  sstable::BlockCache cache(kTableCacheBytes);
  const auto table = sstable::EventTable::open(*env, path, number_of(path), cache);
  return table.ok() ? table.value()->blocks().back().handle : sstable::BlockHandle{};
}

Files with_damaged_tables(Files files) {
  for (auto& [path, bytes] : files) {
    if (path.find(".sst") != std::string::npos) bytes[10] ^= std::byte{1};
  }
  return files;
}

std::string path_of(const Files& files, const std::string& word) {
  for (const auto& [path, bytes] : files) {
    if (path.find(word) != std::string::npos) return path;
  }
  FAIL("there is no file named ", word);
  return "";
}

std::size_t key_count(const Saved& saved) {
  return static_cast<std::size_t>(
      std::count_if(saved.last.begin(), saved.last.end(), [](const auto& key) { return key.second.has_value(); }));
}

std::size_t keys_in(Env& env, const std::string& directory) {
  const TestStore store = open_store(env, directory, shrunk(presets::durable()), 9, OpenMode::kOpen).value();
  std::size_t keys = 0;
  for (const auto& [name, keyspace] : store->keyspaces()) {
    auto cursor = store->scan(keyspace, KeyRange{}).value();
    while (cursor.next().value()) ++keys;
  }
  return keys;
}

}  // namespace hdb::test
