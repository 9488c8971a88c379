// Writes to the log that fail, are short, or are durable in another order than submitted; and threads that the disk
// lets run in any order: nothing acknowledged is lost, and the log stops at its first error.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/memory_env.h"
#include "tests/support/workload.h"

namespace hdb::test {

namespace {

constexpr int kThreads = 3;

// Writes are refused with the error that the log stopped at, and what was acknowledged is read.
void check_stopped(Workload& workload) {
  Engine& engine = *workload.store().engine;
  Status refused;
  for (int attempt = 0; attempt < 2; ++attempt) {
    refused = engine.append(Event{.type = "refused"}).status();
    CHECK(!refused.ok());
    const bool is_first_error =
        refused.message().find("injected failure of its completion") != std::string_view::npos ||
        refused.message().find("bytes were written") != std::string_view::npos;
    CHECK_MESSAGE(is_first_error, std::string(refused.message()));
  }
  CHECK(refused.code() == StatusCode::kClosed);
  CHECK(check_prefix(engine, workload.batches) >= workload.acknowledged_batches);
}

void check_submissions(LogFault fault, Fault counted_as) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::uint64_t submissions = 0;
  {
    MemoryEnv env;
    env.reorder_completions(seed);
    Workload workload(env, seed);
    const Status done = workload.run();
    REQUIRE_MESSAGE(done.ok(), done.message());
    submissions = env.submissions();
  }
  REQUIRE(submissions > 25);
  const std::uint64_t runs = std::min<std::uint64_t>(submissions, scaled(60));
  std::uint64_t stopped = 0;
  for (std::uint64_t run = 0; run < runs; ++run) {
    const std::uint64_t number = run * submissions / runs;
    CAPTURE(number);
    MemoryEnv env;
    env.reorder_completions(seed);
    env.fail_submission(number, fault, seed + number);
    Workload workload(env, seed);
    CHECK(!workload.run().ok());
    REQUIRE(env.faults_injected(counted_as) == 1);
    if (workload.is_open()) {
      check_stopped(workload);
      ++stopped;
    }
    env.crash(seed + number);
    check_backup(env, workload, seed + number);
    check_recovery(env, workload, seed + number);
  }
  CHECK(stopped > runs / 2);
}

// What one thread has appended: its events are numbered.
struct Writer {
  std::atomic<std::uint64_t> acknowledged{0};

  void append_until_an_error(Store& store, int thread) {
    const std::string type = "thread" + std::to_string(thread);
    for (std::uint64_t number = 0;; ++number) {
      const std::string payload = std::to_string(number) + std::string(number % 7 * 300, ' ');
      const Event event{.type = type, .payload = as_bytes(payload)};
      if (!store.append(Batch{.events = {&event, 1}, .changes = {}, .durability = Durability::kSync}).ok()) return;
      acknowledged = number + 1;
    }
  }
};

}  // namespace

TEST_CASE("a log write that fails once it is submitted stops the log, and loses nothing acknowledged") {
  check_submissions(LogFault::kFailed, Fault::kFailedCompletion);
}

TEST_CASE("a log write that is short stops the log, and loses nothing acknowledged") {
  check_submissions(LogFault::kShort, Fault::kShortCompletion);
}

TEST_CASE("threads that a slow disk lets run in any order lose nothing acknowledged when the power goes") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::uint64_t events = 0;
  for (std::size_t round = 0; round < scaled(4); ++round) {
    CAPTURE(round);
    MemoryEnv env;
    std::vector<Writer> writers(kThreads);
    {
      auto opened = Store::open(
          "store", shrunk(presets::durable()), OpenMode::kOpenOrCreate, {},
          Platform{.env = &env, .clock = &system_clock(), .background = thread_background(2), .seed = round});
      REQUIRE(opened.ok());
      const auto store = std::move(opened).value();
      env.delay(random(), 3);
      env.crash_at(env.operations() + 300 + random() % 500);
      std::vector<std::thread> threads;
      for (int thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&store, &writers, thread] {
          writers[static_cast<std::size_t>(thread)].append_until_an_error(*store, thread);
        });
      }
      while (store->flush().ok()) std::this_thread::yield();
      for (std::thread& thread : threads) thread.join();
      ignore(store->close(true), "its disk is dead");
    }
    CHECK(env.faults_injected(Fault::kDelay) > 50);
    env.crash(random());
    const TestStore store = open_store(env, "store", shrunk(presets::durable()), 1).value();
    std::map<std::string, std::uint64_t> found;
    events += store->stats().events;
    for (Position position = 0; position < store->stats().events; ++position) {
      const auto event = store->get(position).value();
      REQUIRE(event.has_value());
      const std::uint64_t number = found[std::string(event->type())]++;
      CHECK(as_text(event->payload()) == std::to_string(number) + std::string(number % 7 * 300, ' '));
    }
    for (int thread = 0; thread < kThreads; ++thread) {
      CHECK(found["thread" + std::to_string(thread)] >= writers[static_cast<std::size_t>(thread)].acknowledged);
    }
  }
  CHECK(events > 0);
}

}  // namespace hdb::test
