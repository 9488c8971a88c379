// Appends that are far larger, or far more at once, than a store is set up for: each works or is refused with a reason,
// and afterwards the store holds what it acknowledged and goes on.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <pthread.h>

#include "base/batch.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

Options small_options() {
  return shrunk(presets::durable());
}

TestStore opened(Env& env, const std::string& directory, const Options& options) {
  auto store = open_store(env, directory, options, 7);
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  return std::move(store).value();
}

// The power goes, and the store is opened again.
void reopen_after_a_crash(MemoryEnv& env, TestStore& store) {
  env.crash_at(env.operations());
  store.engine.reset();  // before its clock
  env.crash(3);
  store = opened(env, "store", small_options());
}

std::string bytes_of_item(std::size_t bytes, std::uint64_t number) {
  std::string text = std::to_string(number) + ":";
  text.resize(bytes, static_cast<char>('a' + number % 26));
  return text;
}

enum class Content : std::uint8_t { kEvents, kChanges, kBoth };

// A batch of `items` items with `bytes` bytes in all. `number` makes it another one than those before.
ModelBatch batch_of(Content content, std::uint64_t items, std::uint64_t bytes, Keyspace keyspace,
                    std::uint64_t number) {
  ModelBatch batch;
  for (std::uint64_t item = 0; item < items; ++item) {
    const std::string text = bytes_of_item(bytes / items, number + item);
    if (content != Content::kChanges && (content == Content::kEvents || item % 2 == 0)) {
      OwnedEvent event;
      event.type = "large";
      event.payload = text;
      batch.events.push_back(std::move(event));
    } else {
      batch.changes.push_back({keyspace.id(), "key" + std::to_string((number + item) % 1000), text});
    }
  }
  return batch;
}

}  // namespace

TEST_CASE("a batch larger than the memtable, a log segment or the whole log works, and is there after a power loss") {
  const Options options = small_options();
  MemoryEnv env;
  TestStore store = opened(env, "store", options);
  const Keyspace keyspace = store->keyspace("keys").value();
  Model model;
  std::uint64_t number = 0;
  const auto take = [&](const ModelBatch& batch, Durability durability) {
    const auto appended = append(*store.engine, batch, durability);
    REQUIRE_MESSAGE(appended.ok(), std::string(appended.status().message()));
    CHECK(appended->first_position == model.events.size());
    model.apply(batch);
  };
  for (const std::uint64_t bytes : {options.memtable_bytes, options.log_segment_bytes, options.log_bytes_max}) {
    for (const Content content : {Content::kEvents, Content::kChanges, Content::kBoth}) {
      // Few items that are large, and many that are small.
      for (const std::uint64_t items : {2, 400}) {
        CAPTURE(bytes);
        CAPTURE(static_cast<int>(content));
        CAPTURE(items);
        for (const Durability durability : {Durability::kNone, Durability::kInterval, Durability::kSync}) {
          take(batch_of(content, items, 2 * bytes, keyspace, number += items), durability);
          take(batch_of(content, 2, 100, keyspace, number += 2), Durability::kNone);
        }
      }
      take(batch_of(Content::kBoth, 2, 100, keyspace, ++number), Durability::kSync);
      reopen_after_a_crash(env, store);
      check_equal(*store.engine, model, {keyspace});
    }
  }
  CHECK(store->flush().ok());
  CHECK(store->compact().ok());
  CHECK(store->close().ok());
  store = opened(env, "store", options);
  check_equal(*store.engine, model, {keyspace});
}

