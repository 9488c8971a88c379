// Devices that stand still, and how a store is slowed down and stopped by them: appends wait, reads go on, nothing is
// lost, and what is counted and told says why. Nobody sleeps: devices are held by gates, time is told by the test.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/gated_env.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Moved by the test, or by a step each time it is read. Thread-safe.
class SteppingClock final : public Clock {
 public:
  explicit SteppingClock(std::chrono::nanoseconds step = {}) : step_(step.count()) {}

  Timestamp wall() override { return Timestamp(monotonic()); }
  std::chrono::nanoseconds monotonic() override { return std::chrono::nanoseconds(now_ += step_); }
  void advance(std::chrono::nanoseconds by) { now_ += by.count(); }
  void set_step(std::chrono::nanoseconds step) { step_ = step.count(); }

 private:
  std::atomic<std::int64_t> step_;
  std::atomic<std::int64_t> now_ = std::chrono::nanoseconds(std::chrono::hours(24 * 365 * 50)).count();
};

// Real threads, but for what takes time: back-pressure does not sleep, and no timer runs. Thread-safe.
class WakefulBackground final : public Background {
 public:
  void submit(Priority priority, std::function<void()> task) override { threads_->submit(priority, std::move(task)); }
  void after(milliseconds, std::function<void()>) override {}
  void wait(Mutex& mutex, CondVar& signal) override HDB_REQUIRES(mutex) { threads_->wait(mutex, signal); }
  void sleep(std::chrono::microseconds) override {}
  void stop() override { threads_->stop(); }

 private:
  std::unique_ptr<Background> threads_ = thread_background(1);
};

// What the store's listener heard. Thread-safe.
class Notices {
 public:
  Hooks hooks() {
    return {[this](Notice notice, std::string_view text) {
      MutexLock lock(mutex_);
      heard_.emplace_back(notice, text);
    }};
  }
  std::vector<std::string> of(Notice wanted) const {
    MutexLock lock(mutex_);
    std::vector<std::string> found;
    for (const auto& [notice, text] : heard_) {
      if (notice == wanted) found.push_back(text);
    }
    return found;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::pair<Notice, std::string>> heard_ HDB_GUARDED_BY(mutex_);
};

// Three threads that append numbered events.
class Writers {
 public:
  static constexpr std::uint64_t kThreads = 3;

  Writers(Engine& engine, std::uint64_t events_each, std::size_t payload_bytes, Durability durability) {
    for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
      threads_.emplace_back([=, this, &engine] {
        for (std::uint64_t number = 0; number < events_each; ++number) {
          std::string payload = std::to_string(number);
          payload.resize(payload_bytes, ' ');
          const std::string type = "writer" + std::to_string(thread);
          const Event event{.type = type, .payload = as_bytes(payload)};
          const bool is_taken = engine.append(Batch{.events = {&event, 1}, .durability = durability}).ok();
          ++(is_taken ? acknowledged_ : refused_);
        }
      });
    }
  }
  ~Writers() { join(); }
  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;

  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  std::uint64_t acknowledged() const { return acknowledged_; }
  std::uint64_t refused() const { return refused_; }

 private:
  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::vector<std::thread> threads_;
};

// The events of Writers in order, behind `before` others, and nothing else.
void check_holds(Engine& engine, std::uint64_t before, std::uint64_t events_each) {
  REQUIRE(engine.stats().events == before + Writers::kThreads * events_each);
  std::array<std::uint64_t, Writers::kThreads> found{};
  std::uint64_t wrong = 0;
  for (Position position = before; position < engine.stats().events; ++position) {
    const auto event = engine.get(position).value();
    REQUIRE(event.has_value());
    const std::uint64_t number = found[static_cast<std::size_t>(event->type().back() - '0')]++;
    wrong += std::stoull(std::string(as_text(event->payload()))) != number;
  }
  CHECK(wrong == 0);
}

std::uint64_t count_events(Engine& engine) {
  auto cursor = engine.query(Query{}).value();
  std::uint64_t count = 0;
  while (cursor.next().value()) ++count;
  return count;
}

