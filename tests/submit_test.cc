// Submitted batches: each is committed once, in order, and its ticket and callback tell what an append would have told.
#include <doctest/doctest.h>

#include <atomic>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/submission.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

TestStore opened(Env& env, Options options = shrunk(presets::durable())) {
  auto store = open_store(env, "store", options, 7);
  REQUIRE_MESSAGE(store.ok(), store.status().message());
  return std::move(store).value();
}

std::unique_ptr<Engine> opened_with_threads(Env& env, const Options& options = shrunk(presets::durable())) {
  auto engine = open_with_threads(env, "store", options);
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  return std::move(engine).value();
}

AppendTicket submitted(Engine& engine, const Batch& batch, AppendCallback callback = {}) {
  auto ticket = engine.submit(batch, std::move(callback));
  REQUIRE_MESSAGE(ticket.ok(), ticket.status().message());
  return std::move(ticket).value();
}

AppendResult result_of(const AppendTicket& ticket) {
  const auto result = ticket.wait();
  REQUIRE_MESSAGE(result.ok(), result.status().message());
  return result.value();
}

Event with_id(const char* name, std::string_view payload) {
  return Event{.id = EventId::from_name("test", name), .type = "named", .payload = as_bytes(payload)};
}

std::string type_at(Engine& engine, Position position) {
  const auto event = engine.get(position);
  REQUIRE_MESSAGE(event.ok(), event.status().message());
  return event.value() ? std::string((*event)->type()) : "none";
}

}  // namespace

TEST_CASE("a submitted batch is visible and durable when its ticket says so, though its bytes are long gone") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    std::vector<AppendTicket> tickets;
    for (int batch = 0; batch < 10; ++batch) {
      std::string type = "type" + std::to_string(batch);
      const Event event{.type = type};
      tickets.push_back(submitted(*store.engine, Batch{.events = {&event, 1}, .durability = Durability::kSync}));
      type.assign(type.size(), '?');
    }
    CHECK(!tickets.front().is_done());
    for (Position position = 0; position < tickets.size(); ++position) {
      const AppendResult result = result_of(tickets[position]);
      CHECK(tickets[position].is_done());
      CHECK(result.count == 1);
      CHECK(result.first_position == position);
      CHECK(type_at(*store.engine, position) == "type" + std::to_string(position));
    }
    CHECK(store->stats().log_groups <= 2);  // they shared a write
    env.crash_at(env.operations());
  }
  env.crash(1);
  const TestStore again = opened(env);
  CHECK(again->stats().events == 10);
}

TEST_CASE("a callback is called once, before the ticket is done, with the ticket's result") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Event event{.type = "a"};
  int calls = 0;
  Position told = 99;
  const auto held = std::make_shared<int>(0);
  const AppendTicket ticket =
      submitted(*store.engine, {.events = {&event, 1}}, [&calls, &told, held](const Result<AppendResult>& result) {
        ++calls;
        told = result.value().first_position;
      });
  CHECK(calls == 0);
  CHECK(held.use_count() == 2);
  CHECK(result_of(ticket).first_position == told);
  CHECK(calls == 1);
  CHECK(held.use_count() == 1);  // what it held on to is free
  store.background->run_tasks();
  CHECK(calls == 1);
}

TEST_CASE("in a callback what would wait for it is refused, and nothing hangs") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Event event{.type = "a"};
  std::optional<AppendTicket> own;
  std::vector<StatusCode> refused;
  own = submitted(*store.engine, {.events = {&event, 1}}, [&](const Result<AppendResult>&) {
    refused.push_back(own->wait().status().code());
    refused.push_back(store->close().code());
  });
  CHECK(own->wait().ok());
  CHECK(refused == std::vector<StatusCode>(2, StatusCode::kInvalidArgument));
  CHECK(store->append(event).ok());
}

