// A backup is a whole store of a moment, whatever goes on, breaks or is repeated.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "engine/store_copy.h"
#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kFileBytesMax = 64u << 20;

TestStore opened(Env& env, const std::string& directory = "store", std::uint64_t seed = 7) {
  auto store = open_store(env, directory, shrunk(presets::durable()), seed);
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  return std::move(store).value();
}

Result<BackupReport> backup(TestStore& store, const std::string& to, BackupMode mode = BackupMode::kLink) {
  return store->backup(to, mode);
}

// A store and the model of it, which grow together.
struct Growing {
  explicit Growing(Env& env) : store(opened(env)), keyspace(store->keyspace("keys").value()) {}

  void grow(int batches) {
    for (; batches > 0; --batches) {
      ModelBatch batch = random_batch(random, std::vector<Keyspace>{keyspace}, 20);
      batch.events.push_back(random_event(random));
      REQUIRE(append(*store.engine, batch, Durability::kNone).ok());
      model.apply(batch);
    }
  }

  std::mt19937_64 random{5};
  TestStore store;
  Keyspace keyspace;
  Model model;
};

void check_holds(Env& env, const std::string& directory, const Model& model) {
  const TestStore copy = opened(env, directory);
  std::vector<Keyspace> keyspaces;
  for (const auto& [name, keyspace] : copy->keyspaces()) keyspaces.push_back(keyspace);
  REQUIRE(copy->stats().events == model.events.size());
  check_equal(*copy.engine, model, keyspaces);
}

// Empty if there is no such directory.
std::vector<std::string> names_in(Env& env, const std::string& directory) {
  const auto names = env.list(directory);
  return names.ok() ? names.value() : std::vector<std::string>();
}

// Does the work with power lost at its operation `crash_at` - 1. With 0 it is not, and `operations` is set to one more
// than there are, which ends a loop that begins with 0.
template <typename Work>
void with_power_loss(MemoryEnv& env, std::uint64_t crash_at, std::uint64_t& operations, const Work& work) {
  const std::uint64_t begin = env.operations();
  if (crash_at > 0) env.crash_at(begin + crash_at - 1);
  CHECK(work().ok() == (crash_at == 0));
  if (crash_at == 0) operations = env.operations() - begin + 1;
  env.crash_at(env.operations());
}

// Restores into a new directory and compares.
void check_restores(Env& env, const std::string& from, const Model& model) {
  std::string to = "restored";
  while (env.exists(to).value()) to += "-again";
  const auto restored = restore_store(env, from, to);
  REQUIRE_MESSAGE(restored.ok(), restored.status().message());
  CHECK(restored->events == model.events.size());
  check_holds(env, to, model);
}

}  // namespace

TEST_CASE("a backup holds what was appended before it, and a second one takes only what is new") {
  for (const BackupMode mode : {BackupMode::kLink, BackupMode::kCopy}) {
    MemoryEnv env;
    Growing growing(env);
    growing.grow(30);
    REQUIRE(growing.store->compact().ok());  // so that nothing is merged between the two
    const auto first = backup(growing.store, "backup", mode);
    REQUIRE_MESSAGE(first.ok(), first.status().message());
    CHECK(first->events == growing.model.events.size());
    CHECK((mode == BackupMode::kLink ? first->tables_copied : first->tables_linked) == 0);
    check_restores(env, "backup", growing.model);

    growing.grow(3);
    const auto second = backup(growing.store, "backup", mode);
    REQUIRE(second.ok());
    CHECK(second->tables_kept >= first->tables_linked + first->tables_copied);
    CHECK(second->tables_linked + second->tables_copied <= 2);
    check_restores(env, "backup", growing.model);

    growing.grow(30);
    REQUIRE(growing.store->compact().ok());
    REQUIRE(backup(growing.store, "backup", mode).ok());
    check_restores(env, "backup", growing.model);
    const auto tables = growing.store->stats().event_tables + growing.store->stats().keyspace_tables;
    CHECK(env.list("backup/sstables").value().size() == tables);
    growing.grow(5);
    check_equal(*growing.store.engine, growing.model, {growing.keyspace});
  }
}