// A store with threads on a memory disk that can be made to stand still.
struct StalledStore {
  explicit StalledStore(const Options& options) {
    auto store = Store::open(
        "store", options, OpenMode::kOpenOrCreate, notices.hooks(),
        Platform{.env = &env, .clock = &clock, .background = std::make_unique<WakefulBackground>(), .seed = 1});
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    engine = std::make_unique<Engine>(std::move(store).value());
  }

  MemoryEnv disk;
  GatedEnv env{disk};
  SteppingClock clock;
  Notices notices;
  std::unique_ptr<Engine> engine;  // before what it uses
};

constexpr seconds kStall{10};

// Closes the store in a thread of its own, while the device stands still at the gate, and then goes on.
void check_close_waits(StalledStore& store, Gate gate) {
  store.env.hold(gate);
  std::atomic<bool> is_closed{false};
  Status closed;
  std::thread closer([&] {
    closed = store.engine->close();
    is_closed = true;
  });
  store.env.wait_for_held(gate);
  store.clock.advance(kStall);
  CHECK(!is_closed);
  store.env.release(gate);
  closer.join();
  CHECK_MESSAGE(closed.ok(), std::string(closed.message()));
}

}  // namespace

TEST_CASE("while the log's device stands still appends wait and reads go on, and then all are there; close waits too") {
  constexpr std::uint64_t kEventsEach = 20;
  StalledStore store(shrunk(presets::durable()));
  Engine& engine = *store.engine;
  const Keyspace keyspace = engine.keyspace("keys").value();
  REQUIRE(engine.append(Event{.type = "before"}).ok());
  REQUIRE(engine.put(keyspace, as_bytes("key"), as_bytes("before")).ok());
  store.env.hold(Gate::kLog);
  {
    Writers writers(engine, kEventsEach, 100, Durability::kSync);
    store.env.wait_for_held(Gate::kLog);
    store.clock.advance(kStall);
    CHECK(engine.get(Position{0}).value()->type() == "before");
    CHECK(as_text(engine.get(keyspace, as_bytes("key")).value()->bytes()) == "before");
    CHECK(engine.snapshot().value().position_end() == 1);
    CHECK(count_events(engine) == 1);
    CHECK(writers.acknowledged() == 0);
    CHECK(writers.refused() == 0);
    store.env.release(Gate::kLog);
    writers.join();
    CHECK(writers.acknowledged() == Writers::kThreads * kEventsEach);
  }
  check_holds(engine, 1, kEventsEach);
  CHECK(engine.stats().stalls == 0);  // of back-pressure: there was none
  check_close_waits(store, Gate::kLog);
  CHECK(store.notices.of(Notice::kError).empty());
  CHECK(store.notices.of(Notice::kStall).empty());
  const TestStore again = open_store(store.disk, "store", shrunk(presets::durable()), 1).value();
  CHECK(again->stats().recovered_groups == 0);
  check_holds(*again.engine, 1, kEventsEach);
}

TEST_CASE(
    "while the tables' device stands still appends go on, then wait, which is told and timed; reads go on; close "
    "waits") {
  constexpr std::uint64_t kEventsEach = 200;
  StalledStore store(shrunk(presets::durable()));
  Engine& engine = *store.engine;
  store.env.hold(Gate::kTables);
  {
    Writers writers(engine, kEventsEach, 2000, Durability::kNone);
    while (engine.stats().stalls < Writers::kThreads) std::this_thread::yield();
    store.clock.advance(kStall);
    const std::uint64_t acknowledged = writers.acknowledged();
    CHECK(acknowledged > 0);
    CHECK(acknowledged < Writers::kThreads * kEventsEach);
    CHECK(count_events(engine) == acknowledged);
    CHECK(engine.stats().events == acknowledged);
    CHECK(engine.stats().flushes == 0);
    CHECK(writers.refused() == 0);
    store.env.release(Gate::kTables);
    writers.join();
    CHECK(writers.acknowledged() == Writers::kThreads * kEventsEach);
  }
  check_holds(engine, 0, kEventsEach);
  const auto stalled_us = std::chrono::microseconds(kStall).count() * static_cast<std::int64_t>(Writers::kThreads);
  CHECK(engine.stats().stall_us >= static_cast<std::uint64_t>(stalled_us));
  const std::vector<std::string> told = store.notices.of(Notice::kStall);
  CHECK(told.size() == engine.stats().stalls);
  REQUIRE(!told.empty());
  CHECK_MESSAGE(told[0].find("2 sealed memtables wait for their flush") != std::string::npos, told[0]);
  REQUIRE(engine.append(Event{.type = "writer0", .payload = as_bytes(std::to_string(kEventsEach))}).ok());
  check_close_waits(store, Gate::kTables);
  CHECK(store.notices.of(Notice::kError).empty());
  const TestStore again = open_store(store.disk, "store", shrunk(presets::durable()), 1).value();
  CHECK(again->stats().events == Writers::kThreads * kEventsEach + 1);
  CHECK(again->stats().recovered_groups == 0);
}

