// What is salvaged of a store whose manifest is lost, damaged or contradicted by its other files.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/batch.h"
#include "base/record.h"
#include "io/file_name.h"
#include "sstable/event_table_builder.h"
#include "tests/support/damaged_store.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_store.h"
#include "tools/dump/salvage.h"
#include "wal/format.h"

namespace hdb::test {

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
    CHECK(std::any_of(salvaged.lines.begin(), salvaged.lines.end(), [&saved](const std::string& line) {
      return line.starts_with("doubt   events behind position " + std::to_string(saved.events.size()));
    }));
    CHECK(salvaged.report.key_versions == 0);
    CHECK(salvaged.report.unproved_key_versions > 0);
    CHECK(keys_in(*env, "copy") == 0);

    env = disk_with(files);
    check_salvage(*env, saved, /*takes_unproved_keys=*/true);
    // No table was dropped since, so that all are the newest.
    CHECK(keys_in(*env, "copy") == key_count(saved));
  }
}

TEST_CASE("a salvage that leaves out the torn tail of a log says so, and not only that nothing is lost") {
  dump::SalvageReport report;
  CHECK(dump::summary_of(report).ends_with("nothing is lost"));
  report.torn_bytes = 100;
  CHECK(dump::summary_of(report).ends_with("nothing is lost but the torn tail of the log"));
}

TEST_CASE("without its manifest a store still knows how many events a table lost at its end") {
  for (const bool is_closed : {true, false}) {
    const Saved saved = make_store(is_closed, 7);
    std::size_t tables = 0;
    std::uint64_t lost = 0;
    for (const auto& [path, bytes] : saved.files) {
      if (path.find(".sst") == std::string::npos) continue;
      CAPTURE(is_closed);
      CAPTURE(path);
      const sstable::BlockHandle last = last_event_block_of(saved.files, path);
      if (last.bytes == 0) continue;  // a table of keys
      ++tables;
      Files files = saved.files;
      files.erase(path_of(saved.files, "MANIFEST"));
      files[path][last.offset] ^= std::byte{1};
      const auto env = disk_with(files);
      const dump::SalvageReport report = check_salvage(*env, saved).report;
      CHECK(!report.is_manifest_sound);
      CHECK(report.events + report.lost_events() == saved.events.size());
      CHECK(report.lost_events() > 0);
      lost += report.lost_events();
    }
    CHECK(tables > 1);
    CHECK(lost < saved.events.size());
  }
}

TEST_CASE(
    "without manifest and properties a table is known by its neighbours, and left out and told where it has none") {
  for (const bool is_closed : {true, false}) {
    const Saved saved = make_store(is_closed, 7);
    std::size_t placed = 0;
    std::size_t left_out = 0;
    for (const auto& [path, bytes] : saved.files) {
      if (path.find(".sst") == std::string::npos || last_event_block_of(saved.files, path).bytes == 0) continue;
      CAPTURE(is_closed);
      CAPTURE(path);
      Files files = saved.files;
      files.erase(path_of(saved.files, "MANIFEST"));
      files[path][properties_of(files, path).offset] ^= std::byte{1};
      const auto env = disk_with(files);
      const Salvaged salvaged = check_salvage(*env, saved);
      const dump::SalvageReport& report = salvaged.report;
      CHECK(report.lost_events() == 0);
      CHECK(report.events + report.unplaced_events == saved.events.size());
      ++(report.unplaced_events == 0 ? placed : left_out);
      const bool is_told = std::any_of(salvaged.lines.begin(), salvaged.lines.end(), [](const std::string& line) {
        return line.find("nothing proves which positions they had") != std::string::npos;
      });
      CHECK(is_told == (report.unplaced_events > 0));
      // With a block that cannot be read as well, nothing tells how many there were.
      files[path][10] ^= std::byte{1};
      const auto worse = disk_with(files);
      const dump::SalvageReport less = check_salvage(*worse, saved).report;
      CHECK(less.unplaced_events == 0);
      CHECK(less.events < saved.events.size());
    }
    CHECK(placed > 1);
    CHECK(left_out == (is_closed ? 1 : 0));
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
  const EncodedBatch batch = encode_batch({&event, 1}, {}, {{Timestamp{}, 1}});
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

}  // namespace hdb::test