TEST_CASE("a backup of a store that is being written to is whole: batches, order and positions") {
  MemoryEnv env;
  auto opened =
      Store::open("store", shrunk(presets::throughput()), OpenMode::kOpenOrCreate, {},
                  Platform{.env = &env, .clock = &system_clock(), .background = thread_background(2), .seed = 1});
  REQUIRE(opened.ok());
  const auto store = std::move(opened).value();
  const Keyspace keyspace = store->keyspace("count").value();
  std::atomic<bool> is_done{false};
  std::thread writer([&] {
    for (std::uint64_t number = 1; !is_done; ++number) {
      const std::string text = std::to_string(number);
      const Event pair[] = {Event{.payload = as_bytes(text)}, Event{.payload = as_bytes(text)}};
      const KeyValueChange change{keyspace, as_bytes("last"), as_bytes(text)};
      HDB_CHECK(store->append(Batch{.events = pair, .changes = {&change, 1}, .durability = {}}).ok());
    }
  });
  for (int round = 0; round < 5; ++round) {
    const auto made = store->backup("backup", round % 2 == 0 ? BackupMode::kLink : BackupMode::kCopy);
    REQUIRE_MESSAGE(made.ok(), made.status().message());
    const std::string restored = "restored" + std::to_string(round);
    REQUIRE(restore_store(env, "backup", restored).ok());
    const TestStore copy = test::opened(env, restored);
    const std::uint64_t events = copy->stats().events;
    CHECK(events == made->events);
    REQUIRE(events % 2 == 0);
    if (events == 0) continue;
    CHECK(as_text(copy->get(events - 1).value()->payload()) == std::to_string(events / 2));
    const auto last = copy->get(copy->keyspace("count").value(), as_bytes("last")).value();
    CHECK(as_text(last->bytes()) == std::to_string(events / 2));
  }
  is_done = true;
  writer.join();
  CHECK(store->close(false).ok());
}

TEST_CASE("a power loss at any operation of a backup leaves the store and the earlier backup whole") {
  std::uint64_t operations = 0;
  for (std::uint64_t crash_at = 0; crash_at == 0 || crash_at < operations; ++crash_at) {
    CAPTURE(crash_at);
    MemoryEnv env;
    Model before;
    Model after;
    {
      Growing growing(env);
      growing.grow(20);
      REQUIRE(backup(growing.store, "backup").ok());
      before = growing.model;
      growing.grow(20);
      REQUIRE(growing.store->compact().ok());
      after = growing.model;
      with_power_loss(env, crash_at, operations, [&] {
        return backup(growing.store, "backup", crash_at % 2 == 0 ? BackupMode::kLink : BackupMode::kCopy);
      });
    }
    env.crash(crash_at);
    const auto restored = restore_store(env, "backup", "restored");
    REQUIRE_MESSAGE(restored.ok(), restored.status().message());
    const Model& held = restored->events == after.events.size() ? after : before;
    check_holds(env, "restored", held);
    check_holds(env, "store", after);
    if (crash_at % 3 == 0) {  // the copy itself is a store too
      check_holds(env, "backup", held);
      continue;
    }
    TestStore store = opened(env);
    REQUIRE(backup(store, "backup").ok());
    REQUIRE(restore_store(env, "backup", "again").ok());
    check_holds(env, "again", after);
  }
  CHECK(operations > 20);
}

TEST_CASE("a backup that was finished survives a power loss, linked or copied") {
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    Model model;
    {
      Growing growing(env);
      growing.grow(5);
      REQUIRE(backup(growing.store, "backup", seed % 2 == 0 ? BackupMode::kLink : BackupMode::kCopy).ok());
      model = growing.model;
      env.crash_at(env.operations());
    }
    env.crash(seed);
    check_restores(env, "backup", model);
  }
}