TEST_CASE("batches commit in the order of their submission, also among appends of the same thread") {
  MemoryEnv env;
  const TestStore store = opened(env);
  std::vector<AppendTicket> tickets;
  for (int batch = 0; batch < 20; ++batch) {
    const std::string type = std::to_string(batch);
    const Event event{.type = type};
    if (batch % 5 == 4) {
      REQUIRE(store->append(event).ok());
    } else {
      tickets.push_back(submitted(*store.engine, {.events = {&event, 1}}));
    }
  }
  REQUIRE(store->sync().ok());
  for (const AppendTicket& ticket : tickets) CHECK(result_of(ticket).count == 1);
  for (Position position = 0; position < 20; ++position) {
    CHECK(type_at(*store.engine, position) == std::to_string(position));
  }
}

TEST_CASE("what can be told at once is returned, and the callback hears nothing of it") {
  MemoryEnv env;
  const TestStore store = opened(env);
  REQUIRE(store->append(with_id("x", "stored")).ok());
  const Event other = with_id("x", "other");
  const auto never = [](const Result<AppendResult>&) { FAIL("called"); };
  CHECK(store->submit({}, never).status().code() == StatusCode::kInvalidArgument);
  CHECK(store->submit({.events = {&other, 1}}, never).status().code() == StatusCode::kConflict);
  REQUIRE(store->close().ok());
  CHECK(store->submit({.events = {&other, 1}}, never).status().code() == StatusCode::kClosed);
}

TEST_CASE("a read-only store refuses submissions") {
  MemoryEnv env;
  { const TestStore store = opened(env); }
  auto store = open_store_read_only(env, "store", shrunk(presets::durable()));
  REQUIRE(store.ok());
  const Event event{.type = "a"};
  CHECK((*store)->submit({.events = {&event, 1}}).status().code() == StatusCode::kClosed);
}

TEST_CASE("events that the store has are duplicates of a submission too, as durable as it asks") {
  MemoryEnv env;
  {
    const TestStore store = opened(env);
    const Event event = with_id("x", "p");
    REQUIRE(store->append({.events = {&event, 1}, .durability = Durability::kNone}).ok());
    const AppendResult result =
        result_of(submitted(*store.engine, {.events = {&event, 1}, .durability = Durability::kSync}));
    CHECK(result.count == 0);
    REQUIRE(result.duplicates.size() == 1);
    CHECK(result.duplicates[0].position == 0);
    env.crash_at(env.operations());
  }
  env.crash(2);
  CHECK(opened(env)->stats().events == 1);
}

TEST_CASE("a submission whose ids another one committed meanwhile leaves those out, and keeps the rest") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Keyspace keyspace = store->keyspace("keys").value();
  REQUIRE(store->append(with_id("old", "p")).ok());
  const Event first = with_id("x", "p");
  std::string tag = "site:1";
  const std::string_view tags[] = {tag};
  Event full = with_id("full", "payload");
  full.tags = tags;
  full.entity = "entity";
  full.host = "host";
  full.metadata = R"({"a":1})";
  full.time = Timestamp(std::chrono::seconds(5));
  const std::vector<Event> second = {with_id("old", "p"),      with_id("x", "p"),           full,
                                     with_id("x", "p"),        Event{.type = "without id"}, with_id("full twin", "p"),
                                     with_id("full twin", "p")};
  const KeyValueChange changes[] = {{keyspace, as_bytes("kept"), as_bytes("v")}, {keyspace, as_bytes("gone"), {}}};
  REQUIRE(store->put(keyspace, as_bytes("gone"), as_bytes("v")).ok());

  const AppendTicket of_first = submitted(*store.engine, {.events = {&first, 1}});
  const AppendTicket of_second = submitted(*store.engine, {.events = second, .changes = changes});
  tag = "??????";
  CHECK(result_of(of_first).first_position == 1);
  const AppendResult result = result_of(of_second);
  CHECK(result.first_position == 2);
  CHECK(result.count == 3);
  std::vector<std::pair<std::size_t, Position>> duplicates;
  for (const auto& duplicate : result.duplicates) duplicates.emplace_back(duplicate.index, duplicate.position);
  CHECK(duplicates == std::vector<std::pair<std::size_t, Position>>{{0, 0}, {1, 1}, {3, 1}, {6, 4}});
  CHECK(store->stats().events == 5);
  CHECK(store->stats().duplicates == 4);
  {
    const auto stored = store->get(Position{2}).value();
    REQUIRE(stored.has_value());
    CHECK(stored->id() == *full.id);
    CHECK(stored->time() == *full.time);
    CHECK(stored->entity() == "entity");
    CHECK(stored->host() == "host");
    CHECK(stored->tag(0) == "site:1");
    CHECK(stored->metadata() == full.metadata);
    CHECK(as_text(stored->payload()) == "payload");
  }
  CHECK(type_at(*store.engine, 3) == "without id");
  CHECK(store->get(keyspace, as_bytes("kept")).value().has_value());
  CHECK(!store->get(keyspace, as_bytes("gone")).value().has_value());
  // And one that is the same in nothing but its id.
  const Event third = with_id("y", "p"), other = with_id("y", "q");
  const AppendTicket of_third = submitted(*store.engine, {.events = {&third, 1}});
  const AppendTicket of_other = submitted(*store.engine, {.events = {&other, 1}});
  CHECK(of_other.wait().status().code() == StatusCode::kConflict);
  CHECK(result_of(of_third).count == 1);
}

