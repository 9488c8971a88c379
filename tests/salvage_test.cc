// What is made of a damaged store: everything intact at its old place, nothing else, and an account of what is lost.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/batch.h"
#include "base/record.h"
#include "io/file_name.h"
#include "sstable/event_table_builder.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"
#include "tools/dump/dump.h"
#include "tools/dump/salvage.h"
#include "wal/format.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kFileBytesMax = 64u << 20;

using Files = std::map<std::string, Buffer>;

// A store's files, and all that was ever in it.
struct Saved {
  Files files;
  std::vector<OwnedEvent> events;
  // By keyspace and key: every value it ever had, and the last, empty if it was erased.
  std::map<std::string, std::set<std::string>> values;
  std::map<std::string, std::optional<std::string>> last;
};

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

// Events and keys in merged and in fresh tables, and in the log unless it is closed; keys are rewritten and erased all
// the time, so that every level holds older versions of what is above.
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

struct Salvaged {
  dump::SalvageReport report;
  std::vector<std::string> lines;
};

// Salvages into "copy", checks that nothing in "store" was changed, that a look without writing tells the same, and
// that the copy holds what the report says: each event at its place or told lost, and of keys no value they never had.
Salvaged check_salvage(MemoryEnv& env, const Saved& saved, bool takes_unproved_keys = false) {
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

  // What is proved is the last value, unless changes were lost in the log, which may have been of any key.
  const bool is_proved = !takes_unproved_keys && done->lost_changes == 0 && done->is_manifest_sound;
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

// The first file whose name has the word in it.
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

}  // namespace

TEST_CASE("a sound store is salvaged whole, closed or killed, and told to be sound") {
  for (const bool is_closed : {true, false}) {
    CAPTURE(is_closed);
    const Saved saved = make_store(is_closed, 5);
    const auto env = disk_with(saved.files);
    const Salvaged salvaged = check_salvage(*env, saved);
    CHECK(salvaged.report.is_whole());
    CHECK(salvaged.lines.empty());
    CHECK(salvaged.report.events == saved.events.size());
    CHECK(keys_in(*env, "copy") == key_count(saved));
  }
}

TEST_CASE("a flipped byte anywhere costs only what it hit, and that is told") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::uint64_t lost_events = 0;
  std::uint64_t lost_keys = 0;
  for (const bool is_closed : {true, false}) {
    const Saved saved = make_store(is_closed, seed);
    for (std::size_t run = 0; run < scaled(60); ++run) {
      auto damaged = saved.files.begin();
      std::advance(damaged, static_cast<std::ptrdiff_t>(random() % saved.files.size()));
      if (damaged->second.empty()) continue;
      Files files = saved.files;
      const std::size_t at = random() % damaged->second.size();
      files[damaged->first][at] ^= static_cast<std::byte>(1u << random() % 8);
      CAPTURE(damaged->first);
      CAPTURE(at);
      const auto env = disk_with(files);
      const Salvaged salvaged = check_salvage(*env, saved);
      const dump::SalvageReport& report = salvaged.report;
      lost_events += report.lost_events();
      lost_keys += report.lost_key_versions;
      if (!report.is_whole()) CHECK(!salvaged.lines.empty());
      // A block or a batch: none here has more than that.
      CHECK(report.lost_events() <= 40);
      if (damaged->first.find("sstables") != std::string::npos) {
        CHECK_MESSAGE(!report.is_whole(), "a flipped byte of a table is always found");
        CHECK(report.events + report.lost_events() == saved.events.size());
      }
    }
  }
  CHECK(lost_events > 0);
  CHECK(lost_keys > 0);
}

TEST_CASE("of a table or a log segment that is missing or cut short everything else is salvaged") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const bool is_closed : {true, false}) {
    const Saved saved = make_store(is_closed, seed);
    for (const auto& [path, bytes] : saved.files) {
      if (path.find(".sst") == std::string::npos && path.find(".wal") == std::string::npos) continue;
      for (const bool is_removed : {true, false}) {
        CAPTURE(path);
        CAPTURE(is_removed);
        Files files = saved.files;
        if (is_removed) {
          files.erase(path);
        } else {
          files[path].resize(random() % bytes.size());
        }
        const auto env = disk_with(files);
        const Salvaged salvaged = check_salvage(*env, saved);
        if (path.find(".sst") == std::string::npos) continue;
        CHECK(!salvaged.report.is_whole());
        CHECK(salvaged.report.events + salvaged.report.lost_events() == saved.events.size());
      }
    }
  }
}

