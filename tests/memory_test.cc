// Running out of memory: the call that meets it says so, the process lives, nothing acknowledged is lost, and the store
// goes on or opens again. Each allocation of each call fails, alone and with all after it. Files are real, on a file
// system in memory where there is one; background work runs in the test's thread.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

#include "memtable/event_columns.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/gated_env.h"
#include "tests/support/model.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

// Of memory where there is one: these tests open thousands of stores.
std::filesystem::path fast_parent() {
  const std::filesystem::path memory = "/dev/shm";
  const bool is_there = std::filesystem::is_directory(memory) && access(memory.c_str(), W_OK) == 0;
  return is_there ? memory : std::filesystem::path();
}

constexpr std::uint64_t kSeed = 11;

Options tiny() {
  Options options = shrunk(presets::durable());
  options.table_bytes_target = 64u << 10;
  options.leaf_hashes = true;
  return options;
}

// What a store must hold: in order, each batch that was acknowledged, and maybe those whose outcome was unknown.
class Expected {
 public:
  void acknowledged(ModelBatch batch) { batches_.push_back({std::move(batch), true}); }
  void unknown(ModelBatch batch) { batches_.push_back({std::move(batch), false}); }

  // Settles what was unknown by what is there.
  void check(Engine& engine) {
    const std::uint64_t events = engine.stats().events;
    Model model;
    std::vector<Batch> kept;
    std::uint64_t certain_left = 0;
    for (const Batch& batch : batches_) certain_left += batch.is_certain ? batch.batch.events.size() : 0;
    for (Batch& batch : batches_) {
      const std::uint64_t own = batch.batch.events.size();
      const bool is_there = batch.is_certain || model.events.size() + own + certain_left <= events;
      if (batch.is_certain) certain_left -= own;
      if (!is_there) continue;
      model.apply(batch.batch);
      kept.push_back({std::move(batch.batch), true});
    }
    batches_ = std::move(kept);
    REQUIRE(model.events.size() == events);
    std::vector<Keyspace> keyspaces;
    for (const auto& [name, keyspace] : engine.keyspaces()) keyspaces.push_back(keyspace);
    check_equal(engine, model, keyspaces);
  }

 private:
  struct Batch {
    ModelBatch batch;
    bool is_certain;
  };
  std::vector<Batch> batches_;
};

// A batch as the engine takes it, made while there is memory. Points into `batch`.
struct Given {
  explicit Given(const ModelBatch& batch) {
    for (const OwnedEvent& event : batch.events) events.push_back(event.view());
    for (const ModelChange& change : batch.changes) {
      changes.push_back({Keyspace(change.keyspace), as_bytes(change.key),
                         change.value ? std::optional(as_bytes(*change.value)) : std::nullopt});
    }
  }
  Batch view() const { return {.events = events, .changes = changes, .durability = Durability::kSync}; }

  std::vector<Event> events;
  std::vector<KeyValueChange> changes;
};

// A store whose calls run out of memory one allocation later each time.
class Starved {
 public:
  explicit Starved(Failing failing) : failing_(failing), random_(kSeed) { reopen(); }

  TestStore& store() { return *store_; }
  Expected& expected() { return expected_; }
  const std::string path() const { return folder_.store(); }
  ModelBatch batch() {
    ModelBatch batch = random_batch(random_, std::vector<Keyspace>{keyspace_}, 6);
    batch.events.push_back(random_event(random_));
    return batch;
  }

  void append() {
    const ModelBatch batch = this->batch();
    const auto appended = test::append(*store_->engine, batch, Durability::kNone);
    REQUIRE_MESSAGE(appended.ok(), std::string(appended.status().message()));
    expected_.acknowledged(batch);
  }

  void reopen() {
    store_.reset();
    auto opened = open_store(posix_env(), path(), tiny(), kSeed);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    store_.emplace(std::move(opened).value());
    const auto keyspace = (*store_)->keyspace("keys");
    REQUIRE_MESSAGE(keyspace.ok(), keyspace.status().message());
    keyspace_ = *keyspace;
  }
  void close() { store_.reset(); }