TEST_CASE("a dropped ticket changes nothing, and one that outlives the engine knows its result") {
  MemoryEnv env;
  std::vector<AppendTicket> kept;
  int calls = 0;
  {
    const TestStore store = opened(env);
    const Event event{.type = "a"};
    submitted(*store.engine, {.events = {&event, 1}}, [&](const Result<AppendResult>&) { ++calls; });
    kept.push_back(submitted(*store.engine, {.events = {&event, 1}}));
  }
  CHECK(calls == 1);
  CHECK(result_of(kept[0]).first_position == 1);
  CHECK(opened(env)->stats().events == 2);
}

TEST_CASE("closing finishes what was submitted") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Event event{.type = "a"};
  const AppendTicket ticket = submitted(*store.engine, {.events = {&event, 1}});
  REQUIRE(store->close().ok());
  CHECK(ticket.is_done());
  CHECK(result_of(ticket).count == 1);
}

TEST_CASE("closing ends though each callback submits the next batch, which is refused") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Event event{.type = "a"};
  int calls = 0;
  Status refused;
  AppendCallback next = [&](const Result<AppendResult>&) {
    ++calls;
    refused = store->submit({.events = {&event, 1}}, next).status();
  };
  REQUIRE(store->submit({.events = {&event, 1}}, next).ok());
  REQUIRE(store->close().ok());
  CHECK(calls == 1);
  CHECK(refused.code() == StatusCode::kClosed);
  CHECK(opened(env)->stats().events == 1);
}

TEST_CASE("an engine that cannot close for want of its cursors takes submissions again") {
  MemoryEnv env;
  const TestStore store = opened(env);
  auto snapshot = std::make_optional(store->snapshot().value());
  const Event event{.type = "a"};
  const AppendTicket before = submitted(*store.engine, {.events = {&event, 1}});
  CHECK(store->close().code() == StatusCode::kBusy);
  CHECK(before.is_done());
  CHECK(result_of(submitted(*store.engine, {.events = {&event, 1}})).first_position == 1);
  snapshot.reset();
  CHECK(store->close().ok());
}