TEST_CASE("a value that was erased or rewritten does not come back from under a damaged table") {
  const Saved saved = make_store(true, 11);
  // The newest table of keys is the last flushed.
  std::size_t lost = 0;
  for (const auto& [path, bytes] : saved.files) {
    if (path.find(".sst") == std::string::npos) continue;
    Files files = saved.files;
    files.erase(path);
    const auto env = disk_with(files);
    const Salvaged salvaged = check_salvage(*env, saved);  // finds every value that is not the last
    if (salvaged.report.doubtful_keys.empty()) continue;
    ++lost;
    const auto told = std::any_of(salvaged.lines.begin(), salvaged.lines.end(), [](const std::string& line) {
      return line.starts_with("lost    versions of keys ");
    });
    CHECK(told);
    // With all that can be read, more comes back.
    const auto again = disk_with(files);
    const Salvaged all = check_salvage(*again, saved, /*takes_unproved_keys=*/true);
    CHECK(all.report.unproved_key_versions == 0);
    CHECK(all.report.key_versions == salvaged.report.key_versions + salvaged.report.unproved_key_versions);
  }
  CHECK(lost > 0);
}

TEST_CASE("without its manifest a store keeps every event, and keys only if they are asked for") {
  for (const bool is_closed : {true, false}) {
    CAPTURE(is_closed);
    const Saved saved = make_store(is_closed, 7);
    Files files = saved.files;
    files.erase(path_of(saved.files, "MANIFEST"));
    auto env = disk_with(files);
    const Salvaged salvaged = check_salvage(*env, saved);
    CHECK(!salvaged.report.is_manifest_sound);
    CHECK(salvaged.report.events == saved.events.size());
    CHECK(salvaged.report.lost_positions.empty());
    CHECK(salvaged.report.key_versions == 0);
    CHECK(salvaged.report.unproved_key_versions > 0);
    CHECK(keys_in(*env, "copy") == 0);

    env = disk_with(files);
    check_salvage(*env, saved, /*takes_unproved_keys=*/true);
    // No table was dropped since, so that all are the newest.
    CHECK(keys_in(*env, "copy") == key_count(saved));
  }
}

TEST_CASE("a damaged CURRENT costs nothing: the only manifest is the one it named") {
  for (const bool is_closed : {true, false}) {
    for (const bool is_removed : {true, false}) {
      CAPTURE(is_closed);
      CAPTURE(is_removed);
      const Saved saved = make_store(is_closed, 7);
      Files files = saved.files;
      files["store/CURRENT"][5] ^= std::byte{1};
      if (is_removed) files.erase("store/CURRENT");
      const auto env = disk_with(files);
      const Salvaged salvaged = check_salvage(*env, saved);
      CHECK(!salvaged.report.is_whole());
      CHECK(salvaged.report.events == saved.events.size());
      CHECK(keys_in(*env, "copy") == key_count(saved));
    }
  }
}

TEST_CASE("a manifest that lost its last edits costs no event and brings no old value back") {
  for (const bool is_closed : {true, false}) {
    const Saved saved = make_store(is_closed, 19);
    const std::string path = path_of(saved.files, "MANIFEST");
    const std::size_t whole = saved.files.at(path).size();
    for (std::size_t cut = 8; cut < whole; cut += 8) {
      CAPTURE(is_closed);
      CAPTURE(cut);
      Files files = saved.files;
      files[path].resize(whole - cut);
      const auto env = disk_with(files);
      CHECK(check_salvage(*env, saved).report.events == saved.events.size());
    }
  }
}

