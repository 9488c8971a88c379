// What the engine is asked for and cannot give, bounds that callers choose, and edges of the calls: the refusal names
// the mistake, and the store is as it was.
#include <doctest/doctest.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

#include "engine/recent_ids.h"
#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_store.h"

namespace hdb::test {

// While it lives, no more than so many threads can be started. One at a time; used by the test's thread alone.
class LimitedThreads {
 public:
  explicit LimitedThreads(int threads) noexcept { left = threads; }
  ~LimitedThreads() { left = kUnlimited; }
  LimitedThreads(const LimitedThreads&) = delete;
  LimitedThreads& operator=(const LimitedThreads&) = delete;

  static constexpr int kUnlimited = -1;
  static inline int left = kUnlimited;
};

namespace {

TestStore opened(Env& env, const std::string& directory = "store", Hooks hooks = {}) {
  auto store = open_store(env, directory, shrunk(presets::durable()), 7, OpenMode::kOpenOrCreate, std::move(hooks));
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  return std::move(store).value();
}

void check_refused(const Status& status, std::string_view words) {
  CHECK(status.code() == StatusCode::kInvalidArgument);
  CHECK_MESSAGE(status.message().find(words) != std::string_view::npos, std::string(status.message()));
}

Event with_id(const char* name, std::string_view payload) {
  return Event{.id = EventId::from_name("test", name), .payload = as_bytes(payload)};
}

std::vector<std::string> keys_in(Engine& engine, Keyspace keyspace, const KeyRange& range) {
  auto cursor = engine.scan(keyspace, range);
  REQUIRE_MESSAGE(cursor.ok(), cursor.status().message());
  std::vector<std::string> keys;
  while (true) {
    const auto pair = cursor->next();
    REQUIRE_MESSAGE(pair.ok(), pair.status().message());
    if (!pair.value()) return keys;
    keys.emplace_back(as_text(pair.value()->key));
  }
}

// How long the engine asked to be delayed in all.
class CountingBackground final : public Background {
 public:
  explicit CountingBackground(std::chrono::microseconds& slept) : slept_(slept), tasks_(1) {}
  void submit(Priority priority, std::function<void()> task) override { tasks_.submit(priority, std::move(task)); }
  void after(std::chrono::milliseconds delay, std::function<void()> task) override {
    tasks_.after(delay, std::move(task));
  }
  void wait(Mutex& mutex, CondVar& signal) override HDB_REQUIRES(mutex) { tasks_.wait(mutex, signal); }
  void sleep(std::chrono::microseconds duration) override { slept_ += duration; }
  void stop() override { tasks_.stop(); }

 private:
  std::chrono::microseconds& slept_;
  ManualBackground tasks_;
};

}  // namespace

TEST_CASE("a query whose range ends before it begins, or with an empty word, is refused with what is wrong") {
  MemoryEnv env;
  const TestStore store = opened(env);
  Query backward;
  backward.time = {.from = Timestamp(std::chrono::seconds(2)), .to = Timestamp(std::chrono::seconds(1))};
  check_refused(store->query(backward).status(), "range ends before it begins");
  backward.commit_time = std::exchange(backward.time, {});
  check_refused(store->query(backward).status(), "range ends before it begins");
  Query empty_word;
  empty_word.tags_all = {"a", ""};
  check_refused(store->query(empty_word).status(), "is empty");
}

TEST_CASE("a snapshot of another store is refused, not read from") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const TestStore other = opened(env, "other");
  REQUIRE(store->append(Event{.type = "t"}).ok());
  const Snapshot foreign = other->snapshot().value();
  check_refused(store->get(Position{0}, &foreign).status(), "another store");
  check_refused(store->query({}, &foreign).status(), "another store");
  const Keyspace keyspace = store->keyspace("k").value();
  check_refused(store->get(keyspace, as_bytes("a"), &foreign).status(), "another store");
  check_refused(store->scan(keyspace, {}, &foreign).status(), "another store");
}

TEST_CASE("a keyspace's name has 1 to 255 bytes") {
  MemoryEnv env;
  const TestStore store = opened(env);
  check_refused(store->keyspace("").status(), "between 1 and 255");
  check_refused(store->keyspace(std::string(256, 'n')).status(), "between 1 and 255");
  CHECK(store->keyspaces().empty());
  CHECK(store->keyspace(std::string(255, 'n')).ok());
}

