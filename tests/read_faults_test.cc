// Reads that give a flipped bit, a stale or a misdirected block, or less than asked for, at every read of a store that
// is opened, read in every way, merged and backed up: the answer is right, or it is an error that names file and
// offset.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "engine/store_copy.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

struct Written {
  std::vector<ModelBatch> batches;
  std::size_t durable = 0;  // batches that no power loss takes
  std::size_t marked = 0;   // batches below a mark of the log, or in tables
};

Options options() {
  Options small = shrunk(presets::durable());
  small.event_merge_width = 2;
  return small;
}

// Tables of events and of keys, some to be merged, and a log: closed, or ended by a power loss, as `seed` says.
void write_store(MemoryEnv& env, std::uint64_t seed, Written& written) {
  std::mt19937_64 random(seed);
  const bool is_closed = random() % 2 == 0;
  {
    const TestStore store = open_store(env, "store", options(), seed).value();
    const Keyspace keyspace = store->keyspace("keys").value();
    const auto append_some = [&](int count) {
      for (; count > 0; --count) {
        ModelBatch batch = random_batch(random, std::vector<Keyspace>{keyspace}, 12);
        batch.events.push_back(random_event(random));
        batch.events.back().payload.resize(std::min<std::size_t>(batch.events.back().payload.size(), 900));
        written.batches.push_back(batch);
        REQUIRE(append(*store.engine, batch, count % 2 == 0 ? Durability::kNone : Durability::kSync).ok());
      }
      written.durable = written.batches.size();
    };
    for (int table = 0; table < 2; ++table) {
      append_some(4);
      REQUIRE(store->flush().ok());
    }
    append_some(5);
    store.clock->advance(std::chrono::seconds(1));
    if (random() % 2 == 0) store.background->run_timers();
    written.marked = is_closed ? written.durable : written.batches.size() - 5;
    if (is_closed) REQUIRE(store->close().ok());
    if (!is_closed) env.crash_at(env.operations());
  }
  if (!is_closed) env.crash(seed);
}

// What the engine answers to everything the model knows: the first difference, empty if there is none.
Result<std::string> difference(Engine& engine, const Model& model) {
  const auto at = [](std::uint64_t position) { return " at position " + std::to_string(position); };
  std::vector<Timestamp> times;
  for (Position position = 0; position < model.events.size(); ++position) {
    const OwnedEvent& expected = model.events[position];
    const auto found = HDB_TRY(engine.get(position));
    if (!found || !is_same(expected, *found)) return "another event" + at(position);
    if (!expected.id) continue;
    const auto by_id = HDB_TRY(engine.get(*expected.id));
    if (!by_id || by_id->position() != position) return "another event by the id" + at(position);
  }
  std::mt19937_64 random(9);
  for (int round = 0; round < 6; ++round) {
    Query query = random_query(random);
    query.order = Order::kPosition;
    query.limit.reset();
    auto cursor = HDB_TRY(engine.query(query));
    for (Position position = 0; position < model.events.size(); ++position) {
      const auto stored = HDB_TRY(engine.get(position));
      if (!matches(query, model.events[position], *stored)) continue;
      const auto found = HDB_TRY(cursor.next());
      if (!found || found->position() != position) return "a query left out the event" + at(position);
    }
    if (HDB_TRY(cursor.next())) return std::string("a query gave too much");
  }
  std::size_t keys = 0;
  for (const auto& [name, keyspace] : engine.keyspaces()) {
    auto cursor = HDB_TRY(engine.scan(keyspace, KeyRange{}));
    while (const auto pair = HDB_TRY(cursor.next())) {
      const auto expected = model.values.find({keyspace.id(), std::string(as_text(pair->key))});
      if (expected == model.values.end() || expected->second != as_text(pair->value))
        return std::string("another pair");
      ++keys;
    }
  }
  if (keys != model.values.size()) return std::string("fewer keys");
  for (const auto& [key, value] : model.values) {
    const auto found = HDB_TRY(engine.get(Keyspace(key.first), as_bytes(key.second)));
    if (!found || as_text(found->bytes()) != value) return std::string("another value");
  }
  return std::string();
}

// How many of the batches there are; more than all if these are not the first ones.
std::size_t batches_in(Engine& engine, const Written& written, Model& model) {
  const std::uint64_t events = engine.stats().events;
  std::size_t count = 0;
  while (count < written.batches.size() && model.events.size() < events) model.apply(written.batches[count++]);
  return model.events.size() == events ? count : written.batches.size() + 1;
}