TEST_CASE("a manifest that lost the edit of a merge costs no event: the merged table has what the manifest misses") {
  MemoryEnv env;
  Buffer before;
  std::string manifest;
  {
    const TestStore store = open_store(env, "store", shrunk(presets::durable()), 7).value();
    for (int table = 0; table < 4; ++table) {
      for (int event = 0; event < 20; ++event) REQUIRE(store->append(Event{.type = "t"}).ok());
      if (table == 3) break;  // these stay in the log
      REQUIRE(store->flush().ok());
      manifest = path_of(files_of(env, "store"), "MANIFEST");
      before = read_file(env, manifest, kFileBytesMax).value();
    }
    const std::size_t tables = env.list("store/sstables").value().size();
    store.background->run_tasks();
    REQUIRE(env.list("store/sstables").value().size() < tables);
    env.fail_from(env.operations());
  }
  env.heal();
  const Buffer whole = read_file(env, manifest, kFileBytesMax).value();
  REQUIRE(whole.size() > before.size());
  for (std::size_t cut = 0; cut <= whole.size() - before.size(); cut += 8) {
    CAPTURE(cut);
    REQUIRE(replace_file(env, manifest, bytes_of(whole).first(whole.size() - cut)).ok());
    const auto report = dump::salvage_store(env, "store", {}, [](std::string_view) {});
    REQUIRE(report.ok());
    CHECK(report->events == 80);
    CHECK(report->lost_events() == 0);
  }
}

TEST_CASE("what a damaged table lost is taken from a table that the manifest does not name any more") {
  MemoryEnv env;
  Saved saved;
  {
    const TestStore store = open_store(env, "store", shrunk(presets::durable()), 7).value();
    std::mt19937_64 random(7);
    for (int event = 0; event < 60; ++event) {
      saved.events.push_back(random_event(random));
      REQUIRE(store->append(saved.events.back().view()).ok());
      if (event % 20 == 19) REQUIRE(store->flush().ok());
    }
    saved.files = files_of(env, "store");
    REQUIRE(store->compact().ok());
    REQUIRE(store->close().ok());
  }
  Files files = files_of(env, "store");
  std::size_t merged = 0;
  for (auto& [path, bytes] : files) {
    if (path.find(".sst") == std::string::npos) continue;
    bytes[10] ^= std::byte{1};
    ++merged;
  }
  REQUIRE(merged == 1);
  const auto damaged = disk_with(files);
  REQUIRE(check_salvage(*damaged, saved).report.lost_events() > 0);
  // The merge's inputs, as a crash may leave them.
  std::size_t left = 0;
  for (const auto& [path, bytes] : saved.files) {
    if (path.find(".sst") != std::string::npos) left += files.emplace(path, bytes).second;
  }
  REQUIRE(left == 3);
  const auto env_with_inputs = disk_with(files);
  const Salvaged salvaged = check_salvage(*env_with_inputs, saved);
  CHECK(salvaged.report.is_manifest_sound);
  CHECK(salvaged.report.events == 60);
  CHECK(salvaged.report.lost_events() == 0);
}

TEST_CASE("a manifest that lost the edit of a keyspace proves no key") {
  for (const bool is_flushed : {false, true}) {
    CAPTURE(is_flushed);
    MemoryEnv env;
    Buffer before;
    std::string manifest;
    {
      const TestStore store = open_store(env, "store", shrunk(presets::durable()), 7).value();
      const Keyspace first = store->keyspace("first").value();
      REQUIRE(store->put(first, as_bytes("key"), as_bytes("value")).ok());
      manifest = path_of(files_of(env, "store"), "MANIFEST");
      before = read_file(env, manifest, kFileBytesMax).value();
      const Keyspace second = store->keyspace("second").value();
      REQUIRE(store->put(second, as_bytes("key"), as_bytes("value")).ok());
      if (is_flushed) REQUIRE(store->flush().ok());
      env.crash_at(env.operations());
    }
    env.crash(1);
    REQUIRE(replace_file(env, manifest, bytes_of(before)).ok());
    std::vector<std::string> lines;
    const auto report = dump::salvage_store(env, "store", {.target = "copy"},
                                            [&lines](std::string_view line) { lines.emplace_back(line); });
    REQUIRE_MESSAGE(report.ok(), report.status().message());
    CHECK(!report->is_manifest_sound);
    CHECK(report->key_versions == 0);
    CHECK(report->unproved_key_versions >= 2);
    CHECK(keys_in(env, "copy") == 0);
    CHECK(std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
      return line.find("keyspace number 2, which the manifest does not name") != std::string::npos;
    }));
  }
}