TEST_CASE("a first backup that was interrupted is no store until it is done again") {
  std::uint64_t operations = 0;
  for (std::uint64_t fail_at = 0; fail_at == 0 || fail_at < operations; ++fail_at) {
    CAPTURE(fail_at);
    MemoryEnv env;
    Growing growing(env);
    growing.grow(20);
    REQUIRE(growing.store->flush().ok());
    const std::uint64_t begin = env.operations();
    if (fail_at > 0) env.fail_at(begin + fail_at - 1);
    const auto made = backup(growing.store, "backup");
    if (fail_at == 0) operations = env.operations() - begin + 1;
    if (!made.ok() && !env.exists(current_path("backup")).value()) {
      CHECK(!open_store(env, "backup", shrunk(presets::durable()), 3, OpenMode::kOpen).ok());
      CHECK(!restore_store(env, "backup", "restored").ok());
      CHECK(!env.exists(current_path("restored")).value());
    }
    const auto again = backup(growing.store, "backup");
    REQUIRE_MESSAGE(again.ok(), again.status().message());
    check_restores(env, "backup", growing.model);
    growing.grow(1);
    check_equal(*growing.store.engine, growing.model, {growing.keyspace});
  }
  CHECK(operations > 20);
}

TEST_CASE("a restore that loses power leaves no store, or the whole one, and can be run again") {
  std::uint64_t operations = 0;
  int finished_again = 0;
  for (std::uint64_t crash_at = 0; crash_at == 0 || crash_at < operations; ++crash_at) {
    CAPTURE(crash_at);
    MemoryEnv env;
    Model model;
    {
      Growing growing(env);
      growing.grow(20);
      REQUIRE(backup(growing.store, "backup").ok());
      model = growing.model;
    }
    with_power_loss(env, crash_at, operations, [&env] { return restore_store(env, "backup", "restored"); });
    env.crash(crash_at);
    if (crash_at % 2 == 0 && env.exists(current_path("restored")).value()) {
      check_holds(env, "restored", model);  // without running it again
      CHECK_FALSE(env.exists(unfinished_path("restored")).value());
    }
    const Status again = restore_store(env, "backup", "restored").status();
    finished_again += again.ok() ? 1 : 0;
    // A store that was opened goes its own way: what it is now must not be overwritten.
    if (!again.ok()) CHECK(again.message().find("is a store already") != std::string_view::npos);
    check_holds(env, "restored", model);
    CHECK_FALSE(env.exists(unfinished_path("restored")).value());
  }
  CHECK(operations > 20);
  CHECK(finished_again > 20);
}

TEST_CASE("a backup of a damaged store is refused and names the damaged file; the earlier backup stays whole") {
  for (const BackupMode mode : {BackupMode::kLink, BackupMode::kCopy}) {
    MemoryEnv env;
    Growing growing(env);
    growing.grow(6);
    REQUIRE(backup(growing.store, "backup", mode).ok());
    const Model before = growing.model;
    growing.grow(6);
    REQUIRE(growing.store->flush().ok());
    for (const std::string& name : names_in(env, "store/sstables")) {
      if (env.exists("backup/sstables/" + name).value()) continue;
      const std::string path = "store/sstables/" + name;
      const Buffer whole = read_file(env, path, kFileBytesMax).value();
      for (std::size_t at = 0; at < whole.size(); at += 97) {
        CAPTURE(at);
        Buffer damaged = whole;
        damaged[at] ^= std::byte{4};
        REQUIRE(replace_file(env, path, bytes_of(damaged)).ok());
        const Status refused = backup(growing.store, "backup", mode).status();
        CHECK(refused.code() == StatusCode::kCorruption);
        CHECK(refused.message().find(path) == 0);
        CHECK(!backup(growing.store, "new", mode).ok());
        CHECK(!env.exists(current_path("new")).value());
      }
      REQUIRE(replace_file(env, path, bytes_of(whole)).ok());
    }
    check_restores(env, "backup", before);
    CHECK(backup(growing.store, "backup", mode).ok());
    CHECK(backup(growing.store, "new", mode).ok());
    check_restores(env, "new", growing.model);
  }
}