TEST_CASE("an erased key is gone from memory, from tables and after a reopen, and a snapshot still has it") {
  MemoryEnv env;
  TestStore store = opened(env);
  const Keyspace keyspace = store->keyspace("k").value();
  REQUIRE(store->put(keyspace, as_bytes("kept"), as_bytes("1")).ok());
  REQUIRE(store->put(keyspace, as_bytes("erased"), as_bytes("2")).ok());
  REQUIRE(store->flush().ok());
  {
    const Snapshot before = store->snapshot().value();
    REQUIRE(store->erase(keyspace, as_bytes("erased")).ok());
    REQUIRE(store->erase(keyspace, as_bytes("never there")).ok());
    CHECK(!store->get(keyspace, as_bytes("erased")).value());
    CHECK(as_text(store->get(keyspace, as_bytes("erased"), &before).value()->bytes()) == "2");
    REQUIRE(store->flush().ok());
    CHECK(!store->get(keyspace, as_bytes("erased")).value());
    REQUIRE(store->compact().ok());
    CHECK(as_text(store->get(keyspace, as_bytes("erased"), &before).value()->bytes()) == "2");
  }
  REQUIRE(store->compact().ok());
  REQUIRE(store->close().ok());
  store = opened(env);
  const Keyspace again = store->keyspace("k").value();
  CHECK(!store->get(again, as_bytes("erased")).value());
  CHECK(keys_in(*store.engine, again, {}) == std::vector<std::string>{"kept"});
}

TEST_CASE("a scan keeps to prefix and bounds together, both ways, in memory and in tables") {
  MemoryEnv env;
  const TestStore store = opened(env);
  store->keyspace("before").value();
  const Keyspace keyspace = store->keyspace("k").value();
  const Keyspace after = store->keyspace("z").value();
  REQUIRE(store->put(after, as_bytes("ab"), as_bytes("of another keyspace")).ok());
  const std::vector<std::string> all = {"a", "aa", "ab", "ac", "b", "ba", std::string("\xff"), std::string("\xff\xff")};
  for (const std::string& key : all) REQUIRE(store->put(keyspace, as_bytes(key), as_bytes("v")).ok());
  const std::vector<std::optional<std::string>> bounds = {std::nullopt, "", "a", "ab", "abc", "b", "\xff", "\xff\xff"};
  for (const bool is_flushed : {false, true}) {
    if (is_flushed) REQUIRE(store->flush().ok());
    for (const auto& prefix : bounds) {
      for (const auto& lower : bounds) {
        for (const auto& upper : bounds) {
          KeyRange range;
          if (prefix) range.prefix = as_bytes(*prefix);
          if (lower) range.lower = as_bytes(*lower);
          if (upper) range.upper = as_bytes(*upper);
          std::vector<std::string> expected;
          for (const std::string& key : all) {
            const bool is_in =
                (!prefix || key.starts_with(*prefix)) && (!lower || key >= *lower) && (!upper || key < *upper);
            if (is_in) expected.push_back(key);
          }
          CAPTURE(prefix.value_or("-"));
          CAPTURE(lower.value_or("-"));
          CAPTURE(upper.value_or("-"));
          CHECK(keys_in(*store.engine, keyspace, range) == expected);
          std::reverse(expected.begin(), expected.end());
          range.is_backward = true;
          CHECK(keys_in(*store.engine, keyspace, range) == expected);
        }
      }
    }
  }
}

TEST_CASE("one id twice in a batch is one event if it is the same, and refuses the batch if it is not") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const std::vector<Event> twins = {with_id("a", "same"), with_id("b", "other"), with_id("a", "same"),
                                    with_id("b", "other")};
  const AppendResult result = store->append(twins).value();
  CHECK(result.count == 2);
  REQUIRE(result.duplicates.size() == 2);
  CHECK(result.duplicates[0].index == 2);
  CHECK(result.duplicates[0].position == result.first_position);
  CHECK(result.duplicates[1].index == 3);
  CHECK(result.duplicates[1].position == result.first_position + 1);
  const std::vector<Event> conflicting = {with_id("c", "one"), with_id("c", "another")};
  const Status refused = store->append(conflicting).status();
  CHECK(refused.code() == StatusCode::kConflict);
  CHECK(refused.message().find("earlier in the same batch") != std::string_view::npos);
  CHECK(store->stats().events == 2);
}