TEST_CASE("what is cut off, or appended, behind the last block of a table costs nothing") {
  const Saved saved = make_store(true, 23);
  for (const auto& [path, bytes] : saved.files) {
    if (path.find(".sst") == std::string::npos) continue;
    for (const int change : {-64, -63, -1, 1, 64, 4096}) {
      CAPTURE(path);
      CAPTURE(change);
      Files files = saved.files;
      files[path].resize(static_cast<std::size_t>(static_cast<std::ptrdiff_t>(bytes.size()) + change));
      const auto env = disk_with(files);
      const Salvaged salvaged = check_salvage(*env, saved);
      CHECK(!salvaged.report.damages.empty());
      CHECK(salvaged.report.events == saved.events.size());
      CHECK(salvaged.report.lost_key_versions == 0);
      CHECK(keys_in(*env, "copy") == key_count(saved));
    }
  }
}

TEST_CASE("a sector of a table that cannot be read costs the events of the blocks that it is in, and no others") {
  MemoryEnv disk;
  {
    const TestStore store = open_store(disk, "store", shrunk(presets::durable()), 7).value();
    std::mt19937_64 random(1);
    for (int event = 0; event < 60; ++event) {
      std::string payload(700, ' ');
      for (char& letter : payload) letter = static_cast<char>(random());
      REQUIRE(store->append(Event{.type = "t", .payload = as_bytes(payload)}).ok());
    }
    REQUIRE(store->close().ok());
  }
  const auto names = disk.list("store/sstables").value();
  REQUIRE(names.size() == 1);
  const std::string path = "store/sstables/" + names.front();
  const std::uint64_t bytes = disk.file_bytes(path).value();
  std::uint64_t lost = 0;
  for (std::uint64_t sector = 0; sector < bytes; sector += 512) {
    CAPTURE(sector);
    disk.fail_reads_of(path, sector, sector + 512);
    const auto report = dump::salvage_store(disk, "store", {}, [](std::string_view) {});
    disk.heal();
    REQUIRE_MESSAGE(report.ok(), report.status().message());
    CHECK(!report->is_whole());
    CHECK(report->lost_events() <= 12);  // of two blocks of 4 KiB
    CHECK(report->events + report->lost_events() == 60);
    lost += report->lost_events();
  }
  CHECK(lost > 0);
}

TEST_CASE("a large table without compression and footer is read whole") {
  MemoryEnv env;
  Saved saved;
  Options options = presets::throughput();
  options.reserve_bytes = 0;
  {
    const TestStore store = open_store(env, "store", options, 1).value();
    std::mt19937_64 random(1);
    for (int batch = 0; batch < 40; ++batch) {
      std::vector<Event> events;
      std::vector<OwnedEvent> owned;
      for (int event = 0; event < 250; ++event) owned.push_back(random_event(random));
      for (const OwnedEvent& event : owned) events.push_back(event.view());
      REQUIRE(store->append(events).ok());
      saved.events.insert(saved.events.end(), owned.begin(), owned.end());
    }
    REQUIRE(store->close().ok());
  }
  saved.files = files_of(env, "store");
  for (auto& [path, bytes] : saved.files) {
    if (path.find(".sst") != std::string::npos) bytes.pop_back();
  }
  const auto damaged = disk_with(saved.files);
  CHECK(check_salvage(*damaged, saved).report.events == saved.events.size());
}