TEST_CASE("a backup finds what is damaged of an earlier one, and copies it again while the store still has it") {
  std::uint64_t operations = 0;
  for (std::uint64_t crash_at = 0; crash_at == 0 || crash_at < operations; ++crash_at) {
    CAPTURE(crash_at);
    MemoryEnv env;
    Model model;
    const BackupMode mode = crash_at % 2 == 0 ? BackupMode::kLink : BackupMode::kCopy;
    {
      Growing growing(env);
      growing.grow(6);
      REQUIRE(backup(growing.store, "backup", mode).ok());
      model = growing.model;
      const std::string path = "backup/sstables/" + env.list("backup/sstables").value().front();
      Buffer damaged = read_file(env, path, kFileBytesMax).value();
      damaged[(crash_at * 97) % damaged.size()] ^= std::byte{4};
      REQUIRE(replace_file(env, path, bytes_of(damaged)).ok());
      REQUIRE(!restore_store(env, "backup", "never").ok());
      Result<BackupReport> made = BackupReport{};
      with_power_loss(env, crash_at, operations, [&] { return made = backup(growing.store, "backup", mode); });
      if (crash_at == 0) {
        CHECK(made->tables_replaced == 1);
        CHECK(made->tables_kept > 0);
        CHECK(made->bytes_copied > 0);
      }
    }
    env.crash(crash_at);
    {
      TestStore store = opened(env);
      REQUIRE(backup(store, "backup", mode).ok());
    }
    for (const std::string& name : names_in(env, "backup/sstables")) CHECK(!is_temporary_name(name));
    check_restores(env, "backup", model);
  }
  CHECK(operations > 20);
}

TEST_CASE(
    "a backup of which a table is damaged in the store as well names that of the store, and leaves no half copy") {
  MemoryEnv env;
  Growing growing(env);
  growing.grow(6);
  REQUIRE(backup(growing.store, "backup", BackupMode::kCopy).ok());
  const std::string name = env.list("backup/sstables").value().front();
  for (const std::string directory : {"store", "backup"}) {
    const std::string path = table_directory(directory) + "/" + name;
    Buffer damaged = read_file(env, path, kFileBytesMax).value();
    damaged[damaged.size() / 2] ^= std::byte{4};
    REQUIRE(replace_file(env, path, bytes_of(damaged)).ok());
  }
  const Status refused = backup(growing.store, "backup", BackupMode::kCopy).status();
  CHECK(refused.code() == StatusCode::kCorruption);
  CHECK(refused.message().find("store/sstables/" + name) == 0);
  for (const std::string& left : names_in(env, "backup/sstables")) CHECK(!is_temporary_name(left));
}

TEST_CASE("a restore beside a backup into the same directory is refused before it reads what that may change") {
  MemoryEnv env;
  {
    Growing growing(env);
    growing.grow(6);
    REQUIRE(backup(growing.store, "backup", BackupMode::kCopy).ok());
  }
  const Buffer current = read_file(env, current_path("backup"), kFileBytesMax).value();
  {
    const auto other = env.lock(lock_path("backup"));
    REQUIRE(other.ok());
    REQUIRE(replace_file(env, current_path("backup"), as_bytes("that of the other")).ok());
    CHECK(restore_store(env, "backup", "restored").status().code() == StatusCode::kBusy);
  }
  REQUIRE(replace_file(env, current_path("backup"), bytes_of(current)).ok());
  CHECK(restore_store(env, "backup", "restored").ok());
}

