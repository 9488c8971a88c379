// The on-disk formats as readable text: annotated dumps of a tiny store equal tests/golden/*.txt. A change of a format
// shows as a diff of these files, and bumps a version. HDB_UPDATE_GOLDEN=1 rewrites them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/checksum.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_store.h"
#include "tools/dump/dump.h"
#include "wal/format.h"

namespace hdb::test {

namespace {

// Two batches in the log, as a killed process leaves them.
void write_events(const TestStore& store) {
  const std::string_view tags[] = {"ip:10.1.2.3", "user:root"};
  const Timestamp time{std::chrono::nanoseconds(1'521'911'721'255'387'000)};
  const Event events[] = {
      Event{.id = EventId::from_name("golden", "first"),
            .time = time,
            .type = "dns",
            .entity = "Ckdgdu1RMwc5AO49F3",
            .host = "10.128.0.241",
            .tags = tags,
            .source = "zeek",
            .format = "Zeek",
            .content_type = "application/json",
            .metadata = R"({"lab":"east"})",
            .payload = as_bytes(R"({"query":"example.com","rcode_name":"NOERROR"})")},
      Event{.type = "raw", .stream = "boots", .payload = as_bytes("a line of a log")},
  };
  REQUIRE(store->append(events).ok());
  store.clock->advance(std::chrono::milliseconds(1500));
  const Keyspace keyspace = store->keyspace("offsets").value();
  const KeyValueChange changes[] = {{keyspace, as_bytes("dns.log"), as_bytes("4096")},
                                    {keyspace, as_bytes("dns.log.1"), std::nullopt}};
  REQUIRE(store->append(Batch{.events = {}, .changes = changes, .durability = {}}).ok());
}

std::string dump_of(Env& env, const std::string& path) {
  std::string text;
  const Status status = dump::dump_file(env, path, {}, [&text](std::string_view line) { (text += line) += '\n'; });
  CHECK_MESSAGE(status.ok(), status.message());
  return text;
}

void check_golden(const std::string& name, const std::string& text) {
  const std::filesystem::path path = std::filesystem::path(HDB_SOURCE_DIR) / "tests/golden" / name;
  if (std::getenv("HDB_UPDATE_GOLDEN") != nullptr) std::ofstream(path, std::ios::binary) << text;
  std::ifstream file(path, std::ios::binary);
  std::stringstream golden;
  golden << file.rdbuf();
  CHECK_MESSAGE(golden.str() == text, name, " differs: compare it with HDB_UPDATE_GOLDEN=1 and git diff");
}

std::string only_file(Env& env, const std::string& directory) {
  const std::vector<std::string> names = env.list(directory).value();
  REQUIRE(names.size() == 1);
  return directory + "/" + names.front();
}

}  // namespace

TEST_CASE("every file kind dumps as its golden text") {
  MemoryEnv env;
  Options options = presets::durable();
  options.compression = Compression::kNone;
  {
    const TestStore store = open_store(env, "store", options, 1).value();
    write_events(store);
    check_golden("log.txt", dump_of(env, only_file(env, "store/wal")));
    REQUIRE(store->flush().ok());
    REQUIRE(store->close().ok());
  }
  {
    MemoryEnv other;
    options.leaf_hashes = true;
    const TestStore store = open_store(other, "store", options, 1).value();
    write_events(store);
    check_golden("log_with_leaf_hashes.txt", dump_of(other, only_file(other, "store/wal")));
  }
  std::string manifest;
  const std::vector<std::string> names = env.list("store").value();
  for (const std::string& name : names) {
    if (name.starts_with("MANIFEST-")) manifest = "store/" + name;
  }
  check_golden("current.txt", dump_of(env, "store/CURRENT"));
  check_golden("manifest.txt", dump_of(env, manifest));
  const std::vector<std::string> tables = env.list("store/sstables").value();
  REQUIRE(tables.size() == 2);
  check_golden("event_table.txt", dump_of(env, "store/sstables/" + tables[0]));
  check_golden("key_table.txt", dump_of(env, "store/sstables/" + tables[1]));
}

TEST_CASE("a dump as JSON lines has one object a line") {
  MemoryEnv env;
  const TestStore store = open_store(env, "store", presets::durable(), 1).value();
  write_events(store);
  std::size_t lines = 0;
  const auto check_line = [&lines](std::string_view line) {
    ++lines;
    CHECK(line.starts_with("{\"object\":\""));
    CHECK(line.ends_with("}"));
    CHECK(line.find('\n') == std::string_view::npos);
  };
  CHECK(dump::dump_file(env, only_file(env, "store/wal"), {.form = dump::Form::kJsonLines}, check_line).ok());
  CHECK(lines > 3);
}

TEST_CASE("verify of a sound store counts its files and no errors, and a flipped byte is found in every file") {
  MemoryEnv env;
  {
    const TestStore store = open_store(env, "store", presets::durable(), 1).value();
    write_events(store);
    REQUIRE(store->close().ok());
  }
  const auto errors = [&env] {
    const auto result = dump::verify_store(env, "store", [](std::string_view) {});
    REQUIRE_MESSAGE(result.ok(), result.status().message());
    return result->errors;
  };
  CHECK(errors() == 0);
  for (const std::string directory : {"store", "store/sstables"}) {
    const std::vector<std::string> names = env.list(directory).value();
    for (const std::string& name : names) {
      if (name == "LOCK" || name == "wal" || name == "sstables") continue;
      CAPTURE(name);
      const std::string path = directory + "/" + name;
      const Buffer sound = read_file(env, path, 1u << 20).value();
      Buffer damaged = sound;
      damaged[damaged.size() / 2] ^= std::byte{4};
      REQUIRE(replace_file(env, path, bytes_of(damaged)).ok());
      CHECK(errors() > 0);
      REQUIRE(replace_file(env, path, bytes_of(sound)).ok());
    }
  }
  CHECK(errors() == 0);
}

namespace {

// Changes a byte of an event in the first group of the log, and makes every checksum right again.
void edit_first_group(Buffer& log, const std::string& path, std::string_view payload) {
  constexpr std::uint64_t kGroup = wal::kBlockBytes;  // synced groups begin at a block
  const auto segment = wal::decode_segment_header(bytes_of(log), path).value();
  const auto header = load<wal::GroupHeader>(&log[kGroup]);
  REQUIRE(header.batch_count == 1);
  const MutableBytes batch =
      MutableBytes(log).subspan(kGroup + wal::kGroupHeaderBytes, header.group_bytes - wal::kGroupHeaderBytes);
  const std::size_t at = as_text(batch).find(payload);
  REQUIRE(at != std::string_view::npos);
  batch[at] ^= std::byte{1};
  store(batch.data(), checksum64(batch.subspan(8)));
  const ByteView batches[] = {batch};
  Buffer scratch;
  const auto sealed = wal::encode_group_header(header, batches,
                                               {wal::log_key_of(segment.store_id), {segment.segment, kGroup}}, scratch);
  std::copy(sealed.begin(), sealed.end(), log.begin() + kGroup);
}

}  // namespace

TEST_CASE("verify finds an event of the log that was edited with every checksum made right, if leaf hashes are on") {
  for (const bool with_leaf_hashes : {true, false}) {
    CAPTURE(with_leaf_hashes);
    MemoryEnv env;
    Options options = presets::durable();
    options.leaf_hashes = with_leaf_hashes;
    const TestStore store = open_store(env, "store", options, 1).value();
    write_events(store);
    const std::string path = only_file(env, "store/wal");
    std::string text;
    const auto errors = [&env, &text] {
      text.clear();
      const auto result = dump::verify_store(env, "store", [&text](std::string_view line) { (text += line) += '\n'; });
      REQUIRE_MESSAGE(result.ok(), result.status().message());
      return result->errors;
    };
    CHECK(errors() == 0);
    CAPTURE(text);
    CHECK((text.find("2 of the log's 2 events have leaf hashes") != std::string::npos) == with_leaf_hashes);
    Buffer log = read_file(env, path, 1u << 20).value();
    edit_first_group(log, path, "a line of a log");
    REQUIRE(replace_file(env, path, bytes_of(log)).ok());
    CHECK(errors() == (with_leaf_hashes ? 1 : 0));
    CHECK((text.find("the group at offset 4096, batch 0: events[1] of the batch differ") != std::string::npos) ==
          with_leaf_hashes);
    const Status dumped = dump::dump_file(env, path, {}, [](std::string_view) {});
    CHECK(dumped.ok() == !with_leaf_hashes);
    // What lies behind is looked at all the same: the end of the log, and the other event of the group.
    if (!with_leaf_hashes) continue;
    edit_first_group(log, path, "example.com");
    REQUIRE(replace_file(env, path, bytes_of(log)).ok());
    CHECK(errors() == 1);
    CHECK(text.find("events[0] and 1 more of the batch differ") != std::string::npos);
  }
}

}  // namespace hdb::test
