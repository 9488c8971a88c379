// What readers see of commits whose batches are applied in any order.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/visibility.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

Published end_at(std::uint64_t events) {
  return {SequenceNumber(1 + events), events};
}

std::shared_ptr<Visibility> empty_visibility() {
  return std::make_shared<Visibility>(std::make_shared<const ReadView>(), Published{});
}

Position visible_end(const Visibility& visibility) {
  return visibility.read().at.position_end;
}

}  // namespace

TEST_CASE("a commit group is visible once its batches and those of all earlier groups are applied, never before") {
  const auto visibility = empty_visibility();
  visibility->open_slot(end_at(10), 2);
  visibility->open_slot(end_at(15), 1);
  visibility->open_slot(end_at(40), 2);
  visibility->batch_applied(end_at(15).next_sequence);
  CHECK(visible_end(*visibility) == 0);
  visibility->batch_applied(end_at(10).next_sequence);
  CHECK(visible_end(*visibility) == 0);
  visibility->batch_applied(end_at(10).next_sequence);
  CHECK(visible_end(*visibility) == 15);
  visibility->batch_applied(end_at(40).next_sequence);
  CHECK(visible_end(*visibility) == 15);
  visibility->batch_applied(end_at(40).next_sequence);
  CHECK(visible_end(*visibility) == 40);
}

TEST_CASE("who waits for a group is let go when it is visible, or with the error that keeps it from being") {
  for (const bool does_fail : {false, true}) {
    CAPTURE(does_fail);
    const auto visibility = empty_visibility();
    visibility->open_slot(end_at(1), 1);
    visibility->open_slot(end_at(2), 1);
    visibility->batch_applied(end_at(2).next_sequence);
    Status waited;
    std::thread waiter([&] { waited = visibility->wait_published(end_at(2).next_sequence); });
    if (does_fail) {
      visibility->fail(Status::io_error("first error"));
    } else {
      visibility->batch_applied(end_at(1).next_sequence);
    }
    waiter.join();
    CHECK(waited.ok() == !does_fail);
    CHECK(visible_end(*visibility) == (does_fail ? 0 : 2));
    if (does_fail) CHECK(waited.message().find("first error") != std::string_view::npos);
  }
}

TEST_CASE("a pinned moment is held for compaction until its last copy is gone") {
  const auto visibility = empty_visibility();
  visibility->open_slot(end_at(5), 1);
  visibility->batch_applied(end_at(5).next_sequence);
  auto pin = visibility->pin();
  visibility->open_slot(end_at(9), 1);
  visibility->batch_applied(end_at(9).next_sequence);
  CHECK(pin->at().position_end == 5);
  CHECK(visibility->pin_count() == 1);
  CHECK(visibility->held_sequences().size() == 2);
  auto copy = pin;
  pin.reset();
  CHECK(visibility->held_sequences().size() == 2);
  copy.reset();
  CHECK(visibility->pin_count() == 0);
  CHECK(visibility->held_sequences().size() == 1);
}

TEST_CASE("each snapshot sees the value that a key had at its moment, in memory and in tables") {
  MemoryEnv env;
  auto store = open_store(env, "store", shrunk(presets::durable()), 7);
  REQUIRE_MESSAGE(store.ok(), std::string(store.status().message()));
  Engine& engine = *store->engine;
  const Keyspace keyspace = engine.keyspace("k").value();
  const auto text_of = [](std::size_t number) { return "value " + std::to_string(number); };
  std::vector<Snapshot> snapshots;
  constexpr std::size_t kValues = 40;
  for (std::size_t number = 0; number < kValues; ++number) {
    REQUIRE(engine.put(keyspace, as_bytes("key"), as_bytes(text_of(number))).ok());
    auto snapshot = engine.snapshot();
    REQUIRE(snapshot.ok());
    snapshots.push_back(std::move(snapshot).value());
  }
  for (const bool is_flushed : {false, true}) {
    CAPTURE(is_flushed);
    if (is_flushed) REQUIRE(engine.flush().ok());
    for (std::size_t number = 0; number < kValues; ++number) {
      const auto value = engine.get(keyspace, as_bytes("key"), &snapshots[number]);
      REQUIRE_MESSAGE(value.ok(), std::string(value.status().message()));
      REQUIRE(value->has_value());
      CHECK(as_text((*value)->bytes()) == text_of(number));
    }
  }
}

}  // namespace hdb::test