TEST_CASE("a restore finds every flipped byte, names the file, and leaves no store") {
  MemoryEnv env;
  {
    Growing growing(env);
    growing.grow(6);
    REQUIRE(backup(growing.store, "backup", BackupMode::kCopy).ok());
  }
  const std::vector<std::string> tables = env.list("backup/sstables").value();
  REQUIRE(tables.size() == 2);
  for (const std::string& name : tables) {
    const std::string path = "backup/sstables/" + name;
    const Buffer whole = read_file(env, path, kFileBytesMax).value();
    for (std::size_t at = 0; at < whole.size(); at += 37) {
      CAPTURE(at);
      Buffer damaged = whole;
      damaged[at] ^= std::byte{16};
      REQUIRE(replace_file(env, path, bytes_of(damaged)).ok());
      const auto restored = restore_store(env, "backup", "restored");
      REQUIRE(restored.status().code() == StatusCode::kCorruption);
      CHECK(restored.status().message().find(path) == 0);  // of the backup, not of what was made of it
      CHECK(!env.exists(current_path("restored")).value());
    }
    REQUIRE(replace_file(env, path, bytes_of(whole)).ok());
  }
  CHECK(restore_store(env, "backup", "restored").ok());
}

TEST_CASE(
    "a copy that is opened for writing is a store of its own: another id, and tokens of the original are refused") {
  MemoryEnv env;
  std::string token;
  std::string id;
  {
    Growing growing(env);
    growing.grow(5);
    id = growing.store->store_id();
    Query query;
    auto cursor = growing.store->query(query);
    REQUIRE(cursor->next().value());
    token = cursor->resume_token().value();
    REQUIRE(backup(growing.store, "backup").ok());
  }
  std::string copy_id;
  {
    const TestStore copy = opened(env, "backup", 8);
    copy_id = copy->store_id();
    CHECK(copy_id != id);
    Query query;
    query.resume_token = token;
    CHECK(copy->query(query).status().code() == StatusCode::kInvalidArgument);
    REQUIRE(copy->append(Event{.type = "own"}).ok());
  }
  CHECK(opened(env, "backup", 9)->store_id() == copy_id);
  // It is no backup any more.
  TestStore store = opened(env);
  CHECK(store->store_id() == id);
  CHECK(backup(store, "backup").status().code() == StatusCode::kInvalidArgument);
  CHECK(restore_store(env, "backup", "restored").status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("a directory that is not the store's own backup is left alone, and none is made where it is refused") {
  MemoryEnv env;
  Growing growing(env);
  growing.grow(3);
  {
    REQUIRE(opened(env, "other")->close().ok());
    REQUIRE(env.create_directory("files").ok());
    REQUIRE(replace_file(env, "files/notes", as_bytes("mine")).ok());
    REQUIRE(env.create_directory("unfinished").ok());
    REQUIRE(replace_file(env, unfinished_path("unfinished"), as_bytes("of somebody else")).ok());
  }
  for (const std::string to : {"other", "files", "unfinished", "store", "store/backup"}) {
    CAPTURE(to);
    const auto before = names_in(env, to);
    const auto made = backup(growing.store, to);
    CHECK(made.status().code() == StatusCode::kInvalidArgument);
    CHECK(made.status().message().find("choose") != std::string_view::npos);
    CHECK(names_in(env, to) == before);
  }
  CHECK(read_file(env, "files/notes", 100).ok());
  REQUIRE(backup(growing.store, "backup").ok());
  for (const std::string to : {"other", "files", "unfinished", "store", "backup/restored"}) {
    CAPTURE(to);
    const auto before = names_in(env, to);
    CHECK(!restore_store(env, "backup", to).ok());
    CHECK(names_in(env, to) == before);
  }
  REQUIRE(env.remove("files/notes").ok());
  REQUIRE(replace_file(env, unfinished_path("files"), as_bytes("repair of " + growing.store->store_id())).ok());
  for (const Status& refused : {backup(growing.store, "files").status(), restore_store(env, "backup", "files").status(),
                                restore_store(env, "files", "restored").status()}) {
    CHECK(refused.message().find("files: is an unfinished repair; ") == 0);
  }
  CHECK(names_in(env, "files") == std::vector<std::string>{"UNFINISHED-COPY"});
  const TestStore in_use = opened(env, "other");
  CHECK(restore_store(env, "store", "restored").status().code() == StatusCode::kInvalidArgument);
}

}  // namespace hdb::test
