// A damaged store: a byte of a file flipped, or a file cut. The answer is right, or it is an error that names the file;
// of a killed store, what was written since its last mark may be gone, but never silently. One byte and one length in
// four is tried, drawn by the seed; with HDB_TEST_SCALE at 4 or above, as in `make torture`, every one. Of a byte one
// bit is flipped, drawn too.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_run.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kFileBytesMax = 64u << 20;

// A store's files, and what they hold.
struct Saved {
  std::vector<std::pair<std::string, Buffer>> files;
  std::vector<ModelBatch> batches;
  std::size_t marked = 0;  // of the batches: in tables, or below a mark of the log
};

Options tiny() {
  Options options = shrunk(presets::durable());
  options.log_segment_bytes = 256u << 10;
  return options;
}

void save_files(Env& env, Saved& saved) {
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    const std::vector<std::string> names = env.list(directory).value();
    for (const std::string& name : names) {
      auto content = read_file(env, directory + "/" + name, kFileBytesMax);
      if (!content.ok()) continue;  // a directory
      // Space prepared for the log is all zeros, and as good as not there.
      while (name.ends_with(".wal") && content->size() > 64 && content->back() == std::byte{0}) content->pop_back();
      saved.files.emplace_back(directory + "/" + name, std::move(content).value());
    }
  }
}

ModelBatch small_batch(std::mt19937_64& random, Keyspace keyspace) {
  ModelBatch batch;
  batch.events.push_back(random_event(random));
  batch.events.back().payload.resize(std::min<std::size_t>(batch.events.back().payload.size(), 60));
  batch.changes.push_back({keyspace.id(), "key" + std::to_string(random() % 5), "value" + std::to_string(random())});
  return batch;
}

// With `is_closed` cleanly closed; else killed, with some batches in tables, some marked in the log and some behind.
Saved make_store(bool is_closed) {
  MemoryEnv env;
  Saved saved;
  std::mt19937_64 random(3);
  {
    const TestStore store = open_store(env, "store", tiny(), 7).value();
    const Keyspace keyspace = store->keyspace("keys").value();
    const auto append_some = [&](int batches) {
      for (; batches > 0; --batches) {
        saved.batches.push_back(small_batch(random, keyspace));
        REQUIRE(append(*store.engine, saved.batches.back(), Durability::kNone).ok());
      }
    };
    append_some(4);
    REQUIRE(store->flush().ok());
    append_some(4);
    if (is_closed) {
      REQUIRE(store->close().ok());
    } else {
      store.clock->advance(std::chrono::seconds(1));
      store.background->run_timers();
    }
    saved.marked = saved.batches.size();
    if (!is_closed) append_some(4);
    save_files(env, saved);
  }
  return saved;
}

// How many batches the store holds: the first ones, whole, and nothing else. Empty if it holds anything else.
std::optional<std::size_t> batches_in(Engine& engine, const Saved& saved) {
  const std::uint64_t events = engine.stats().events;
  Model model;
  std::size_t batches = 0;
  while (batches < saved.batches.size() && model.events.size() < events) model.apply(saved.batches[batches++]);
  if (model.events.size() != events) return std::nullopt;
  for (Position position = 0; position < events; ++position) {
    const auto event = engine.get(position);
    if (!event.ok() || !event.value() || !is_same(model.events[position], *event.value())) return std::nullopt;
  }
  std::size_t keys = 0;
  for (const auto& [name, keyspace] : engine.keyspaces()) {
    auto cursor = engine.scan(keyspace, KeyRange{});
    if (!cursor.ok()) return std::nullopt;
    while (true) {
      const auto pair = cursor->next();
      if (!pair.ok()) return std::nullopt;
      if (!pair.value()) break;
      const auto expected = model.values.find({keyspace.id(), std::string(as_text((*pair)->key))});
      if (expected == model.values.end() || expected->second != as_text((*pair)->value)) return std::nullopt;
      ++keys;
    }
  }
  if (keys != model.values.size()) return std::nullopt;
  return batches;
}