TEST_CASE("a batch over the limit of bytes or of items is refused before anything is written, and the store goes on") {
  MemoryEnv env;
  TestStore store = opened(env, "store", small_options());
  const Keyspace keyspace = store->keyspace("keys").value();
  Model model;
  model.apply(batch_of(Content::kBoth, 2, 100, keyspace, 0));
  REQUIRE(append(*store.engine, batch_of(Content::kBoth, 2, 100, keyspace, 0), Durability::kSync).ok());

  const std::uint64_t submissions = env.submissions();
  const std::string part(kValueBytesMax, 'x');
  const std::vector<Event> events(kBatchBytesMax / part.size() + 1, Event{.payload = as_bytes(part)});
  const std::vector<KeyValueChange> changes(events.size(), {keyspace, as_bytes("key"), as_bytes(part)});
  const std::vector<KeyValueChange> too_many(kBatchItemsMax + 1, {keyspace, as_bytes("key"), as_bytes("v")});
  const Batch refused[] = {
      {.events = events, .changes = {}, .durability = {}},
      {.events = {}, .changes = changes, .durability = {}},
      {.events = {}, .changes = too_many, .durability = {}},
      {.events = std::span(events).first(events.size() / 2),
       .changes = std::span(changes).first(changes.size() / 2 + 1),
       .durability = Durability::kNone},
  };
  for (const Batch& batch : refused) {
    const Status status = store->append(batch).status();
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK_MESSAGE(status.message().find("append it in parts") != std::string_view::npos, std::string(status.message()));
  }
  CHECK(env.submissions() == submissions);
  {
    // Its leaf hashes are what takes the batch over the limit.
    const std::string shorter(kPayloadBytesMax - 64, 'x');
    const std::vector<Event> fitting(kBatchBytesMax / kPayloadBytesMax, Event{.payload = as_bytes(shorter)});
    MemoryEnv hashing_env;
    Options options = small_options();
    options.leaf_hashes = true;
    TestStore hashing = opened(hashing_env, "store", options);
    REQUIRE(validate_batch(fitting, {}, false).ok());
    CHECK(hashing->append(fitting).status().code() == StatusCode::kInvalidArgument);
    CHECK(hashing->append(std::span(fitting).first(1)).ok());
  }
  const ModelBatch after = batch_of(Content::kBoth, 2, 100, keyspace, 7);
  REQUIRE(append(*store.engine, after, Durability::kSync).ok());
  model.apply(after);
  reopen_after_a_crash(env, store);
  check_equal(*store.engine, model, {keyspace});
}

namespace {

// Of many threads that begin at once, each with as little memory as there may be; joined by join().
class Crowd {
 public:
  using Run = void (*)(void* shared, std::uint64_t number);

  Crowd(Run run, void* shared) : run_(run), shared_(shared) {}
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;
  ~Crowd() { join(); }

  // Makes threads up to `count`; how many there are then. They wait for begin().
  std::size_t gather(std::size_t count) {
    constexpr std::size_t kStackBytes = 256u << 10;
    pthread_attr_t attributes;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, kStackBytes) == 0);
    members_.resize(count);
    while (made_ < count) {
      members_[made_] = {this, made_, {}};
      if (pthread_create(&members_[made_].thread, &attributes, &Crowd::run_member, &members_[made_]) != 0) break;
      ++made_;
    }
    pthread_attr_destroy(&attributes);
    return made_;
  }
  void begin(bool is_to_run) {
    begun_.store(is_to_run ? kRun : kLeave, std::memory_order_release);
    begun_.notify_all();
  }
  void join() {
    if (begun_.load(std::memory_order_relaxed) == kWait) begin(false);
    for (; made_ > 0; --made_) pthread_join(members_[made_ - 1].thread, nullptr);
  }

 private:
  enum Begun : int { kWait, kRun, kLeave };

  struct Member {
    Crowd* crowd;
    std::uint64_t number;
    pthread_t thread;
  };

  static void* run_member(void* argument) {
    const Member& member = *static_cast<Member*>(argument);
    Crowd& crowd = *member.crowd;
    crowd.begun_.wait(kWait, std::memory_order_acquire);
    if (crowd.begun_.load(std::memory_order_acquire) == kRun) crowd.run_(crowd.shared_, member.number);
    return nullptr;
  }

  Run run_;
  void* shared_;
  std::atomic<int> begun_{kWait};  // release in begin(), acquire by the members
  std::vector<Member> members_;
  std::size_t made_ = 0;
};

struct Rush {
  Engine& engine;
  std::vector<std::uint64_t> positions;  // by writer; each writes its own
  std::atomic<std::uint64_t> refused{0};
};

}  // namespace

