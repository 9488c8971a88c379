// What is made of a damaged store: everything intact at its old place, nothing else, and an account of what is lost.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/file_name.h"
#include "tests/support/damaged_store.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_store.h"
#include "tools/dump/dump.h"
#include "tools/dump/salvage.h"

namespace hdb::test {

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
    const auto has_hit_both = [&] { return lost_events > 0 && lost_keys > 0; };
    for (std::size_t run = 0; run < scaled(60) || (run < 600 && !has_hit_both()); ++run) {
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

TEST_CASE("a flipped bit of a table's properties or footer costs nothing, even with a block that is damaged too") {
  const Saved saved = make_store(true, 23);
  std::size_t tables = 0;
  for (const auto& [path, bytes] : saved.files) {
    if (path.find(".sst") == std::string::npos) continue;
    ++tables;
    const std::size_t properties = properties_of(saved.files, path).offset;
    for (const bool is_manifest_there : {true, false}) {
      Files files = saved.files;
      if (!is_manifest_there) files.erase(path_of(files, "MANIFEST"));
      files[path][10] ^= std::byte{1};
      const auto only_block = disk_with(files);
      const dump::SalvageReport block = check_salvage(*only_block, saved).report;
      REQUIRE(block.lost_events() + block.lost_key_versions > 0);
      files[path] = bytes;
      // Without the manifest only the properties tell what the table held.
      const std::size_t begin = is_manifest_there ? properties : bytes.size() - 64;
      for (std::size_t at = begin; at < bytes.size(); at += 1 + bytes.size() / 512) {
        CAPTURE(path);
        CAPTURE(at);
        CAPTURE(is_manifest_there);
        files[path][at] ^= std::byte{8};
        const auto env = disk_with(files);
        const dump::SalvageReport report = check_salvage(*env, saved).report;
        CHECK(!report.damages.empty());
        CHECK(report.events == saved.events.size());
        CHECK(report.lost_key_versions == 0);
        if (is_manifest_there) CHECK(keys_in(*env, "copy") == key_count(saved));
        if (at >= bytes.size() - 64) {
          files[path][10] ^= std::byte{1};
          const auto both = disk_with(files);
          const dump::SalvageReport lost = check_salvage(*both, saved).report;
          CHECK(lost.lost_positions == block.lost_positions);
          CHECK(lost.lost_key_versions == block.lost_key_versions);
          CHECK(lost.key_versions == block.key_versions);
        }
        files[path] = bytes;
      }
    }
  }
  CHECK(tables > 3);
}

TEST_CASE("a sector of a table that cannot be read costs the events of the blocks that it is in, and no others") {
  MemoryEnv disk;
  {
    Options options = shrunk(presets::durable());
    options.memtable_bytes = 1u << 20;  // one table
    const TestStore store = open_store(disk, "store", options, 7).value();
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

TEST_CASE("what one repair lost the next one tells again, and does not count as intact") {
  const Saved saved = make_store(true, 13);
  const Files files = with_damaged_tables(saved.files);
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
  const Files files = with_damaged_tables(saved.files);
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

TEST_CASE("a target that a salvage refuses stays as it was, and none is made") {
  const Saved saved = make_store(true, 17);
  const auto env = disk_with(saved.files);
  for (const std::string target : {"other", "unfinished", "theirs"}) REQUIRE(env->create_directory(target).ok());
  REQUIRE(replace_file(*env, "other/file", as_bytes("x")).ok());
  REQUIRE(replace_file(*env, unfinished_path("unfinished"), as_bytes("restore of another store")).ok());
  REQUIRE(replace_file(*env, unfinished_path("theirs"), as_bytes("repair of another store")).ok());
  const std::vector<std::string> before = env->list(".").value();
  for (const auto& [target, word] : {std::pair<std::string, std::string>{"other", "file"},
                                     {"unfinished", "unfinished restore"},
                                     {"theirs", "unfinished repair of another store"},
                                     {"store/new", "elsewhere"}}) {
    CAPTURE(target);
    const auto names = env->list(target);
    const Status refused = dump::salvage_store(*env, "store", {.target = target}, [](std::string_view) {}).status();
    CHECK(refused.code() == StatusCode::kInvalidArgument);
    CHECK(refused.message().find(word) != std::string_view::npos);
    CHECK(refused.message().find("choose") != std::string_view::npos);
    CHECK(env->list(target).ok() == names.ok());
    if (names.ok()) CHECK(env->list(target).value() == names.value());
  }
  CHECK(!dump::salvage_store(*env, "nothing", {.target = "new"}, [](std::string_view) {}).ok());
  CHECK(env->list(".").value() == before);
}

TEST_CASE("a store whose lock cannot be asked for is not salvaged: it may be in use") {
  const Saved saved = make_store(true, 18);
  const auto env = disk_with(saved.files);
  const std::uint64_t begin = env->operations();
  env->fail_at(begin + 4);  // behind the questions whether there are a store, a target, a store in it, and a lock
  const Status refused = dump::salvage_store(*env, "store", {.target = "copy"}, [](std::string_view) {}).status();
  CHECK(refused.code() == StatusCode::kIoError);
  CHECK(refused.message().find("store/LOCK") != std::string_view::npos);
  CHECK(env->operations() == begin + 5);
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

TEST_CASE("a file that may not be read ends a salvage, which names it and tells nothing of it as damaged or lost") {
  for (const bool is_closed : {true, false}) {
    Files files = make_store(is_closed, 18).files;
    const std::string manifest = path_of(files, "MANIFEST");
    for (auto file = files.begin(); file != files.end(); ++file) {
      const std::string& path = file->first;
      if (path == lock_path("store")) continue;
      if (path > manifest) files.erase(manifest);  // of the rest without it
      const auto env = disk_with(files);
      CAPTURE(path);
      env->deny(path);
      std::vector<std::string> lines;
      const Status refused = dump::salvage_store(*env, "store", {.target = "copy"}, [&lines](std::string_view line) {
                               lines.emplace_back(line);
                             }).status();
      env->heal();
      CHECK(refused.code() == StatusCode::kIoError);
      CHECK(refused.message().find(path + ": open: Permission denied") != std::string_view::npos);
      CHECK(lines.empty());
      CHECK(!env->exists("copy").value());
    }
  }
}

TEST_CASE("a salvage that fails or loses power leaves the damaged store as it was, and no half store") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  const Saved saved = make_store(false, seed);
  const Files files = with_damaged_tables(saved.files);
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

TEST_CASE("a repair that was interrupted can be run again, and until then its target is told to be unfinished") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  const Saved saved = make_store(false, seed);
  const Files files = with_damaged_tables(saved.files);
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  Files whole;
  dump::SalvageReport report;
  const auto run_into = [&report](MemoryEnv& env, const std::string& target) {
    auto made = dump::salvage_store(env, "store", {.target = target}, [](std::string_view) {});
    if (made.ok()) report = made.value();
    return made.status();
  };
  {
    const auto env = disk_with(files);
    begin = env->operations();
    REQUIRE(run_into(*env, "copy").ok());
    end = env->operations();
    whole = files_of(*env, "copy");
  }
  std::uint64_t unfinished = 0;
  // The reads before the first operation on the target take most of them.
  const std::uint64_t runs = scaled(120);
  for (std::uint64_t run = 0; run < runs; ++run) {
    const std::uint64_t fail_at = end - 1 - run * std::min<std::uint64_t>(end - begin, 400) / runs;
    CAPTURE(fail_at);
    const auto env = disk_with(files);
    env->crash_at(fail_at);
    CHECK(!run_into(*env, "copy").ok());
    env->crash(seed + fail_at);
    const bool is_marked = env->exists(unfinished_path("copy")).value();
    if (is_marked && !env->exists(current_path("copy")).value()) {
      ++unfinished;
      const Status opened = open_store(*env, "copy", shrunk(presets::durable()), 5).status();
      CHECK(opened.message() == "copy: is an unfinished repair; run that again");
      std::vector<std::string> lines;
      const auto verified =
          dump::verify_store(*env, "copy", [&lines](std::string_view line) { lines.emplace_back(line); });
      REQUIRE(verified.ok());
      CHECK(verified->errors == 1);
      CHECK(verified->unfinished == 1);
      CHECK(lines ==
            std::vector<std::string>{"error   UNFINISHED-COPY  copy: is an unfinished repair; run that again"});
      CHECK(dump::salvage_store(*env, "copy", {}, [](std::string_view) {}).status().message() == opened.message());
    } else if (!is_marked && env->exists(current_path("copy")).value()) {
      continue;  // it was finished
    }
    const Status again = run_into(*env, "copy");
    REQUIRE_MESSAGE(again.ok(), again.message());
    CHECK(files_of(*env, "copy") == whole);
    CHECK(dump::verify_store(*env, "copy", [](std::string_view) {}).value().errors == 0);
  }
  CHECK(unfinished > 0);
}

TEST_CASE("a repaired store that was written to is not repaired into again, and a power loss brings back no mark") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  const Files files = with_damaged_tables(make_store(false, seed).files);
  const auto repair = [](MemoryEnv& env) {
    return dump::salvage_store(env, "store", {.target = "copy"}, [](std::string_view) {}).status();
  };
  const Options options = shrunk(presets::durable());
  std::uint64_t end = 0;
  {
    const auto env = disk_with(files);
    REQUIRE(repair(*env).ok());
    end = env->operations();
  }
  std::uint64_t written_to = 0;
  for (std::uint64_t fail_at = end - 1; fail_at >= end - 12; --fail_at) {
    for (std::uint64_t run = 0; run < 4; ++run) {
      CAPTURE(fail_at);
      CAPTURE(run);
      const auto env = disk_with(files);
      env->crash_at(fail_at);
      CHECK(!repair(*env).ok());
      env->crash(seed + run);
      const std::string mark = unfinished_path("copy");
      if (!env->exists(mark).value() || !env->exists(current_path("copy")).value()) continue;
      ++written_to;
      const Buffer text = read_file(*env, mark, 1024).value();
      Position position = 0;
      {
        auto store = open_store(*env, "copy", options, 5);
        REQUIRE_MESSAGE(store.ok(), store.status().message());
        const Event event{.type = "acknowledged"};
        const auto done =
            (*store)->append(Batch{.events = {&event, 1}, .changes = {}, .durability = Durability::kSync});
        REQUIRE(done.ok());
        position = done->first_position;
        env->crash_at(env->operations());
      }
      env->crash(1000 * seed + 8 * fail_at + run);  // each time another
      CHECK_FALSE(env->exists(mark).value());
      CHECK(!repair(*env).ok());
      // What an earlier version left may have one.
      REQUIRE(replace_file(*env, mark, bytes_of(text)).ok());
      const Files before = files_of(*env, "copy");
      const Status refused = repair(*env);
      CHECK(refused.code() == StatusCode::kInvalidArgument);
      CHECK(refused.message() == "copy: was opened for writing since it was made; choose an empty or a new directory");
      CHECK(files_of(*env, "copy") == before);
      // Nor where nobody can tell, for damage.
      const std::string current = current_path("copy");
      const Buffer named = read_file(*env, current, 1024).value();
      REQUIRE(replace_file(*env, current, as_bytes("damaged")).ok());
      CHECK(repair(*env).code() == StatusCode::kInvalidArgument);
      REQUIRE(replace_file(*env, current, bytes_of(named)).ok());
      auto store = open_store(*env, "copy", options, 6);
      REQUIRE_MESSAGE(store.ok(), store.status().message());
      const auto found = (*store)->get(position);
      REQUIRE(found.ok());
      REQUIRE(found.value().has_value());
      CHECK(found.value()->type() == "acknowledged");
    }
  }
  CHECK(written_to > 0);
}

TEST_CASE("a repair that takes over what an interrupted one left takes no log that lies there for its own") {
  const Saved saved = make_store(true, 23);
  const auto run_into = [](MemoryEnv& env, const std::string& target) {
    return dump::salvage_store(env, "store", {.target = target}, [](std::string_view) {}).status();
  };
  const auto env = disk_with(saved.files);
  REQUIRE(run_into(*env, "whole").ok());
  const std::string id = (*open_store_read_only(*env, "store", shrunk(presets::durable())))->store_id();
  REQUIRE(env->create_directory("copy").ok());
  REQUIRE(replace_file(*env, unfinished_path("copy"), as_bytes("repair of " + id)).ok());
  REQUIRE(env->create_directory(log_directory("copy")).ok());
  for (const std::string& name : {segment_name(SegmentNumber(900)), std::string("000901.wal.tmp")}) {
    REQUIRE(replace_file(*env, log_directory("copy") + "/" + name, as_bytes("of a store that is no more")).ok());
  }
  const Status again = run_into(*env, "copy");
  REQUIRE_MESSAGE(again.ok(), again.message());
  CHECK(env->list(log_directory("copy")).value().empty());
  env->crash_at(env->operations());
  env->crash(7);
  CHECK(env->list(log_directory("copy")).value().empty());
  CHECK(open_store(*env, "copy", shrunk(presets::durable()), 5).ok());
}

}  // namespace hdb::test