TEST_CASE("a token from beyond the end is refused: positions there may be given to other events") {
  MemoryEnv env;
  TestStore store = opened(env);
  REQUIRE(store->append(Event{.type = "backed up"}).ok());
  REQUIRE(store->close().ok());
  // The same store, as it was before: what an administrator does who puts an old disk image back.
  std::vector<std::pair<std::string, Buffer>> image;
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    const std::vector<std::string> names = env.list(directory).value();
    for (const std::string& name : names) {
      auto content = read_file(env, directory + "/" + name, 1u << 30);
      if (content.ok()) image.emplace_back(directory + "/" + name, std::move(content).value());
    }
  }
  store = opened(env);
  REQUIRE(store->append(Event{.type = "later"}).ok());
  std::string token;
  {
    auto cursor = store->query({});
    std::vector<StoredEvent> page;
    REQUIRE(cursor->next_batch(10, page).value() == 2);
    token = cursor->resume_token().value();
  }
  REQUIRE(store->close().ok());
  MemoryEnv restored;
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    REQUIRE(restored.create_directory(directory).ok());
  }
  for (const auto& [path, content] : image) REQUIRE(replace_file(restored, path, bytes_of(content)).ok());
  const TestStore earlier = opened(restored);
  CHECK(earlier->stats().events == 1);
  Query query;
  query.resume_token = token;
  check_refused(earlier->query(query).status(), "put back to an earlier state");
}

TEST_CASE("a value that is no way to back up is refused, and nothing is made") {
  MemoryEnv env;
  const TestStore store = opened(env);
  check_refused(store->backup("copy", static_cast<BackupMode>(9)).status(), "enum BackupMode");
  CHECK(!env.exists("copy").value());
}

TEST_CASE("a listener that throws is its own trouble: flushes and compactions go on") {
  MemoryEnv env;
  int calls = 0;
  Hooks hooks;
  hooks.listener = [&calls](Notice, std::string_view) {
    ++calls;
    throw std::runtime_error("the listener's own");
  };
  const TestStore store = opened(env, "store", hooks);
  for (int round = 0; round < 4; ++round) {
    REQUIRE(store->append(Event{.type = "t"}).ok());
    REQUIRE(store->flush().ok());
  }
  REQUIRE(store->compact().ok());
  CHECK(calls > 4);
  CHECK(store->stats().event_tables == 1);
}