namespace {

// Tasks wait until an append waits for them; how long back-pressure delayed each append. Single-owner.
class HeldBackground final : public Background {
 public:
  explicit HeldBackground(SteppingClock& clock) : clock_(clock) {}

  void submit(Priority priority, std::function<void()> task) override { queue_of(priority).push_back(std::move(task)); }
  void after(milliseconds, std::function<void()>) override {}
  void wait([[maybe_unused]] Mutex& mutex, CondVar&) override HDB_REQUIRES(mutex) {
    mutex.unlock();
    const bool has_run = run_one(Priority::kFlush) || run_one(Priority::kCompaction);
    HDB_CHECK(has_run);  // nothing left that could make the awaited condition true
    mutex.lock();
  }
  void sleep(std::chrono::microseconds duration) override {
    delays_.push_back(duration);
    clock_.advance(duration);
  }
  void stop() override { queues_ = {}; }

  bool run_one(Priority priority) {
    if (queue_of(priority).empty()) return false;
    const std::function<void()> task = std::move(queue_of(priority).front());
    queue_of(priority).pop_front();
    task();
    return true;
  }
  void run_all(Priority priority) {
    while (run_one(priority)) continue;
  }
  std::vector<std::chrono::microseconds> take_delays() { return std::exchange(delays_, {}); }

 private:
  std::deque<std::function<void()>>& queue_of(Priority priority) { return queues_[static_cast<std::size_t>(priority)]; }

  SteppingClock& clock_;
  std::array<std::deque<std::function<void()>>, 3> queues_;  // by Priority
  std::vector<std::chrono::microseconds> delays_;
};

constexpr milliseconds kClockStep{5};  // so that flushes and compactions take time

// A store whose flushes and compactions the test runs, or lets an append wait for.
struct HeldStore {
  explicit HeldStore(const Options& options) {
    auto owned = std::make_unique<HeldBackground>(clock);
    background = owned.get();
    auto store = Store::open("store", options, OpenMode::kOpenOrCreate, notices.hooks(),
                             Platform{.env = &env, .clock = &clock, .background = std::move(owned), .seed = 1});
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    engine = std::make_unique<Engine>(std::move(store).value());
  }

  MemoryEnv env;
  SteppingClock clock{kClockStep};
  Notices notices;
  HeldBackground* background = nullptr;  // the engine's
  std::unique_ptr<Engine> engine;        // before what it uses
};

// Of appends alike: longer and longer, by as much each time, to within one of those steps.
void check_in_proportion(const std::vector<std::chrono::microseconds>& delays) {
  REQUIRE(delays.size() >= 4);
  const auto count = static_cast<std::int64_t>(delays.size());
  const std::int64_t step = delays.back().count() / count;
  for (std::int64_t index = 0; index < count; ++index) {
    CAPTURE(index);
    const std::int64_t delay = delays[static_cast<std::size_t>(index)].count();
    CHECK(delay >= index * step);
    CHECK(delay <= (index + 2) * step);
    if (index > 0) CHECK(delay > delays[static_cast<std::size_t>(index - 1)].count());
  }
}

}  // namespace

