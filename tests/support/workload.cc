#include "tests/support/workload.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "engine/store_copy.h"
#include "io/file_name.h"
#include "tests/support/logged_hashes.h"

namespace hdb::test {

namespace {

// These batches fill log segments, and then a memtable, with events and with keys: both are flushed in halves.
constexpr std::size_t kLargeBegin = 12;
constexpr std::size_t kLargeEnd = 17;
constexpr std::size_t kLargePayloadBytes = 110'000;

// How many segments the log of the store has gone through.
Result<std::uint64_t> newest_segment(Env& env) {
  std::uint64_t newest = 0;
  for (const std::string& name : HDB_TRY(env.list(log_directory("store")))) {
    if (const auto number = parse_segment_name(name)) newest = std::max(newest, number->raw());
  }
  return newest;
}

}  // namespace

Options workload_options() {
  Options options = shrunk(presets::durable());
  options.memtable_bytes = 384u << 10;
  return options;
}

Workload::Workload(Env& env, std::uint64_t seed) : env_(env), seed_(seed), random_(seed) {}

Status Workload::open(std::uint64_t seed) {
  store_.reset();
  is_closing_ = false;
  Options options = workload_options();
  options.leaf_hashes = seed % 2 == 0;  // batches with and without them in one log
  store_ = HDB_TRY(open_store(env_, "store", options, seed));
  return {};
}

Status Workload::close() {
  const Stats stats = (*store_)->stats();
  flushes += stats.flushes;
  compactions += stats.compactions;
  is_closing_ = true;
  HDB_TRY((*store_)->close());
  HDB_TRY(finish_submitted());
  durable_batches = batches.size();
  return {};
}

Status Workload::run() {
  HDB_TRY(open(seed_));
  while (batches.size() < kWorkloadBatches) {
    if (batches.size() == kWorkloadBatches / 2 && random_() % 2 == 0) {
      HDB_TRY(close());
      HDB_TRY(open(seed_ + 1));
    }
    HDB_TRY(batches.size() == kLargeBegin ? fill_segments() : append_one());
    HDB_TRY(do_something_else());
  }
  return close();
}

Status Workload::fill_segments() {
  const std::uint64_t before = HDB_TRY(newest_segment(env_));
  const std::uint64_t seals_before = (*store_)->stats().flushes + (*store_)->stats().sealed_memtables;
  while (batches.size() < kLargeEnd) HDB_TRY(append_one());
  const std::uint64_t begun = HDB_TRY(newest_segment(env_)) - before;
  const std::uint64_t seals = (*store_)->stats().flushes + (*store_)->stats().sealed_memtables - seals_before;
  // The others began with a memtable.
  filled_segments += begun - seals;
  return {};
}

Status Workload::append_one() {
  const Keyspace keyspace = HDB_TRY((*store_)->keyspace("keys" + std::to_string(batches.size() / 40)));
  ModelBatch batch = random_batch(random_, std::vector<Keyspace>{keyspace}, 20);
  batch.events.push_back(random_event(random_));
  if (kLargeBegin <= batches.size() && batches.size() < kLargeEnd) {
    batch.events.back().payload = std::string(kLargePayloadBytes, 'x');
    for (const char* key : {"large a", "large b"}) {
      batch.changes.push_back({keyspace.id(), key, std::string(kLargePayloadBytes / 2, 'y')});
    }
  }
  batches.push_back(batch);
  const auto durability = static_cast<Durability>(random_() % 3);
  if (random_() % 3 == 0) {
    submitted_.push_back({HDB_TRY(submit(*store_->engine, batch, durability)), batches.size(), durability});
    return {};
  }
  HDB_TRY(append(*store_->engine, batch, durability));
  if (durability == Durability::kSync) durable_batches = batches.size();
  HDB_TRY(finish_submitted());  // with it, or before
  acknowledged_batches = batches.size();
  return {};
}

// What was submitted is acknowledged; some may have been refused, which ends the workload.
Status Workload::finish_submitted() {
  while (!submitted_.empty()) {
    const Submitted first = submitted_.front();
    submitted_.pop_front();
    HDB_TRY(Status(first.ticket.wait().status()));
    acknowledged_batches = first.batches_end;
    if (first.durability == Durability::kSync) durable_batches = std::max(durable_batches, first.batches_end);
  }
  return {};
}

Status Workload::do_something_else() {
  const std::uint64_t what = random_() % 14;
  if (what <= 1 || what == 4 || what == 5) HDB_TRY(finish_submitted());
  switch (what) {
    case 0:
      HDB_TRY((*store_)->flush());
      durable_batches = batches.size();
      break;
    case 1:
      HDB_TRY((*store_)->compact());
      durable_batches = batches.size();
      break;
    case 2:
      store_->background->run_timers();
      break;
    case 3:
      store_->background->run_tasks();
      break;
    case 4:
      HDB_TRY((*store_)->sync());
      durable_batches = batches.size();
      break;
    case 5:
      HDB_TRY((*store_)->backup("backup", random_() % 2 == 0 ? BackupMode::kLink : BackupMode::kCopy));
      durable_batches = batches.size();
      batches_in_the_backup = batches.size();
      ++backups;
      break;
    default:
      break;
  }
  return {};
}

std::size_t check_prefix(Engine& engine, const std::vector<ModelBatch>& batches) {
  const std::uint64_t events = engine.stats().events;
  Model model;
  std::size_t count = 0;
  while (count < batches.size() && model.events.size() < events) {
    model.apply(batches[count]);
    ++count;
  }
  REQUIRE(model.events.size() == events);  // batches are whole, and nothing was invented
  std::vector<Keyspace> keyspaces;
  for (const auto& [name, keyspace] : engine.keyspaces()) keyspaces.push_back(keyspace);
  check_equal(engine, model, keyspaces);
  return count;
}

namespace {

// Every file of the store, and what is in it.
std::vector<std::pair<std::string, Buffer>> files_of(Env& env, const std::string& store) {
  constexpr std::uint64_t kFileBytesMax = 64u << 20;
  std::vector<std::pair<std::string, Buffer>> files;
  for (const std::string& directory : {store, log_directory(store), table_directory(store)}) {
    const std::vector<std::string> names = env.list(directory).value();
    for (const std::string& name : names) {
      const std::string path = directory + "/" + name;
      if (path == log_directory(store) || path == table_directory(store)) continue;
      files.emplace_back(path, read_file(env, path, kFileBytesMax).value());
    }
  }
  return files;
}

// How many batches a read-only open finds, which changes nothing; empty if there is no store.
std::optional<std::size_t> check_read_only(MemoryEnv& env, const Workload& workload) {
  if (!env.exists(current_path("store")).value()) return std::nullopt;
  const auto before = files_of(env, "store");
  std::size_t found = 0;
  {
    const auto store = open_store_read_only(env, "store", workload_options());
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    found = check_prefix(*store->engine, workload.batches);
  }
  CHECK(files_of(env, "store") == before);
  return found;
}

}  // namespace

void check_recovery(MemoryEnv& env, const Workload& workload, std::uint64_t seed) {
  std::size_t found = 0;
  const std::optional<std::size_t> read = check_read_only(env, workload);
  if (read) {
    const auto logged = check_logged_hashes(env, "store");
    REQUIRE_MESSAGE(logged.ok(), logged.status().message());
  }
  {
    auto store = open_store(env, "store", workload_options(), seed);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    found = check_prefix(*store->engine, workload.batches);
    CHECK(read.value_or(0) == found);
    CHECK(found >= workload.durable_batches);
    const auto appended = (*store)->append(Event{.type = "after"});
    REQUIRE_MESSAGE(appended.ok(), appended.status().message());
    // Closed, or lost again: then what was recovered must still be in a log.
    if (seed % 2 == 0) {
      REQUIRE((*store)->close().ok());
    } else {
      env.crash_at(env.operations());
    }
  }
  if (seed % 2 != 0) env.crash(seed);
  auto again = open_store(env, "store", workload_options(), seed);
  REQUIRE_MESSAGE(again.ok(), again.status().message());
  std::vector<ModelBatch> and_after(workload.batches.begin(),
                                    workload.batches.begin() + static_cast<std::ptrdiff_t>(found));
  and_after.emplace_back().events.emplace_back().type = "after";
  CHECK(check_prefix(*again->engine, and_after) == found + 1);
}

void check_backup(MemoryEnv& env, const Workload& workload, std::uint64_t seed) {
  const bool is_store = env.exists(current_path("backup")).value();
  const bool is_unfinished = env.exists(unfinished_path("backup")).value();
  const auto restored = restore_store(env, "backup", "restored");
  // The mark of the first backup goes last: with it, what is there is whole but not yet a backup.
  CHECK(restored.ok() == (is_store && !is_unfinished));
  if (!restored.ok()) CHECK(workload.backups == 0);
  const std::string directory = restored.ok() ? "restored" : "backup";
  const auto copy = open_store(env, directory, workload_options(), seed, OpenMode::kOpen);
  CHECK(copy.ok() == is_store);
  if (copy.ok()) CHECK(check_prefix(*copy->engine, workload.batches) >= workload.batches_in_the_backup);
}

}  // namespace hdb::test