  // Runs `call` until it needs no more memory than there is; each time `settle` hears how it ended.
  void starve(const std::function<Status()>& call, const std::function<void(const Status&)>& settle) {
    std::uint64_t failures = 0;
    for (std::uint64_t number = 0;; ++number) {
      CAPTURE(number);
      Status status;
      bool has_failed = false;
      {
        const FailingAllocations failing(number, failing_);
        status = call();
        has_failed = FailingAllocations::has_failed();
      }
      failures += !status.ok();
      if (!status.ok()) CHECK_MESSAGE(has_failed, std::string(status.message()));
      settle(status);
      if (!has_failed) break;
    }
    CHECK(failures > 0);
  }
  Keyspace keyspace() const { return keyspace_; }

 private:
  TemporaryDirectory folder_{fast_parent()};
  Failing failing_;
  std::mt19937_64 random_;
  std::optional<TestStore> store_;
  Keyspace keyspace_{0};
  Expected expected_;
};

bool is_unknown(const Status& status) {
  return status.message().find("outcome unknown") != std::string_view::npos;
}

// The tasks of a store that is used by two threads; tells when the first is submitted. They run when it says so.
class AnnouncingBackground final : public Background {
 public:
  void submit(Priority priority, std::function<void()> task) override {
    tasks_.submit(priority, std::move(task));
    if (!std::exchange(has_announced_, true)) submitted_.set_value();
  }
  void after(std::chrono::milliseconds, std::function<void()>) override {}
  void wait(Mutex& mutex, CondVar& signal) override HDB_REQUIRES(mutex) { tasks_.wait(mutex, signal); }
  void sleep(std::chrono::microseconds) override {}
  void stop() override { tasks_.stop(); }

  void run_tasks() { tasks_.run_tasks(); }
  void wait_for_submission() { submitted_.get_future().wait(); }

 private:
  ManualBackground tasks_{kSeed};
  std::promise<void> submitted_;
  bool has_announced_ = false;
};

void for_each_kind(const std::function<void(Failing)>& run) {
  for (const Failing failing : {Failing::kOne, Failing::kAllFrom}) {
    CAPTURE(static_cast<int>(failing));
    run(failing);
  }
}

}  // namespace

TEST_CASE("an append without memory has no effect or says that its outcome is unknown, and the store goes on") {
  for_each_kind([](Failing failing) {
    Starved starved(failing);
    for (int round = 0; round < 3; ++round) {
      ModelBatch batch = starved.batch();
      std::optional<Given> given(batch);
      starved.starve([&] { return starved.store()->append(given->view()).status(); },
                     [&](const Status& status) {
                       if (status.ok()) starved.expected().acknowledged(batch);
                       if (is_unknown(status)) {
                         starved.expected().unknown(batch);
                         const auto refused = starved.store()->append(Event{.type = "refused"});
                         CHECK(refused.status().code() == StatusCode::kClosed);
                         starved.reopen();
                       } else if (!status.ok()) {
                         CHECK_MESSAGE(status.code() == StatusCode::kOutOfMemory, std::string(status.message()));
                       }
                       starved.append();
                       batch = starved.batch();
                       given.emplace(batch);
                     });
      starved.expected().check(*starved.store().engine);
    }
    starved.reopen();
    starved.expected().check(*starved.store().engine);
  });
}