TEST_CASE("submissions under way hold a bounded amount of memory: the next waits for room, but not in a callback") {
  MemoryEnv env;
  Options options = presets::durable();
  options.reserve_bytes = 0;
  const TestStore store = opened(env, options);
  const std::string megabyte(1u << 20, 'm');
  const Event event{.payload = as_bytes(megabyte)};
  const Batch batch{.events = {&event, 1}, .durability = Durability::kNone};
  constexpr std::size_t kMost = Submissions::kBytesMax >> 20;
  std::deque<AppendTicket> under_way;
  std::size_t most = 0, from_callbacks = 0;
  for (std::size_t count = 0; count < 2 * kMost; ++count) {
    under_way.push_back(submitted(*store.engine, batch, [&](const Result<AppendResult>&) {
      if (from_callbacks++ == 0) submitted(*store.engine, batch);
    }));
    while (!under_way.empty() && under_way.front().is_done()) under_way.pop_front();
    most = std::max(most, under_way.size());
  }
  CHECK(most >= kMost - 1);
  CHECK(most <= kMost);
  store.background->run_tasks();
  CHECK(from_callbacks == 2 * kMost);
  CHECK(store->stats().events == 2 * kMost + 1);
}

TEST_CASE("after an error of the log every submission under way is told, and later ones are refused with its text") {
  MemoryEnv env;
  const TestStore store = opened(env);
  const Event event{.type = "a"};
  std::vector<AppendTicket> tickets;
  int told = 0;
  for (int count = 0; count < 5; ++count) {
    tickets.push_back(submitted(*store.engine, {.events = {&event, 1}}, [&](const Result<AppendResult>& result) {
      told += result.status().code() == StatusCode::kIoError;
    }));
  }
  env.fail_from(env.operations());
  for (const AppendTicket& ticket : tickets) {
    CHECK(ticket.wait().status().message().find("injected fault") != std::string_view::npos);
  }
  CHECK(told == 5);
  const Status refused = store->submit({.events = {&event, 1}}).status();
  CHECK(refused.code() == StatusCode::kClosed);
  CHECK(refused.message().find("injected fault") != std::string_view::npos);
}

TEST_CASE("a thread that ends with submissions under way loses none of them") {
  MemoryEnv env;
  const auto engine = opened_with_threads(env);
  constexpr int kThreads = 8, kEach = 50;
  std::atomic<int> acknowledged = 0;
  for (int round = 0; round < kThreads; ++round) {
    std::thread([&] {
      const Event event{.type = "a"};
      for (int count = 0; count < kEach; ++count) {
        submitted(*engine, {.events = {&event, 1}},
                  [&](const Result<AppendResult>& result) { acknowledged += result.ok(); });
      }
    }).join();
  }
  REQUIRE(engine->close().ok());
  CHECK(acknowledged == kThreads * kEach);
  CHECK(opened(env)->stats().events == kThreads * kEach);
}

TEST_CASE("threads that submit, append and wait at once lose nothing, and each sees its own in order") {
  MemoryEnv env;
  const auto engine = opened_with_threads(env);
  const std::string large(80u << 10, 'l');  // applied by its own thread, or that of the submissions
  constexpr int kThreads = 4;
  const int each = static_cast<int>(scaled(300));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::deque<AppendTicket> under_way;
      std::optional<Position> last;
      const auto take = [&](const Result<AppendResult>& result) {
        if (!result.ok() || result->count != 1 || (last && result->first_position <= *last)) ++wrong;
        if (result.ok()) last = result->first_position;
      };
      for (int count = 0; count < each; ++count) {
        const Event event{.type = "a", .payload = as_bytes(count % 16 == thread ? large : std::string_view("p"))};
        const Batch batch{.events = {&event, 1}, .durability = static_cast<Durability>(count % 3)};
        if (count % 7 == 6) {
          const auto appended = engine->append(batch);
          while (!under_way.empty()) {
            take(under_way.front().wait());
            under_way.pop_front();
          }
          take(appended);
          continue;
        }
        auto ticket = engine->submit(batch);
        if (!ticket.ok()) {
          ++wrong;
          continue;
        }
        under_way.push_back(std::move(ticket).value());
        if (under_way.size() < 16) continue;
        take(under_way.front().wait());
        under_way.pop_front();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  REQUIRE(engine->close().ok());
  CHECK(opened(env)->stats().events == static_cast<std::uint64_t>(kThreads * each));
}

}  // namespace hdb::test