TEST_CASE(
    "while a flush is held appends slow down so that the last memtable lasts as long as the flush should, then stop") {
  Options options = shrunk(presets::durable());
  HeldStore store(options);
  Engine& engine = *store.engine;
  const std::string payload(1500, 'x');
  const Event event{.payload = as_bytes(payload)};
  // How fast it flushes is known from the first.
  const auto fill_a_memtable = [&] {
    for (std::uint64_t bytes = 0; bytes < options.memtable_bytes / 2; bytes += payload.size()) {
      REQUIRE(engine.append(event).ok());
    }
  };
  fill_a_memtable();
  REQUIRE(engine.flush().ok());
  store.clock.set_step({});
  while (engine.stats().sealed_memtables < options.sealed_memtables_max) REQUIRE(engine.append(event).ok());
  CHECK(engine.stats().slowdowns == 0);
  CHECK(store.background->take_delays().empty());

  std::uint64_t appends = 0;
  while (engine.stats().stalls == 0) {
    const Stats before = engine.stats();
    REQUIRE(engine.append(event).ok());
    ++appends;
    if (engine.stats().stalls == 0) CHECK(engine.stats().flushes == before.flushes);
  }
  CHECK(appends > options.memtable_bytes / 3000);
  const std::vector<std::chrono::microseconds> delays = store.background->take_delays();
  const Stats stats = engine.stats();
  CHECK(stats.slowdowns == delays.size());
  CHECK(stats.slowdowns >= appends - 2);  // all but the one that stopped
  const auto rounding = std::chrono::microseconds(2);
  CHECK(std::is_sorted(delays.begin(), delays.end(), [rounding](auto a, auto b) { return a + rounding < b; }));
  CHECK(delays.back() > 4 * delays.front());
  CHECK(delays.back() <= milliseconds(40));
  // A whole memtable takes at least as long as half of one took: a step of the clock.
  CHECK(std::accumulate(delays.begin(), delays.end(), std::chrono::microseconds(0)) >= kClockStep);
  CHECK(stats.stalls == 1);
  CHECK(stats.flushes == 2);  // what it stopped for
  CHECK(stats.stall_us > 0);
  REQUIRE(store.notices.of(Notice::kStall).size() == 1);
  CHECK(store.notices.of(Notice::kStall)[0].find("2 sealed memtables wait for their flush") != std::string::npos);
  store.background->run_all(Background::Priority::kFlush);
  REQUIRE(engine.append(event).ok());
  CHECK(store.background->take_delays().empty());
}

TEST_CASE("while compaction is held appends slow down in proportion to the tables of level 0, before they stop") {
  Options options = shrunk(presets::durable());
  options.level0_compaction_trigger = 2;
  options.level0_stop_trigger = 16;
  HeldStore store(options);
  Engine& engine = *store.engine;
  const Keyspace keyspace = engine.keyspace("keys").value();
  const std::string value(1500, 'v');
  const auto put_and_flush = [&] {
    REQUIRE(engine.put(keyspace, as_bytes("key"), as_bytes(value)).ok());
    REQUIRE(engine.flush().ok());
  };
  // How fast it compacts is known from the first.
  for (int table = 0; table < 2; ++table) put_and_flush();
  store.background->run_all(Background::Priority::kCompaction);
  REQUIRE(engine.stats().compactions > 0);
  store.background->take_delays();
  const auto level0 = [&] { return engine.stats().keyspace_tables_by_level[0]; };
  while (level0() <= options.level0_stop_trigger / 2) put_and_flush();
  CHECK(engine.stats().slowdowns == 0);

  while (level0() < options.level0_stop_trigger) put_and_flush();
  const std::vector<std::chrono::microseconds> delays = store.background->take_delays();
  CHECK(delays.size() == options.level0_stop_trigger - options.level0_stop_trigger / 2 - 1);
  CHECK(engine.stats().slowdowns == delays.size());
  CHECK(engine.stats().stalls == 0);
  check_in_proportion(delays);
  const std::uint64_t compactions = engine.stats().compactions;
  put_and_flush();
  CHECK(engine.stats().stalls == 1);
  CHECK(engine.stats().compactions > compactions);  // what it stopped for
  REQUIRE(store.notices.of(Notice::kStall).size() == 1);
  CHECK(store.notices.of(Notice::kStall)[0].find("16 keyspace tables in level 0 wait for compaction") !=
        std::string::npos);
}