TEST_CASE("a memtable that a batch could not be put into is not flushed: the log keeps the batch for the next open") {
  const TemporaryDirectory folder(fast_parent());
  const Options options = tiny();
  // So large that its caller applies it, not the leader of its group: others may lead meanwhile.
  const std::string full(std::max<std::size_t>(options.memtable_bytes, 34u << 10), 'f');
  const Event fills{.type = "fills the memtable", .payload = as_bytes(full)};
  const Event seals{.type = "seals it"};
  {
    auto owned = std::make_unique<AnnouncingBackground>();
    AnnouncingBackground& background = *owned;
    ManualClock clock;
    auto opened =
        Store::open(folder.store(), options, OpenMode::kOpenOrCreate, {},
                    Platform{.env = &posix_env(), .clock = &clock, .background = std::move(owned), .seed = kSeed});
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    Engine engine(std::move(opened).value());
    // In the middle of the application of the first batch, which is in the log, another append seals its memtable.
    Status sealing;
    std::thread sealer;
    Status filling;
    {
      const FailingLargeAllocation failing(EventColumns::kChunkEvents * EventColumns::kBytesPerEvent * 3 / 4, [&] {
        sealer = std::thread([&] { sealing = engine.append(seals).status(); });
        background.wait_for_submission();
      });
      filling = engine.append(fills).status();
      REQUIRE(failing.has_failed());
    }
    sealer.join();
    CHECK(is_unknown(filling));
    CHECK(is_unknown(sealing));
    background.run_tasks();
    CHECK(engine.stats().flushes == 0);
    CHECK(engine.stats().event_tables == 0);
  }
  auto again = open_store(posix_env(), folder.store(), options, kSeed);
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  REQUIRE((*again)->stats().events == 2);
  CHECK((*again)->get(Position{0}).value()->payload().size() == full.size());
  CHECK((*again)->get(Position{1}).value()->type() == seals.type);
}

namespace {

// Threads that append one event each, larger than what shares a group of the log with others.
class LargeAppends {
 public:
  static constexpr std::size_t kPayloadBytes = 80u << 10;

  LargeAppends(Engine& engine, std::size_t count) : results_(count) {
    for (std::size_t number = 0; number < count; ++number) {
      threads_.emplace_back([this, &engine, number] {
        const std::string payload(kPayloadBytes, static_cast<char>('a' + number));
        ++begun_;
        results_[number] = engine.append(Event{.type = "large", .payload = as_bytes(payload)}).status();
      });
    }
  }
  ~LargeAppends() { join(); }
  LargeAppends(const LargeAppends&) = delete;
  LargeAppends& operator=(const LargeAppends&) = delete;

  std::size_t begun() const { return begun_; }
  const std::vector<Status>& join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return results_;
  }

 private:
  std::vector<Status> results_;
  std::atomic<std::size_t> begun_{0};
  std::vector<std::thread> threads_;
};

// Appends large batches while the log stands still, so that one commit takes several of them, and lets the log write of
// `number`, counted from the first of that commit, find no memory. Whether the commit had as many.
bool starve_a_commit_at(std::uint64_t number) {
  constexpr std::size_t kAppends = 6;
  const TemporaryDirectory folder(fast_parent());
  const Options options = presets::durable();
  std::uint64_t events_before = 0;
  bool has_met_several = false;
  {
    GatedEnv env(posix_env());
    auto opened =
        Store::open(folder.store(), options, OpenMode::kOpenOrCreate, {},
                    Platform{.env = &env, .clock = &system_clock(), .background = thread_background(1), .seed = kSeed});
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    Engine engine(std::move(opened).value());
    REQUIRE(engine.append(Event{.type = "before"}).ok());
    env.hold(Gate::kLog);
    Status leading;
    std::thread leader([&] { leading = engine.append(Event{.type = "leader"}).status(); });
    env.wait_for_held(Gate::kLog);
    env.starve_log_write(number);  // the leader's was counted before
    std::vector<Status> results;
    {
      LargeAppends appends(engine, kAppends);
      while (appends.begun() < kAppends) std::this_thread::yield();
      // Nothing tells that they stand in line: who comes too late is in a commit of his own.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      env.release(Gate::kLog);
      leader.join();
      results = appends.join();
    }
    CHECK_MESSAGE(leading.ok(), std::string(leading.message()));
    events_before = engine.stats().events;
    CHECK(events_before >= 2);
    const auto unknown = static_cast<std::size_t>(std::count_if(results.begin(), results.end(), is_unknown));
    // With one acknowledged it was a later commit.
    const bool is_first =
        std::none_of(results.begin(), results.end(), [](const Status& result) { return result.ok(); });
    has_met_several = is_first && unknown > number;
    if (has_met_several) {
      REQUIRE(env.has_starved());
      for (const Status& result : results) {
        if (!result.ok()) CHECK((is_unknown(result) || result.code() == StatusCode::kClosed));
      }
      CHECK(engine.append(Event{.type = "refused"}).status().code() == StatusCode::kClosed);
      CHECK(engine.flush().code() == StatusCode::kClosed);
      CHECK(engine.get(Position{1}).value()->type() == "leader");
      CHECK(!engine.close().ok());
    }
  }
  auto again = open_store(posix_env(), folder.store(), options, kSeed);
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  const std::uint64_t events = (*again)->stats().events;
  if (has_met_several) CHECK(events == events_before + number);  // what was logged before memory ran out
  for (Position position = 2; position < events; ++position) {
    const std::string payload(as_text((*again)->get(position).value()->payload()));
    CHECK(payload == std::string(LargeAppends::kPayloadBytes, payload[0]));
  }
  REQUIRE((*again)->append(Event{.type = "after"}).ok());
  CHECK((*again)->get(Position{events}).value()->type() == "after");
  return has_met_several;
}

}  // namespace