TEST_CASE("where the log lost changes, or its end, no key is taken for proved, and that is told") {
  const Saved saved = make_store(false, 29);
  const std::string last = saved.files.rbegin()->first;
  REQUIRE(last.find(".wal") != std::string::npos);
  {
    Files files = saved.files;
    files.erase(last);
    const auto env = disk_with(files);
    const Salvaged salvaged = check_salvage(*env, saved);
    CHECK(salvaged.report.is_log_end_lost);
    CHECK(salvaged.report.key_versions == 0);
    CHECK(salvaged.report.unproved_key_versions > 0);
    CHECK(std::any_of(salvaged.lines.begin(), salvaged.lines.end(), [](const std::string& line) {
      return line.find("nothing tells how much") != std::string::npos;
    }));
  }
  Files files = saved.files;
  Buffer& log = files[last];
  // In the first batch: the group before it in the file is the segment's header, durable in a block of its own.
  constexpr std::size_t kBatchAt = 4096 + 88;
  for (std::size_t at = kBatchAt + 40; at < kBatchAt + 48; ++at) log[at] ^= std::byte{0xff};
  const auto env = disk_with(files);
  const Salvaged salvaged = check_salvage(*env, saved);
  CHECK(salvaged.report.lost_changes > 0);
  CHECK(salvaged.report.key_versions == 0);
}

TEST_CASE("where the end of the log cannot be read no older value of a key is taken for proved") {
  // Within the first MiB of the segment, and behind it.
  for (const auto& [payload_bytes, events] : {std::pair(200, 40), std::pair(100'000, 15)}) {
    CAPTURE(payload_bytes);
    MemoryEnv disk;
    Options options = shrunk(presets::durable());
    options.memtable_bytes = 16u << 20;
    options.log_segment_bytes = 8u << 20;
    options.log_bytes_max = 64u << 20;
    {
      const TestStore store = open_store(disk, "store", options, 7).value();
      const Keyspace keyspace = store->keyspace("keys").value();
      REQUIRE(store->put(keyspace, as_bytes("key"), as_bytes("old")).ok());
      REQUIRE(store->flush().ok());
      const std::string payload(static_cast<std::size_t>(payload_bytes), 'x');
      for (int event = 0; event < events; ++event) {
        REQUIRE(store->append(Event{.type = "t", .payload = as_bytes(payload)}).ok());
      }
      REQUIRE(store->put(keyspace, as_bytes("key"), as_bytes("new")).ok());
      disk.crash_at(disk.operations());
    }
    disk.crash(2);
    const std::string path = "store/wal/" + disk.list("store/wal").value().back();
    const Buffer log = read_file(disk, path, kFileBytesMax).value();
    std::size_t last = 0;  // where the last group begins: in a block of its own
    for (std::size_t at = 0; at + 4096 <= log.size(); at += 4096) {
      if (as_text(bytes_of(log).subspan(at, 4)) == "HGRP") last = at;
    }
    for (const bool is_damaged_before : {false, true}) {
      CAPTURE(is_damaged_before);
      Buffer damaged = log;
      if (is_damaged_before) damaged[4096 * 3 + 200] ^= std::byte{1};  // in an event's batch
      REQUIRE(replace_file(disk, path, bytes_of(damaged)).ok());
      disk.fail_reads_of(path, last, last + 4096);
      std::vector<std::string> lines;
      const std::string target = is_damaged_before ? "second" : "first";
      const auto report = dump::salvage_store(disk, "store", {.target = target},
                                              [&lines](std::string_view line) { lines.emplace_back(line); });
      REQUIRE_MESSAGE(report.ok(), report.status().message());
      CHECK(report->is_log_end_lost);
      CHECK(report->key_versions == 0);
      CHECK(report->unproved_key_versions > 0);
      CHECK(report->lost_events() == (is_damaged_before ? 1 : 0));
      CHECK(std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
              return line.find("Input/output error") != std::string::npos;
            }) == 1);
      CHECK(keys_in(disk, target) == 0);
      disk.heal();
    }
  }
}