TEST_CASE("compaction writes no faster than compaction_bytes_per_s: it waits for as long as its bytes take") {
  MemoryEnv env;
  Options options = shrunk(presets::durable());
  options.compression = Compression::kNone;
  options.compaction_bytes_per_s = 1u << 20;
  std::chrono::microseconds slept{0};
  ManualClock clock;
  Engine engine(
      Store::open(
          "store", options, OpenMode::kOpenOrCreate, {},
          Platform{.env = &env, .clock = &clock, .background = std::make_unique<CountingBackground>(slept), .seed = 1})
          .value());
  const std::string payload(10'000, 'p');
  for (int round = 0; round < 3; ++round) {
    REQUIRE(engine.append(Event{.payload = as_bytes(payload)}).ok());
    REQUIRE(engine.flush().ok());
  }
  slept = {};
  const std::uint64_t before = engine.stats().table_bytes_compacted;
  REQUIRE(engine.compact().ok());
  const std::uint64_t written = engine.stats().table_bytes_compacted - before;
  REQUIRE(written > 30'000);
  // The last bytes of a table, its index, are written when the pacing is over.
  CHECK(slept.count() >= static_cast<std::int64_t>(9 * written / 10));
  CHECK(slept.count() <= static_cast<std::int64_t>(11 * written / 10));
}

TEST_CASE("an id that is no longer remembered sends whoever looked it up before to look again") {
  RecentIds recent;
  const auto id_of = [](std::uint64_t number) { return EventId::from_name("recent", std::to_string(number)); };
  const std::vector<EventId> asked = {id_of(1'000'000'000)};
  CHECK(!recent.conflict(asked, SequenceNumber(0)));
  const std::uint64_t committed = RecentIds::kIdsMax + 1000;
  for (std::uint64_t number = 1; number <= committed; ++number) {
    const std::vector<EventId> ids = {id_of(number)};
    recent.add(ids, SequenceNumber(number), SequenceNumber(~0ull));
  }
  // Known to have been committed after the look-up.
  const std::vector<EventId> known = {id_of(committed)};
  CHECK(recent.conflict(known, SequenceNumber(committed - 1)) == SequenceNumber(committed));
  CHECK(!recent.conflict(known, SequenceNumber(committed)));
  // Looked up before the oldest that is remembered: nobody can tell, so not "no".
  CHECK(recent.conflict(asked, SequenceNumber(10)) == SequenceNumber(1000));
  CHECK(!recent.conflict(asked, SequenceNumber(1000)));
}

TEST_CASE("an open that gets none or only some of its threads says so, leaves nothing, and can be done again") {
  const TemporaryDirectory temporary;
  const std::filesystem::path directory = temporary.store();
  const auto threads_now = [] {
    const std::filesystem::directory_iterator tasks("/proc/self/task");
    return std::distance(begin(tasks), end(tasks));
  };
  Options options = presets::small();
  options.background_threads = 3;
  const auto threads_before = threads_now();
  const int needed = 7;  // for submitted appends, timers, flushes (two) and compactions
  for (const bool is_there : {false, true}) {
    CAPTURE(is_there);
    for (int given = 0; given < needed; ++given) {
      CAPTURE(given);
      const LimitedThreads limited(given);
      const auto engine = Engine::open(directory, options);
      CHECK(engine.status().code() == StatusCode::kBusy);
      for (const std::string_view words : {"threads cannot be started", "limits", "Options::background_threads"}) {
        CHECK_MESSAGE(engine.status().message().find(words) != std::string_view::npos,
                      std::string(engine.status().message()));
      }
      CHECK(std::filesystem::exists(directory) == is_there);
      // The system takes a joined thread off its list a moment later.
      while (threads_now() > threads_before) std::this_thread::yield();
      CHECK(threads_now() == threads_before);
    }
    const LimitedThreads enough(needed);
    const auto engine = Engine::open(directory, options);
    REQUIRE_MESSAGE(engine.ok(), std::string(engine.status().message()));
    REQUIRE(engine.value()->append(Event{.type = "t"}).ok());
    CHECK(engine.value()->stats().events == (is_there ? 2 : 1));
    CHECK(engine.value()->close().ok());
  }
}

TEST_CASE("a store whose lock file is removed while it is idle makes no keyspace and marks no log") {
  for (const bool is_idle : {false, true}) {
    CAPTURE(is_idle);
    MemoryEnv env;
    TestStore store = opened(env);
    REQUIRE(store->append(Event{.type = "before"}).ok());
    const std::string segment = "store/wal/" + env.list("store/wal").value().front();
    REQUIRE(env.remove(lock_path("store")).ok());
    const Buffer before = read_file(env, segment, 1u << 30).value();
    if (is_idle) {
      store.clock->advance(std::chrono::seconds(1));
      store.background->run_timers();
      CHECK(store->append(Event{.type = "after"}).status().code() == StatusCode::kClosed);
    } else {
      const Status made = store->keyspace("new").status();
      CHECK_MESSAGE(made.message().find("store/LOCK: is gone since it was locked") != std::string_view::npos,
                    made.message());
    }
    CHECK(read_file(env, segment, 1u << 30).value() == before);
    CHECK(!store->close().ok());
    CHECK(read_file(env, segment, 1u << 30).value() == before);
  }
}

TEST_CASE("a store whose lock file is removed while it is open acknowledges nothing more and changes no file") {
  MemoryEnv env;
  TestStore store = opened(env);
  REQUIRE(store->append(Event{.type = "before"}).ok());
  REQUIRE(env.remove(lock_path("store")).ok());
  const auto files = env.list("store/wal").value();
  const std::uint64_t bytes = env.bytes_used();
  const Status appended = store->append(Event{.type = "after"}).status();
  CHECK(appended.code() == StatusCode::kIoError);
  CHECK_MESSAGE(appended.message().find("store/LOCK: is gone since it was locked") != std::string_view::npos,
                appended.message());
  CHECK(store->append(Event{.type = "later"}).status().code() == StatusCode::kClosed);
  CHECK(store->keyspace("new").status().code() == StatusCode::kClosed);
  CHECK(store->flush().code() == StatusCode::kClosed);
  CHECK(store->get(Position{0}).value()->type() == "before");
  CHECK(store->close().code() == StatusCode::kClosed);
  CHECK(env.list("store/wal").value() == files);
  CHECK(env.bytes_used() == bytes);
}

}  // namespace hdb::test

// In front of the system's, for the whole program.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                              void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  const int left = hdb::test::LimitedThreads::left;
  if (left == 0) {
    hdb::test::count_fault(hdb::test::Fault::kFailedCall);
    return EAGAIN;
  }
  if (left > 0) --hdb::test::LimitedThreads::left;
  return create(thread, attributes, run, argument);
}