namespace {

// Fills a memtable, so that its flush waits to be run.
void fill_a_memtable(const TestStore& store, const Options& options, Durability durability) {
  const std::string payload(options.memtable_bytes / 8, 'x');
  const Event event{.payload = as_bytes(payload)};
  while (store->stats().sealed_memtables == 0) {
    REQUIRE(store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = durability}).ok());
  }
}

}  // namespace

TEST_CASE("the mark of an idle log waits for a flush with what is not durable, and for nothing else") {
  const Options options = shrunk(presets::durable());
  for (const Durability durability : {Durability::kSync, Durability::kNone}) {
    CAPTURE(static_cast<int>(durability));
    MemoryEnv env;
    const TestStore store = open_store(env, "store", options, 1).value();
    fill_a_memtable(store, options, durability);
    const std::uint64_t syncs = store->stats().log_syncs;
    const std::uint64_t bytes = store->stats().log_bytes_written;
    store.clock->advance(seconds(1));
    store.background->run_timers();
    REQUIRE(store->stats().sealed_memtables == 1);  // its flush waits still
    if (durability == Durability::kSync) {
      CHECK(store->stats().log_bytes_written > bytes);
      continue;
    }
    // What the flush is about to delete is not made durable, nor is the log marked; the timer comes again.
    CHECK(store->stats().log_syncs == syncs);
    CHECK(store->stats().log_bytes_written == bytes);
    store.background->run_tasks();
    CHECK(store->stats().sealed_memtables == 0);
    store.clock->advance(seconds(1));
    store.background->run_timers();
    CHECK(store->stats().log_syncs > syncs);
    CHECK(store->stats().log_bytes_written > bytes);
  }
}

TEST_CASE("a log is idle from the end of its last write on, however long the device took for it") {
  MemoryEnv disk;
  GatedEnv env(disk);
  const TestStore store = open_store(env, "store", shrunk(presets::durable()), 1).value();
  const auto append_none = [&store] {
    const Event event{.type = "unsynced"};
    return store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = Durability::kNone}).status();
  };
  REQUIRE(append_none().ok());  // sets the timer
  const std::uint64_t syncs = store->stats().log_syncs;
  env.hold(Gate::kLog);
  Status status;
  std::thread appending([&] { status = append_none(); });
  env.wait_for_held(Gate::kLog);
  store.clock->advance(seconds(10));
  env.release(Gate::kLog);
  appending.join();
  REQUIRE_MESSAGE(status.ok(), status.message());
  store.background->run_timers();
  CHECK(store->stats().log_syncs == syncs);
  store.clock->advance(seconds(1));
  store.background->run_timers();
  CHECK(store->stats().log_syncs > syncs);
}

TEST_CASE("an interval append is synced in time also while a flush runs") {
  const Options options = shrunk(presets::durable());
  MemoryEnv env;
  TestStore store = open_store(env, "store", options, 1).value();
  fill_a_memtable(store, options, Durability::kNone);
  const Event event{.type = "interval"};
  REQUIRE(store->append(Batch{.events = {&event, 1}, .changes = {}, .durability = Durability::kInterval}).ok());
  const std::uint64_t events = store->stats().events;
  store.clock->advance(milliseconds(options.sync_interval_ms));
  store.background->run_timers();
  REQUIRE(store->stats().sealed_memtables == 1);
  env.crash_at(env.operations());
  store.engine.reset();
  env.crash(1);
  const TestStore again = open_store(env, "store", options, 1).value();
  CHECK(again->stats().events == events);
}

}  // namespace hdb::test