namespace {

// Of a store that was killed, opened with memtables smaller than its log, and killed again: what some tables hold is in
// the log too, below a floor amid a segment.
Saved make_partly_flushed_store() {
  MemoryEnv env;
  Options options = shrunk(presets::durable());
  options.memtable_bytes = 4u << 20;
  options.log_segment_bytes = 4u << 20;
  options.log_bytes_max = 16u << 20;
  Saved saved;
  {
    const TestStore store = open_store(env, "store", options, 7).value();
    std::mt19937_64 random(15);
    for (int event = 0; event < 100; ++event) {
      saved.events.push_back(random_event(random));
      saved.events.back().payload.resize(2000);
      REQUIRE(store->append(saved.events.back().view()).ok());
    }
    env.crash_at(env.operations());
  }
  env.crash(1);
  options.memtable_bytes = 64u << 10;  // less than the log has
  {
    const TestStore store = open_store(env, "store", options, 8).value();
    env.crash_at(env.operations());
  }
  env.crash(2);
  saved.files = files_of(env, "store");
  return saved;
}

}  // namespace

TEST_CASE("the copy of a store whose log began amid a segment opens and goes on") {
  const Saved saved = make_partly_flushed_store();
  const auto env = disk_with(saved.files);
  const Salvaged salvaged = check_salvage(*env, saved);
  CHECK(salvaged.report.is_whole());
  const TestStore copy = open_store(*env, "copy", shrunk(presets::durable()), 3, OpenMode::kOpen).value();
  const auto appended = copy->append(Event{.type = "after"});
  REQUIRE(appended.ok());
  CHECK(appended->first_position == saved.events.size());
  CHECK(copy->flush().ok());
}

TEST_CASE("what a flush on the way of a recovery put into tables that are damaged is taken from the log") {
  Saved saved = make_partly_flushed_store();
  std::size_t tables = 0;
  for (auto& [path, bytes] : saved.files) {
    if (path.find(".sst") == std::string::npos) continue;
    bytes[10] ^= std::byte{1};
    ++tables;
  }
  REQUIRE(tables > 1);
  const std::string manifest = path_of(saved.files, "MANIFEST");
  const std::size_t step = saved.files.at(manifest).size() / 12;
  for (std::size_t at = step; at < saved.files.at(manifest).size(); at += step) {
    CAPTURE(at);
    Files files = saved.files;
    files[manifest][at] ^= std::byte{1};
    const auto damaged = disk_with(files);
    const Salvaged salvaged = check_salvage(*damaged, saved);
    CHECK(salvaged.report.events == saved.events.size());
    CHECK(salvaged.report.lost_events() == 0);
    CHECK(std::none_of(salvaged.lines.begin(), salvaged.lines.end(),
                       [](const std::string& line) { return line.find(".wal") != std::string::npos; }));
  }
}

TEST_CASE("a file that claims positions beyond belief is left out and named, and a salvage ends") {
  constexpr Position kClaimed = Position{1} << 40;
  const Saved saved = make_store(false, 41);
  Files files = saved.files;
  files.erase(path_of(files, "MANIFEST"));
  const auto env = disk_with(files);
  const std::string table = table_path("store", FileNumber(900));
  {
    sstable::EventTableBuilder builder(env->create(table).value(), FileNumber(900), sstable::TableSettings{});
    const Event event{.type = "t"};
    Buffer record(record_bytes(event));
    encode_record(event, {Timestamp{}, 1}, record.data());
    REQUIRE(builder.add(kClaimed, Timestamp{}, RecordView::trusted(bytes_of(record))).ok());
    REQUIRE(builder.finish().ok());
  }
  // A group behind the end of the log, of the same store and epoch.
  const std::string segment = files.rbegin()->first;
  Buffer log = files.rbegin()->second;
  const wal::SegmentHeader begin = wal::decode_segment_header(bytes_of(log), segment).value();
  const std::uint64_t end = wal::round_up(log.size(), wal::kBlockBytes);
  log.resize(end);
  const Event event{.type = "t"};
  const EncodedBatch batch = encode_batch({&event, 1}, {}, {Timestamp{}, 1});
  wal::GroupHeader header{};
  header.epoch = begin.epoch;
  header.first_sequence = SequenceNumber(2 * kClaimed);
  header.first_position = kClaimed;
  header.durable_end = {begin.segment, end + wal::kBlockBytes};
  const ByteView batches[] = {batch.bytes()};
  Buffer scratch;
  hdb::append(
      log, wal::encode_group_header(header, batches, {wal::log_key_of(begin.store_id), {begin.segment, end}}, scratch));
  hdb::append(log, batch.bytes());
  REQUIRE(replace_file(*env, segment, bytes_of(log)).ok());

  env->limit_bytes(env->bytes_used() + (64u << 20));
  const Salvaged salvaged = check_salvage(*env, saved);
  CHECK(salvaged.report.events == saved.events.size());
  CHECK(salvaged.report.lost_events() == 0);
  for (const std::string& path : {table, segment}) {
    CHECK(std::any_of(salvaged.lines.begin(), salvaged.lines.end(), [&path](const std::string& line) {
      return line.find(path + ": claims events from position 1099511627776 on") != std::string::npos;
    }));
  }
}

