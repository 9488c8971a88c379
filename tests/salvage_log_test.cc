// What is salvaged of a damaged log: every intact batch, and of keys only what is proved to be the newest.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/damaged_store.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_store.h"
#include "tools/dump/salvage.h"
#include "wal/format.h"

namespace hdb::test {

TEST_CASE(
    "where the log lost its end no key is proved, where it lost changes only those changed since, and that is told") {
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
  CHECK(salvaged.report.key_versions > 0);
  CHECK(salvaged.report.unproved_key_versions > 0);
  const std::size_t keys = keys_in(*env, "copy");
  CHECK(keys > 0);
  CHECK(keys < key_count(saved));
  CHECK(salvaged.report.doubtful_keyspaces == std::vector<std::string>{"first", "second"});
  CHECK(std::find(salvaged.lines.begin(), salvaged.lines.end(),
                  "doubt   keys may be missing in keyspaces: first, second") != salvaged.lines.end());
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

TEST_CASE(
    "what damaged tables lost is taken from segments of the log that were left below its floor, or by a closed one") {
  for (const bool is_closed : {true, false}) {
    CAPTURE(is_closed);
    MemoryEnv env;
    Saved saved;
    Files left;
    {
      const TestStore store = open_store(env, "store", shrunk(presets::durable()), 7).value();
      std::mt19937_64 random(3);
      const auto append_some = [&](int events) {
        for (; events > 0; --events) {
          saved.events.push_back(random_event(random));
          REQUIRE(store->append(saved.events.back().view()).ok());
        }
      };
      append_some(60);
      REQUIRE(store->flush().ok());
      append_some(60);
      left = files_of(env, "store");
      REQUIRE(store->flush().ok());
      append_some(5);
      if (is_closed) REQUIRE(store->close().ok());
      saved.files = files_of(env, "store");
    }
    Files files = saved.files;
    std::size_t segments = 0;
    for (const auto& [path, bytes] : left) {
      if (path.find(".wal") != std::string::npos) segments += files.emplace(path, bytes).second;
    }
    if (is_closed) REQUIRE(segments > 0);
    files = with_damaged_tables(std::move(files));
    for (const bool is_manifest_there : {true, false}) {
      CAPTURE(is_manifest_there);
      Files damaged = files;
      if (!is_manifest_there) damaged.erase(path_of(damaged, "MANIFEST"));
      const auto disk = disk_with(damaged);
      const dump::SalvageReport report = check_salvage(*disk, saved).report;
      CHECK(report.is_manifest_sound == is_manifest_there);
      CHECK(report.events + report.lost_events() == saved.events.size());
      // Of the second table the log still has all.
      for (const dump::LostPositions& lost : report.lost_positions) CHECK(lost.end <= (is_closed ? 125 : 60));
      for (const dump::LostPositions& lost : report.lost_positions) CHECK((lost.begin < 60 || lost.begin >= 120));
      // With its last group damaged, all but that.
      for (auto& [path, bytes] : damaged) {
        if (!left.contains(path) || path.find(".wal") == std::string::npos) continue;
        std::size_t last = 0;
        for (std::size_t at = 0; at + wal::kGroupHeaderBytes < bytes.size(); at += 8) {
          const bool is_group = as_text(bytes_of(bytes).subspan(at, 4)) == "HGRP";
          if (is_group && load<std::uint32_t>(bytes.data() + at + 4) > wal::kGroupHeaderBytes) last = at;  // no mark
        }
        REQUIRE(last > 0);
        bytes[last + 100] ^= std::byte{1};
      }
      const auto again = disk_with(damaged);
      const dump::SalvageReport less = check_salvage(*again, saved).report;
      CHECK(less.events + less.lost_events() == saved.events.size());
      CHECK(less.lost_events() <= report.lost_events() + 1);
    }
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

}  // namespace hdb::test