// Whether an error says which bytes of which file: "store/...", then a number; or, of what a file begins with, that the
// file is another one.
std::string flaw_of(const Status& error) {
  const std::string_view text = error.message();
  const bool is_damage = error.code() == StatusCode::kCorruption || error.code() == StatusCode::kUnsupported;
  const std::size_t file = std::min({text.find("store/"), text.find("backup/"), text.find("restored/")});
  const bool has_place = file != std::string_view::npos && (text.find("offset ", file) != std::string_view::npos ||
                                                            text.find("byte ", file) != std::string_view::npos);
  bool is_whole_file = false;
  for (const std::string_view of_a_begin :
       {"CURRENT", "header", "magic", "is not a manifest", "version", "written as"}) {
    is_whole_file |= file != std::string_view::npos && text.find(of_a_begin, file) != std::string_view::npos;
  }
  // A manifest that lost its end, and so speaks of an earlier log.
  is_whole_file |= text.find("missing, though the log is needed") != std::string_view::npos;
  return is_damage && (has_place || is_whole_file) ? "" : "an error without its place: " + std::string(text);
}

// Opens, reads, merges, reads again, backs up and restores. What is wrong with how that went; empty if nothing is.
std::string use(MemoryEnv& env, const Written& written, bool stays, bool& has_erred) {
  bool is_told = false;
  Hooks hooks;
  hooks.listener = [&is_told](Notice notice, std::string_view) { is_told |= notice == Notice::kTornTail; };
  has_erred = true;
  Model model;
  {
    const auto store = open_store(env, "store", options(), 3, OpenMode::kOpen, hooks);
    if (!store.ok()) return flaw_of(store.status());
    const std::size_t found = batches_in(*store->engine, written, model);
    if (found > written.batches.size()) return "batches that are not whole";
    if (found < written.marked) return "batches below a mark are gone";
    if (found < written.durable && !stays) return "batches are gone that were only misread";
    if (found < written.durable && !is_told) return "batches are gone silently";
    for (int pass = 0; pass < 2; ++pass) {
      const auto answer = difference(*store->engine, model);
      if (!answer.ok()) return flaw_of(answer.status());
      if (!answer.value().empty()) return answer.value();
      if (pass == 1) break;
      if (const Status merged = (*store)->compact(); !merged.ok()) return flaw_of(merged);
    }
    const auto made = (*store)->backup("backup", BackupMode::kCopy);
    if (!made.ok()) return flaw_of(made.status());
  }
  const auto restored = restore_store(env, "backup", "restored");
  if (!restored.ok()) return flaw_of(restored.status());
  const auto copy = open_store(env, "restored", options(), 4, OpenMode::kOpen);
  if (!copy.ok()) return flaw_of(copy.status());
  const auto answer = difference(*copy->engine, model);
  if (!answer.ok()) return flaw_of(answer.status());
  has_erred = false;
  return answer.value().empty() ? "" : "in the restored store: " + answer.value();
}

void check_reads(ReadFault fault, Fault counted_as) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::uint64_t injected = 0;
  std::uint64_t errors = 0;
  for (std::uint64_t variant = 0; variant < 4; ++variant) {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
    {
      MemoryEnv env;
      Written written;
      write_store(env, seed + variant, written);
      first = env.reads();
      bool has_erred = false;
      REQUIRE(use(env, written, false, has_erred) == "");
      REQUIRE(!has_erred);
      end = env.reads();
    }
    const std::uint64_t runs = std::min<std::uint64_t>(end - first, scaled(25));
    for (std::uint64_t run = 0; run < runs; ++run) {
      const std::uint64_t number = first + run * (end - first) / runs;
      const bool stays = run % 2 == 0;
      CAPTURE(variant);
      CAPTURE(number);
      CAPTURE(stays);
      MemoryEnv env;
      Written written;
      write_store(env, seed + variant, written);
      env.damage_read(number, fault, seed + number, stays);
      bool has_erred = false;
      CHECK(use(env, written, stays, has_erred) == "");
      injected += env.faults_injected(counted_as);
      errors += has_erred ? 1 : 0;
      // A misread that did not last has not made the store lose anything.
      if (stays || !has_erred) continue;
      Model model;
      const auto again = open_store(env, "store", options(), 5, OpenMode::kOpen);
      REQUIRE_MESSAGE(again.ok(), again.status().message());
      CHECK(batches_in(*again->engine, written, model) >= written.durable);
      const auto answer = difference(*again->engine, model);
      REQUIRE_MESSAGE(answer.ok(), answer.status().message());
      CHECK(answer.value() == "");
    }
  }
  CHECK(injected > 0);
  CHECK(errors > 0);
}

}  // namespace

TEST_CASE("a bit flipped in any read gives an error that names file and offset, or the right answer") {
  check_reads(ReadFault::kFlippedBit, Fault::kFlippedBit);
}

TEST_CASE("a stale block in any read gives an error that names file and offset, or the right answer") {
  check_reads(ReadFault::kStale, Fault::kStaleBlock);
}

TEST_CASE("a misdirected block in any read gives an error that names file and offset, or the right answer") {
  check_reads(ReadFault::kMisdirected, Fault::kMisdirectedBlock);
}

TEST_CASE("any read that gives less than asked for gives an error that names file and offset") {
  check_reads(ReadFault::kShort, Fault::kShortRead);
}

}  // namespace hdb::test