TEST_CASE("a segment of another store is damage, and tells nothing of this one") {
  const Saved saved = make_store(false, 31);
  const Saved other = make_store(false, 32);
  const std::string last = saved.files.rbegin()->first;
  Files files = saved.files;
  files[last] = other.files.rbegin()->second;
  const auto env = disk_with(files);
  const Salvaged salvaged = check_salvage(*env, saved);
  CHECK(salvaged.report.events + salvaged.report.lost_events() <= saved.events.size());
  CHECK(std::any_of(salvaged.lines.begin(), salvaged.lines.end(),
                    [](const std::string& line) { return line.find("of another store") != std::string::npos; }));
}

TEST_CASE("what one repair lost the next one tells again, and does not count as intact") {
  const Saved saved = make_store(true, 13);
  Files files = saved.files;
  for (auto& [path, bytes] : files) {
    if (path.find(".sst") != std::string::npos) bytes[10] ^= std::byte{1};
  }
  const auto env = disk_with(files);
  const Salvaged first = check_salvage(*env, saved);
  REQUIRE(first.report.lost_events() > 0);
  std::vector<std::string> lines;
  const auto again =
      dump::salvage_store(*env, "copy", {}, [&lines](std::string_view line) { lines.emplace_back(line); });
  REQUIRE(again.ok());
  CHECK(again->is_whole());
  CHECK(again->lost_before == first.report.lost_positions);
  CHECK(lines.size() == again->lost_before.size());
}

TEST_CASE("a repaired store goes on: lost ids may come again, new events follow, compaction keeps what is lost lost") {
  const Saved saved = make_store(true, 13);
  // The table of the first events.
  Files files = saved.files;
  for (auto& [path, bytes] : files) {
    if (path.find(".sst") != std::string::npos) bytes[10] ^= std::byte{1};
  }
  const auto env = disk_with(files);
  const Salvaged salvaged = check_salvage(*env, saved);
  const std::uint64_t lost = salvaged.report.lost_events();
  REQUIRE(lost > 0);
  TestStore store = open_store(*env, "copy", shrunk(presets::durable()), 3, OpenMode::kOpen).value();
  const auto appended = store->append(Event{.type = "after"});
  REQUIRE(appended.ok());
  CHECK(appended->first_position == saved.events.size());
  REQUIRE(store->flush().ok());
  REQUIRE(store->compact().ok());
  REQUIRE(store->close().ok());
  store = open_store(*env, "copy", shrunk(presets::durable()), 4, OpenMode::kOpen).value();
  std::uint64_t still_lost = 0;
  for (Position position = 0; position < saved.events.size(); ++position) {
    still_lost += store->get(position).status().code() == StatusCode::kLost;
  }
  // An id that the engine made names its position, here 0; the rest of it is not known any more.
  REQUIRE(salvaged.report.lost_positions.front().begin == 0);
  const EventId id = EventId::parse("01890a5d-ac96-7000-8000-000000000001").value();
  CHECK(store->get(id).status().code() == StatusCode::kLost);
  CHECK(still_lost == lost);
  Query after;
  after.types = {"after"};
  auto cursor = store->query(after).value();
  CHECK(cursor.next().value().has_value());
  REQUIRE(dump::verify_store(*env, "copy", [](std::string_view) {}).value().errors == 0);
}