// The first error a reader of everything meets.
Status read_error(Engine& engine) {
  auto events = HDB_TRY(engine.query(Query{}));
  while (HDB_TRY(events.next())) continue;
  for (const auto& [name, keyspace] : engine.keyspaces()) {
    auto pairs = HDB_TRY(engine.scan(keyspace, KeyRange{}));
    while (HDB_TRY(pairs.next())) continue;
  }
  return {};
}

// Opens the store with one file changed, to read only or to write, and says what is wrong with how that went; empty if
// nothing is.
std::string verdict_on(Env& env, bool is_read_only, const Saved& saved, const std::string& changed, bool is_cut) {
  bool is_told = false;
  Hooks hooks;
  hooks.listener = [&is_told](Notice notice, std::string_view) { is_told |= notice == Notice::kTornTail; };
  const auto names_a_file = [](const Status& status) {
    const bool is_damage = status.code() == StatusCode::kCorruption || status.code() == StatusCode::kUnsupported;
    return is_damage && status.message().find("store/") != std::string_view::npos;
  };
  const auto store = is_read_only ? open_store_read_only(env, "store", tiny(), hooks)
                                  : open_store(env, "store", tiny(), 8, OpenMode::kOpen, hooks);
  if (!store.ok()) {
    return names_a_file(store.status()) ? "" : "refused with: " + std::string(store.status().message());
  }
  const Status error = read_error(*store->engine);
  if (!error.ok()) return names_a_file(error) ? "" : "read with: " + std::string(error.message());
  const auto batches = batches_in(*store->engine, saved);
  if (!batches) return "a wrong answer";
  if (*batches == saved.batches.size()) return "";
  // What was cut off a log is gone with all that could tell of it.
  if (changed.ends_with(".wal") && is_cut) return "";
  if (*batches < saved.marked) return "lost " + std::to_string(saved.batches.size() - *batches) + " batches";
  return is_told ? "" : "lost batches silently";
}

std::string verdict(const Saved& saved, const std::string& changed, ByteView content, bool is_cut) {
  MemoryEnv env;
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    REQUIRE(env.create_directory(directory).ok());
  }
  for (const auto& [path, bytes] : saved.files) {
    REQUIRE(replace_file(env, path, path == changed ? content : bytes_of(bytes)).ok());
  }
  const std::string read_only = verdict_on(env, true, saved, changed, is_cut);
  if (!read_only.empty()) return "read only: " + read_only;
  return verdict_on(env, false, saved, changed, is_cut);
}

// Calls try_one(path, content, what) for changes of every file: at one place in four, from scale 4 on at each.
void for_each_damage(const Saved& saved, std::uint64_t seed,
                     const std::function<void(const std::string&, ByteView, const std::string&)>& try_one) {
  std::mt19937_64 random(seed);
  const std::size_t one_in = std::max<std::size_t>(1, 1000 / scaled(250));
  for (const auto& [path, whole] : saved.files) {
    for (std::size_t at = 0; at < whole.size(); ++at) {
      if (random() % one_in != 0) continue;
      Buffer flipped = whole;
      flipped[at] ^= static_cast<std::byte>(1u << random() % 8);
      count_fault(Fault::kDamagedFile);
      count_fault(Fault::kDamagedFile);
      try_one(path, bytes_of(flipped), "byte " + std::to_string(at) + " flipped");
      try_one(path, bytes_of(whole).first(at), "cut to " + std::to_string(at) + " bytes");
    }
  }
}

void check_all_damage(const Saved& saved) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  CHECK(verdict(saved, "", {}, false) == "");
  std::size_t tried = 0;
  for_each_damage(saved, seed, [&](const std::string& path, ByteView content, const std::string& what) {
    const std::string wrong = verdict(saved, path, content, what.starts_with("cut"));
    CHECK_MESSAGE(wrong.empty(), path, ", ", what, ": ", wrong);
    ++tried;
  });
  CHECK(tried > 50);
}

}  // namespace

TEST_CASE("a closed store with any byte flipped or any file cut gives an error naming the file, or the right answer") {
  check_all_damage(make_store(true));
}

TEST_CASE("a killed store with any byte flipped or any file cut loses nothing marked, and nothing silently") {
  check_all_damage(make_store(false));
}

}  // namespace hdb::test