TEST_CASE("of ten thousand writers at once each synced event is at its own place after a power loss, without gaps") {
  const std::size_t writers = scaled(10'000);
  MemoryEnv env;
  Options options = small_options();
  options.memtable_bytes = 1u << 20;  // some flushes on the way, not one for every few dozen
  std::vector<std::uint64_t> positions;
  {
    auto opened =
        Store::open("store", options, OpenMode::kOpenOrCreate, {},
                    Platform{.env = &env, .clock = &system_clock(), .background = thread_background(1), .seed = 1});
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    Engine engine(std::move(opened).value());
    Rush rush{engine, std::vector<std::uint64_t>(writers)};
    const auto write = [](void* shared, std::uint64_t number) {
      auto& of_all = *static_cast<Rush*>(shared);
      const std::string payload = std::to_string(number);
      const auto appended = of_all.engine.append(Event{.type = "rush", .payload = as_bytes(payload)});
      if (!appended.ok()) ++of_all.refused;
      if (appended.ok()) of_all.positions[number] = appended->first_position;
    };
    Crowd crowd(write, &rush);
    const std::size_t gathered = crowd.gather(writers);
    if (gathered < writers) {
      return skip("the machine gives no more than " + std::to_string(gathered) + " threads of " +
                  std::to_string(writers));
    }
    crowd.begin(true);
    crowd.join();
    REQUIRE(rush.refused == 0);
    CHECK(engine.stats().batches == writers);
    CHECK(engine.stats().log_groups < writers);  // they share writes
    positions = std::move(rush.positions);
    env.crash_at(env.operations());
  }
  env.crash(5);
  const TestStore store = opened(env, "store", options);
  REQUIRE(store->stats().events == writers);
  std::vector<bool> is_taken(writers);
  std::uint64_t wrong = 0;
  for (std::uint64_t writer = 0; writer < writers; ++writer) {
    REQUIRE(positions[writer] < writers);
    wrong += is_taken[positions[writer]] ? 1 : 0;
    is_taken[positions[writer]] = true;
    const auto event = store->get(positions[writer]).value();
    wrong += event && as_text(event->payload()) == std::to_string(writer) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("threads that append batches larger than a log segment at once share the log, and keep each batch whole") {
  constexpr std::uint64_t kThreads = 6;
  constexpr std::uint64_t kBatches = 3;
  constexpr std::uint64_t kEvents = 3;
  const Options options = small_options();
  MemoryEnv env;
  {
    auto opened =
        Store::open("store", options, OpenMode::kOpenOrCreate, {},
                    Platform{.env = &env, .clock = &system_clock(), .background = thread_background(1), .seed = 1});
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    Engine engine(std::move(opened).value());
    Rush rush{engine, {}};
    const auto write = [](void* shared, std::uint64_t number) {
      auto& of_all = *static_cast<Rush*>(shared);
      for (std::uint64_t round = 0; round < kBatches; ++round) {
        const std::string payload = bytes_of_item(150u << 10, number * kBatches + round);
        const std::vector<Event> events(kEvents, Event{.payload = as_bytes(payload)});
        if (!of_all.engine.append(events).ok()) ++of_all.refused;
      }
    };
    Crowd crowd(write, &rush);
    REQUIRE(crowd.gather(kThreads) == kThreads);
    crowd.begin(true);
    crowd.join();
    CHECK(rush.refused == 0);
    env.crash_at(env.operations());
  }
  env.crash(5);
  const TestStore store = opened(env, "store", options);
  REQUIRE(store->stats().events == kThreads * kBatches * kEvents);
  std::vector<std::uint64_t> found(kThreads * kBatches);
  for (Position first = 0; first < store->stats().events; first += kEvents) {
    const std::string payload(as_text(store->get(first).value()->payload()));
    for (Position position = first; position < first + kEvents; ++position) {
      CHECK(as_text(store->get(position).value()->payload()) == payload);
    }
    ++found[std::stoul(payload)];
  }
  CHECK(found == std::vector<std::uint64_t>(kThreads * kBatches, 1));
}

}  // namespace hdb::test