TEST_CASE("salvage refuses a target that holds anything, a store that is open, and what is no store") {
  const Saved saved = make_store(true, 17);
  const auto env = disk_with(saved.files);
  const dump::Sink nowhere = [](std::string_view) {};
  for (const std::string target : {"store", "store/wal", "store/new"}) {
    CHECK(dump::salvage_store(*env, "store", {.target = target}, nowhere).status().code() ==
          StatusCode::kInvalidArgument);
  }
  REQUIRE(env->create_directory("other").ok());
  REQUIRE(replace_file(*env, "other/file", as_bytes("x")).ok());
  CHECK(dump::salvage_store(*env, "store", {.target = "other"}, nowhere).status().code() ==
        StatusCode::kInvalidArgument);
  CHECK(dump::salvage_store(*env, "nothing", {}, nowhere).status().code() == StatusCode::kNotFound);
  const TestStore open = open_store(*env, "store", shrunk(presets::durable()), 3, OpenMode::kOpen).value();
  CHECK(dump::salvage_store(*env, "store", {}, nowhere).status().code() == StatusCode::kBusy);
}

TEST_CASE("a store whose lock cannot be asked for is not salvaged: it may be in use") {
  const Saved saved = make_store(true, 18);
  const auto env = disk_with(saved.files);
  const std::uint64_t begin = env->operations();
  env->fail_at(begin + 1);  // behind the question whether there is a lock
  const Status refused = dump::salvage_store(*env, "store", {.target = "copy"}, [](std::string_view) {}).status();
  CHECK(refused.code() == StatusCode::kIoError);
  CHECK(refused.message().find("store/LOCK") != std::string_view::npos);
  CHECK(env->operations() == begin + 2);
}

TEST_CASE("what the system refuses for another reason than damage ends a salvage, and is not told as lost") {
  const Saved saved = make_store(false, 18);
  const auto env = disk_with(saved.files);
  const std::uint64_t begin = env->operations();
  REQUIRE(dump::salvage_store(*env, "store", {}, [](std::string_view) {}).ok());
  const std::uint64_t end = env->operations();
  std::uint64_t refused = 0;
  for (std::uint64_t operation = 0; operation < end - begin; ++operation) {
    CAPTURE(operation);
    env->fail_at(env->operations() + operation, Status::io_error("Too many open files"));
    std::vector<std::string> lines;
    const Status status =
        dump::salvage_store(*env, "store", {}, [&lines](std::string_view line) { lines.emplace_back(line); }).status();
    env->heal();
    refused += !status.ok();
    CHECK(std::none_of(lines.begin(), lines.end(), [](const std::string& line) {
      return line.find("open: Too many open files") != std::string::npos;
    }));
  }
  CHECK(refused > 0);
}

TEST_CASE("a salvage that fails or loses power leaves the damaged store as it was, and no half store") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  const Saved saved = make_store(false, seed);
  Files files = saved.files;
  for (auto& [path, bytes] : files) {
    if (path.find(".sst") != std::string::npos) bytes[10] ^= std::byte{1};
  }
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  {
    const auto env = disk_with(files);
    begin = env->operations();
    REQUIRE(dump::salvage_store(*env, "store", {.target = "copy"}, [](std::string_view) {}).ok());
    end = env->operations();
  }
  for (std::size_t run = 0; run < scaled(60); ++run) {
    const std::uint64_t crash_at = begin + run * (end - begin) / scaled(60);
    CAPTURE(crash_at);
    const auto env = disk_with(files);
    env->crash_at(crash_at);
    const auto report = dump::salvage_store(*env, "store", {.target = "copy"}, [](std::string_view) {});
    CHECK(!report.ok());
    env->crash(seed + crash_at);
    CHECK(files_of(*env, "store") == files);
    const auto copy = open_store(*env, "copy", shrunk(presets::durable()), 5, OpenMode::kOpen);
    if (!copy.ok()) continue;
    // The store was made, and only what followed failed.
    CHECK((*copy)->stats().events >= saved.events.size() - 40);
    CHECK(dump::salvage_store(*env, "copy", {}, [](std::string_view) {}).status().code() == StatusCode::kBusy);
  }
}

}  // namespace hdb::test
