// A writer killed with SIGKILL on real files: what it acknowledged, in every durability, is there at the next open.
// Acknowledgements reach the parent through a pipe, outside the store.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <hdb/engine.h>

#include "tests/support/events.h"
#include "tests/support/faults.h"
#include "tests/support/logged_hashes.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

struct Acknowledged {
  Position position;
  std::uint64_t number;  // the event's payload is made of it
};
static_assert(std::has_unique_object_representations_v<Acknowledged>);

std::string payload_of(std::uint64_t number) {
  return std::to_string(number) + std::string(number % 700, '#');
}

// Appends until killed; never returns. Three writers, one for each durability.
[[noreturn]] void write_until_killed(const std::filesystem::path& directory, const Options& options,
                                     int acknowledgements) {
  const auto engine = Engine::open(directory, options);
  if (!engine.ok()) _exit(2);
  std::vector<std::thread> writers;
  for (std::uint64_t writer = 0; writer < 3; ++writer) {
    writers.emplace_back([&engine, writer, acknowledgements] {
      for (std::uint64_t number = writer;; number += 3) {
        const std::string payload = payload_of(number);
        const Event event{.entity = "writer", .payload = as_bytes(payload)};
        const auto result = engine.value()->append(
            Batch{.events = {&event, 1}, .changes = {}, .durability = static_cast<Durability>(writer)});
        if (!result.ok()) _exit(3);
        const Acknowledged line{result->first_position, number};
        if (write(acknowledgements, &line, sizeof line) != sizeof line) _exit(4);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  _exit(5);
}

enum class Lifetime : std::uint8_t { kFromStart, kFromFirstAcknowledgement };

// Runs the writer for `lifetime` and returns what it acknowledged.
std::vector<Acknowledged> run_and_kill(const std::filesystem::path& directory, const Options& options,
                                       std::chrono::milliseconds lifetime, Lifetime counted) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    close(ends[0]);
    write_until_killed(directory, options, ends[1]);
  }
  close(ends[1]);
  std::vector<Acknowledged> acknowledged;
  const auto read_one = [&] {
    Acknowledged line;
    if (read(ends[0], &line, sizeof line) != sizeof line) return false;
    acknowledged.push_back(line);
    return true;
  };
  if (counted == Lifetime::kFromFirstAcknowledgement) CHECK(read_one());
  std::thread killer([child, lifetime] {
    std::this_thread::sleep_for(lifetime);
    kill(child, SIGKILL);
    count_fault(Fault::kKilledProcess);
  });
  while (read_one()) {
  }
  close(ends[0]);
  killer.join();
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));  // it did not stop by itself
  return acknowledged;
}

// Runs the promise on stores whose log is written in each way.
void on_each_log(const std::function<void(const Options& options)>& promise) {
  Options options = shrunk(presets::balanced());
  SUBCASE("log written by calls") {
    options.log_writes = LogWrites::kPwrite;
    promise(options);
  }
  SUBCASE("log written by a ring") {
    options.log_writes = LogWrites::kIoUring;
    options.leaf_hashes = true;
    promise(options);
  }
}

void check_killed_writers(const Options& options) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryDirectory temporary;
  const std::filesystem::path directory = temporary.store();
  std::map<Position, std::uint64_t> expected;
  const std::size_t rounds = scaled(6);
  for (std::size_t round = 0; round < rounds; ++round) {
    const std::chrono::milliseconds lifetime(50 + random() % 400);
    const Lifetime counted = round == 0 ? Lifetime::kFromFirstAcknowledgement : Lifetime::kFromStart;
    for (const Acknowledged& line : run_and_kill(directory, options, lifetime, counted)) {
      const auto [known, is_new] = expected.emplace(line.position, line.number);
      CHECK(is_new);  // a position is given once
    }
    const auto logged = check_logged_hashes(posix_env(), directory);
    REQUIRE_MESSAGE(logged.ok(), logged.status().message());
    CHECK(logged->hashed == (options.leaf_hashes ? logged->events : 0));
    const auto engine = Engine::open(directory, options);
    REQUIRE_MESSAGE(engine.ok(), engine.status().message());
    std::size_t wrong = 0;
    for (const auto& [position, number] : expected) {
      const auto found = engine.value()->get(position);
      REQUIRE_MESSAGE(found.ok(), found.status().message());
      if (!found.value() || as_text(found.value()->payload()) != payload_of(number)) ++wrong;
    }
    CHECK(wrong == 0);
    CHECK(engine.value()->close().ok());
  }
  CHECK(!expected.empty());
}

void check_forked_child(Options options) {
  options.durability = Durability::kSync;
  const TemporaryDirectory temporary;
  const std::filesystem::path directory = temporary.store();
  auto engine = Engine::open(directory, options).value();
  REQUIRE(engine->append(Event{.type = "parent"}).ok());
  auto cursor = engine->query(Query{});
  REQUIRE(cursor.ok());
  const Event event{.type = "under way"};
  std::promise<void> forked;
  const auto ticket = engine->submit({.events = {&event, 1}}, [&](const auto&) { forked.get_future().wait(); });
  REQUIRE(ticket.ok());
  const Event named{.id = EventId::from_name("test", "queued"), .type = "queued"};
  auto queued = std::make_optional(engine->submit({.events = {&named, 1}}).value());
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto refused = [](const Status& status) {
      return status.code() == StatusCode::kClosed && status.message().find("forked") != std::string_view::npos;
    };
    const bool is_refused = refused(engine->append(Event{.type = "child"}).status()) &&
                            refused(engine->get(Position{0}).status()) && refused(cursor->next().status()) &&
                            refused(engine->submit({.events = {&event, 1}}).status()) && !ticket->is_done() &&
                            refused(ticket->wait().status()) && refused(engine->flush()) && refused(engine->close());
    engine.reset();
    queued.reset();
    const char answer = is_refused ? 'r' : 'u';
    if (write(ends[1], &answer, 1) != 1) _exit(1);
    pause();  // alive, with the lock file open, until the parent is done
    _exit(0);
  }
  char answer = 0;
  REQUIRE(read(ends[0], &answer, 1) == 1);
  CHECK(answer == 'r');
  forked.set_value();
  CHECK(ticket->wait().ok());
  CHECK(queued->wait().ok());
  cursor = Status::not_found("let go");
  REQUIRE(engine->close().ok());
  const auto again = Engine::open(directory, options);
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  CHECK(again.value()->stats().events == 3);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(ends[0]);
  close(ends[1]);
}

}  // namespace

TEST_CASE("a writer killed at any moment loses no acknowledged event") {
  on_each_log(check_killed_writers);
}

TEST_CASE("a forked child cannot use its parent's engine, does it no harm, and does not keep the store locked") {
  on_each_log(check_forked_child);
}

}  // namespace hdb::test