TEST_CASE(
    "a commit that runs out of memory between two groups of the log stops writes, and a prefix of it comes back") {
  for (const std::uint64_t number : {1, 2}) {
    CAPTURE(number);
    int attempts = 0;
    while (!starve_a_commit_at(number)) REQUIRE(++attempts < 20);
  }
}

TEST_CASE("an append that finds no memory on the way to a new log segment leaves a log that goes on, or stops it") {
  Options options = tiny();
  options.memtable_bytes = 1u << 20;  // so that segments end because they are full
  ModelBatch filling, rolling, after;
  for (ModelBatch* const batch : {&filling, &rolling, &after}) batch->events.resize(1);
  filling.events[0].payload.assign(options.log_segment_bytes - 40'000, 'f');
  rolling.events[0].payload.assign(50'000, 'r');
  after.events[0].payload.assign(2'000, 'a');
  const Given given(rolling);
  for_each_kind([&](Failing failing) {
    for (const Durability before : {Durability::kNone, Durability::kSync}) {
      CAPTURE(static_cast<int>(before));
      bool has_failed = true;
      std::uint64_t failures = 0;
      std::uint64_t stopped = 0;
      for (std::uint64_t number = 0; has_failed; ++number) {
        CAPTURE(number);
        const TemporaryDirectory folder(fast_parent());
        Expected expected;
        {
          const TestStore store = open_store(posix_env(), folder.store(), options, kSeed).value();
          REQUIRE(append(*store.engine, filling, before).ok());
          expected.acknowledged(filling);
          Status status;
          {
            const FailingAllocations allocations(number, failing);
            status = store->append(given.view()).status();
            has_failed = FailingAllocations::has_failed();
          }
          failures += !status.ok();
          if (status.ok()) expected.acknowledged(rolling);
          if (is_unknown(status)) expected.unknown(rolling);
          const Status next = append(*store.engine, after, Durability::kSync).status();
          if (next.ok()) {
            expected.acknowledged(after);
          } else {
            ++stopped;
            CHECK(next.message().find("open it again") != std::string_view::npos);
            CHECK(store->append(Event{.type = "refused"}).status().code() == StatusCode::kClosed);
            CHECK(store->get(Position{0}).value()->payload().size() == filling.events[0].payload.size());
          }
          // As a kill leaves it: what the log does not have is not there.
          std::filesystem::copy(folder.store(), folder.store() + " killed", std::filesystem::copy_options::recursive);
        }
        const auto again = open_store(posix_env(), folder.store() + " killed", options, kSeed);
        REQUIRE_MESSAGE(again.ok(), again.status().message());
        expected.check(*again->engine);
      }
      CHECK(stopped > 0);
      CHECK(stopped < failures);
    }
  });
}

TEST_CASE("a submission that has to be tried again says that it had no effect only where it had none") {
  bool has_failed = true;
  std::uint64_t refused = 0;
  for (std::uint64_t number = 0; has_failed; ++number) {
    CAPTURE(number);
    const TemporaryDirectory folder(fast_parent());
    const TestStore store = open_store(posix_env(), folder.store(), tiny(), kSeed).value();
    const Event first{.id = EventId::from_name("test", "x"), .type = "x"};
    const Event second[] = {first, Event{.type = "fresh"}};
    const auto of_first = store->submit({.events = {&first, 1}});
    const auto of_second = store->submit({.events = second});
    REQUIRE(of_first.ok());
    REQUIRE(of_second.ok());
    {
      const FailingAllocations allocations(number, Failing::kOne);
      store.background->run_tasks();
      has_failed = FailingAllocations::has_failed();
    }
    if (!of_first->wait().ok() || of_second->wait().status().code() != StatusCode::kOutOfMemory) continue;
    ++refused;
    if (!is_unknown(of_second->wait().status())) CHECK(store->stats().events == 1);
  }
  CHECK(refused > 0);
}

TEST_CASE("a ticket tells of a committed batch without memory too") {
  const TemporaryDirectory folder(fast_parent());
  const TestStore store = open_store(posix_env(), folder.store(), tiny(), kSeed).value();
  const Event known{.id = EventId::from_name("test", "x"), .type = "x"};
  REQUIRE(store->append(known).ok());
  const Event events[] = {known, Event{.type = "fresh"}};
  const auto ticket = store->submit({.events = events});
  REQUIRE(ticket.ok());
  store.background->run_tasks();
  const FailingAllocations allocations(0, Failing::kOne);
  const bool is_told = ticket->wait().ok() && ticket->wait()->duplicates.size() == 1;
  CHECK(is_told);
}

TEST_CASE("an open without memory leaves the store as it was") {
  for_each_kind([](Failing failing) {
    Starved starved(failing);
    for (int batches = 0; batches < 40; ++batches) starved.append();
    REQUIRE(starved.store()->flush().ok());
    for (int batches = 0; batches < 10; ++batches) starved.append();
    starved.close();
    const std::filesystem::path path = starved.path();
    const Options options = tiny();
    std::unique_ptr<Engine> engine;
    starved.starve(
        [&] {
          auto opened = Engine::open(path, options);
          if (opened.ok()) engine = std::move(opened).value();
          return opened.status();
        },
        [&](const Status& status) {
          if (!status.ok()) CHECK_MESSAGE(status.code() == StatusCode::kOutOfMemory, std::string(status.message()));
          engine.reset();
        });
    starved.reopen();
    starved.expected().check(*starved.store().engine);
  });
}

TEST_CASE("a read without memory says so, and the same read answers right afterwards") {
  for_each_kind([](Failing failing) {
    Starved starved(failing);
    for (int batches = 0; batches < 60; ++batches) starved.append();
    REQUIRE(starved.store()->flush().ok());
    for (int batches = 0; batches < 20; ++batches) starved.append();
    Engine& engine = *starved.store().engine;
    Query query;
    query.tags_any = {"tag1", "tag2", "tag3"};
    const auto count_events = [&]() -> Result<std::uint64_t> {
      std::uint64_t count = 0;
      EventCursor cursor = HDB_TRY(engine.query(query));
      while (const auto event = HDB_TRY(cursor.next())) count += 1 + event->position();
      return count;
    };
    const auto count_keys = [&]() -> Result<std::uint64_t> {
      std::uint64_t count = 0;
      KeyCursor cursor = HDB_TRY(engine.scan(starved.keyspace(), KeyRange{}));
      while (const auto pair = HDB_TRY(cursor.next())) count += 1 + pair->value.size();
      return count;
    };
    const auto get_each = [&]() -> Result<std::uint64_t> {
      std::uint64_t bytes = 0;
      for (Position position = 0; position < 40; ++position) {
        const auto event = HDB_TRY(engine.get(position));
        const auto again = HDB_TRY(engine.get(event->id()));
        bytes += again->payload().size();
      }
      return bytes;
    };
    const std::vector<std::function<Result<std::uint64_t>()>> reads = {count_events, count_keys, get_each};
    for (const auto& read : reads) {
      const std::uint64_t right = read().value();
      starved.starve([&] { return read().status(); },
                     [&](const Status& status) {
                       if (!status.ok()) CHECK(status.code() == StatusCode::kOutOfMemory);
                       CHECK(read().value() == right);
                     });
    }
    starved.expected().check(engine);
  });
}

TEST_CASE("a cursor that ran out of memory is done, and skips nothing before") {
  Starved starved(Failing::kOne);
  for (int batches = 0; batches < 30; ++batches) starved.append();
  std::vector<Position> right;
  const auto walk = [&](std::vector<Position>& positions) -> Status {
    EventCursor cursor = HDB_TRY(starved.store()->query(Query{}));
    positions.clear();
    while (true) {
      auto event = cursor.next();
      if (!event.ok()) {
        const auto after = cursor.next();
        CHECK((after.ok() && !after.value()));
        return event.status();
      }
      if (!event.value()) return {};
      positions.push_back(event.value()->position());
    }
  };
  REQUIRE(walk(right).ok());
  std::vector<Position> seen;
  seen.reserve(right.size());
  starved.starve([&] { return walk(seen); },
                 [&](const Status&) {
                   REQUIRE(seen.size() <= right.size());
                   CHECK(std::equal(seen.begin(), seen.end(), right.begin()));
                 });
}

TEST_CASE("a flush, a compaction or a new keyspace without memory leaves the store as it was, and is done later") {
  for_each_kind([](Failing failing) {
    Starved starved(failing);
    std::uint64_t name = 0;
    const std::vector<std::function<Status()>> calls = {
        [&] { return starved.store()->flush(); },
        [&] { return starved.store()->compact(); },
        [&] {
          return starved.store()->keyspace(std::string_view("names that are not short").substr(name % 20)).status();
        },
    };
    for (const auto& call : calls) {
      for (int batches = 0; batches < 30; ++batches) starved.append();
      starved.starve(call, [&](const Status& status) {
        if (!status.ok()) CHECK_MESSAGE(status.code() == StatusCode::kOutOfMemory, std::string(status.message()));
        ++name;
        starved.store().background->run_timers();  // tries again what failed
        // On the way to a new segment the log stops: then the store opens again.
        if (!starved.store()->sync().ok()) starved.reopen();
        const bool is_behind = starved.store()->stats().keyspace_tables_by_level[0] > 20;
        if (is_behind) REQUIRE(starved.store()->compact().ok());
        starved.append();
        const Status flushed = starved.store()->flush();
        REQUIRE_MESSAGE(flushed.ok(), std::string(flushed.message()));
        if (&call == &calls.front()) starved.append();  // for the next flush
      });
      starved.expected().check(*starved.store().engine);
    }
    REQUIRE(starved.store()->compact().ok());
    starved.reopen();
    starved.expected().check(*starved.store().engine);
  });
}

TEST_CASE("a close without memory reports it, and the next open finds everything") {
  for_each_kind([](Failing failing) {
    Starved starved(failing);
    for (int batches = 0; batches < 5; ++batches) starved.append();
    starved.starve([&] { return starved.store()->close(); },
                   [&](const Status& status) {
                     if (!status.ok()) CHECK(status.code() == StatusCode::kOutOfMemory);
                     starved.reopen();
                     starved.append();
                   });
    starved.expected().check(*starved.store().engine);
  });
}

}  // namespace hdb::test
