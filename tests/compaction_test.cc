// The shape of the tree: what survives a merge, what is merged when, and that merging loses nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "compaction/job.h"
#include "compaction/merge_iterator.h"
#include "compaction/retain.h"
#include "io/file_name.h"
#include "sstable/event_table_builder.h"
#include "sstable/key_table_builder.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"

namespace hdb::compaction {
namespace {

using hdb::test::MemoryEnv;
using Random = std::mt19937_64;

std::uint64_t below(Random& random, std::uint64_t bound) {
  return random() % bound;
}

Buffer key_of(std::uint32_t number) {
  Buffer key(4);
  store_be32(key.data(), number);
  return key;
}

// ---- retain.h

TEST_CASE("a version survives if and only if a read can see it") {
  const std::vector<SequenceNumber> held = {SequenceNumber(10), SequenceNumber(20)};
  struct Case {
    EntryKind kind;
    std::uint64_t sequence;
    std::uint64_t newer;  // 0: none
    bool may_lie_beneath;
    Fate fate;
  };
  constexpr EntryKind kPut = EntryKind::kPut, kErase = EntryKind::kErase;
  const Case cases[] = {
      {kPut, 30, 0, true, Fate::kKeep},                                         // the newest
      {kPut, 25, 30, true, Fate::kDrop},                                        // between the last read and the newest
      {kPut, 20, 30, true, Fate::kKeep},                                        // seen at 20
      {kPut, 20, 21, true, Fate::kKeep},                                        // 21 is not seen at 20
      {kPut, 15, 20, true, Fate::kDrop},                                        // 20 hides it
      {kPut, 10, 11, true, Fate::kKeep},                                        // seen at 10
      {kPut, 9, 10, true, Fate::kDrop},                                         // hidden at 10 already
      {kPut, 9, 11, false, Fate::kKeep},                                        // seen at 10
      {kErase, 9, 0, false, Fate::kDrop},                                       // hides nothing that stays
      {kErase, 9, 0, true, Fate::kKeep},                                        // hides what lies beneath
      {kErase, 11, 0, false, Fate::kKeep},                                      // hides, at 20, what is seen at 10
      {kErase, 30, 0, false, Fate::kKeep}, {kErase, 9, 10, true, Fate::kDrop},  // itself hidden
  };
  for (const Case& c : cases) {
    CAPTURE(c.sequence);
    CAPTURE(c.newer);
    const auto newer = c.newer == 0 ? std::nullopt : std::optional(SequenceNumber(c.newer));
    CHECK(fate_of(c.kind, SequenceNumber(c.sequence), newer, held, c.may_lie_beneath) == c.fate);
  }
  CHECK(fate_of(kPut, SequenceNumber(1), {}, {}, false) == Fate::kKeep);
  CHECK(fate_of(kErase, SequenceNumber(1), {}, {}, false) == Fate::kDrop);
}

// ---- merge_iterator.h

struct OwnedEntry {
  Buffer key;
  SequenceNumber sequence;
  EntryKind kind = EntryKind::kPut;
  Buffer value;
  friend bool operator<(const OwnedEntry& a, const OwnedEntry& b) {
    return compare_entries(bytes_of(a.key), a.sequence, bytes_of(b.key), b.sequence) < 0;
  }
};

class VectorIterator final : public EntryIterator {
 public:
  explicit VectorIterator(std::vector<OwnedEntry> entries) : entries_(std::move(entries)) {}
  bool seek_to_first() override { return stand(0); }
  bool seek_to_last() override { return stand(static_cast<std::ptrdiff_t>(entries_.size()) - 1); }
  bool seek(ByteView key, SequenceNumber sequence) override {
    const OwnedEntry wanted{Buffer(key.begin(), key.end()), sequence, EntryKind::kPut, {}};
    return stand(std::lower_bound(entries_.begin(), entries_.end(), wanted) - entries_.begin());
  }
  bool next() override { return stand(at_ + 1); }
  bool previous() override { return stand(at_ - 1); }
  const Entry& entry() const override { return entry_; }
  Status status() const override { return moves_left == 0 ? Status::io_error("injected") : Status(); }

  std::uint64_t moves_left = ~std::uint64_t{0};  // then it fails

 private:
  bool stand(std::ptrdiff_t at) {
    if (moves_left == 0 || --moves_left == 0) return false;
    if (at < 0 || at >= static_cast<std::ptrdiff_t>(entries_.size())) return false;
    at_ = at;
    const OwnedEntry& owned = entries_[static_cast<std::size_t>(at)];
    entry_ = {bytes_of(owned.key), owned.sequence, owned.kind, bytes_of(owned.value)};
    return true;
  }

  std::vector<OwnedEntry> entries_;
  std::ptrdiff_t at_ = 0;
  Entry entry_{};
};

TEST_CASE("merged iterators are one ordered run, in both directions and after any seek") {
  for (std::uint64_t seed = 1; seed <= test::scaled(60); ++seed) {
    CAPTURE(seed);
    Random random(seed);
    std::vector<std::vector<OwnedEntry>> runs(1 + below(random, 6));
    std::vector<OwnedEntry> all;
    for (std::uint64_t sequence = 1, count = below(random, 80); sequence <= count; ++sequence) {
      OwnedEntry entry{key_of(static_cast<std::uint32_t>(below(random, 20))), SequenceNumber(sequence), EntryKind::kPut,
                       key_of(static_cast<std::uint32_t>(sequence))};
      runs[below(random, runs.size())].push_back(entry);
      all.push_back(std::move(entry));
    }
    std::sort(all.begin(), all.end());
    std::vector<std::unique_ptr<EntryIterator>> sources;
    for (auto& run : runs) {
      std::sort(run.begin(), run.end());
      sources.push_back(std::make_unique<VectorIterator>(run));
    }
    const auto merged = merge(std::move(sources));
    std::ptrdiff_t at = -1;
    bool is_valid = false;
    const auto size = static_cast<std::ptrdiff_t>(all.size());
    for (int step = 0; step < 400; ++step) {
      bool moved = false;
      const std::uint64_t choice = below(random, 20);
      if (choice == 0 || !is_valid) {
        const OwnedEntry wanted{key_of(static_cast<std::uint32_t>(below(random, 22))),
                                SequenceNumber(below(random, 90)),
                                EntryKind::kPut,
                                {}};
        moved = merged->seek(bytes_of(wanted.key), wanted.sequence);
        at = std::lower_bound(all.begin(), all.end(), wanted) - all.begin();
      } else if (choice == 1) {
        moved = merged->seek_to_first();
        at = 0;
      } else if (choice == 2) {
        moved = merged->seek_to_last();
        at = size - 1;
      } else if (choice < 12) {
        moved = merged->next();
        ++at;
      } else {
        moved = merged->previous();
        --at;
      }
      is_valid = at >= 0 && at < size;
      REQUIRE(moved == is_valid);
      REQUIRE(merged->status().ok());
      if (!is_valid) continue;
      const OwnedEntry& expected = all[static_cast<std::size_t>(at)];
      REQUIRE(equal_bytes(merged->entry().key, bytes_of(expected.key)));
      REQUIRE(merged->entry().sequence == expected.sequence);
      REQUIRE(equal_bytes(merged->entry().value, bytes_of(expected.value)));
    }
  }
}

TEST_CASE("a source's error ends the merge and is not taken for its end") {
  std::vector<OwnedEntry> many;
  for (std::uint32_t key = 0; key < 20; ++key) many.push_back({key_of(key), SequenceNumber(1), EntryKind::kPut, {}});
  for (std::uint64_t moves = 1; moves <= 20; ++moves) {
    std::vector<std::unique_ptr<EntryIterator>> sources;
    auto failing = std::make_unique<VectorIterator>(many);
    failing->moves_left = moves;
    sources.push_back(std::move(failing));
    sources.push_back(std::make_unique<VectorIterator>(many));
    const auto merged = merge(std::move(sources));
    std::uint64_t seen = 0;
    for (bool has_entry = merged->seek_to_first(); has_entry; has_entry = merged->next()) ++seen;
    CHECK(merged->status().code() == StatusCode::kIoError);
    CHECK(seen < 40);
  }
}

// ---- picker.h, on tables that exist only as numbers

constexpr PickerSettings kSettings{.table_bytes_target = 256u << 20,
                                   .event_merge_width = 16,
                                   .level0_trigger = 8,
                                   .level_size_ratio = 10,
                                   .level1_bytes_target = 256u << 20,
                                   .is_flush_final = false};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed) : random(seed) {}

  void flush_events(std::uint64_t bytes) {
    VersionEdit edit;
    sstable::TableMeta meta = table(sstable::TableKind::kEvents, bytes);
    meta.position_begin = position_;
    meta.position_end = position_ += 1000;
    edit.added.push_back({kEventLevel, std::make_shared<const sstable::TableMeta>(meta)});
    install(edit);
    flushed += bytes;
    written += bytes;
  }
  void flush_keys(std::uint64_t bytes) {
    const auto width = static_cast<std::uint32_t>(1 + below(random, below(random, 3) == 0 ? 1'000'000 : 1000));
    const auto smallest = static_cast<std::uint32_t>(below(random, 1'000'000));
    flush_keys(bytes, smallest, smallest + width);
  }
  void flush_keys(std::uint64_t bytes, std::uint32_t smallest, std::uint32_t largest) {
    VersionEdit edit;
    sstable::TableMeta meta = table(sstable::TableKind::kKeys, bytes);
    meta.smallest_key = key_of(smallest);
    meta.largest_key = key_of(largest);
    meta.sequence_min = SequenceNumber(sequence_);
    meta.sequence_max = SequenceNumber(sequence_ += 100);
    ++sequence_;
    edit.added.push_back({0, std::make_shared<const sstable::TableMeta>(meta)});
    install(edit);
  }

  // What a job would return for the plan: tables of about the planned size over the inputs' range.
  VersionEdit outcome(const Plan& plan) {
    VersionEdit edit;
    edit.removed = plan.input_numbers();
    const std::vector<TableRef> inputs = plan.all_inputs();
    if (plan.is_move) {
      for (const TableRef& input : inputs) edit.added.push_back({plan.output_level, input});
      return edit;
    }
    const std::uint64_t bytes = plan.input_bytes();
    written += bytes;
    const std::uint64_t outputs =
        std::max<std::uint64_t>(1, (bytes + plan.output_table_bytes - 1) / plan.output_table_bytes);
    for (std::uint64_t index = 0; index < outputs; ++index) {
      sstable::TableMeta meta = table(plan.kind, bytes / outputs);
      if (plan.kind == sstable::TableKind::kEvents) {
        const Position begin = inputs.front()->position_begin;
        const Position count = inputs.back()->position_end - begin;
        meta.position_begin = begin + count * index / outputs;
        meta.position_end = begin + count * (index + 1) / outputs;
      } else {
        set_key_share(meta, inputs, index, outputs);
      }
      if (meta.smallest_key.empty() || compare_bytes(bytes_of(meta.smallest_key), bytes_of(meta.largest_key)) <= 0) {
        edit.added.push_back({plan.output_level, std::make_shared<const sstable::TableMeta>(meta)});
      }
    }
    return edit;
  }

  void install(const VersionEdit& edit) {
    auto next = apply(version, edit);
    REQUIRE_MESSAGE(next.ok(), std::string(next.status().message()));
    version = std::move(next).value();
  }

  Random random;
  Version version;
  std::uint64_t flushed = 0;
  std::uint64_t written = 0;

 private:
  sstable::TableMeta table(sstable::TableKind kind, std::uint64_t bytes) {
    sstable::TableMeta meta;
    meta.number = FileNumber(next_number_++);
    meta.kind = kind;
    meta.file_bytes = std::max<std::uint64_t>(1, bytes);
    meta.entry_count = 1;
    return meta;
  }
  static void set_key_share(sstable::TableMeta& meta, const std::vector<TableRef>& inputs, std::uint64_t index,
                            std::uint64_t outputs) {
    std::uint64_t smallest = ~std::uint64_t{0};
    std::uint64_t largest = 0;
    meta.sequence_min = inputs.front()->sequence_min;
    for (const TableRef& input : inputs) {
      smallest = std::min<std::uint64_t>(smallest, load_be32(input->smallest_key.data()));
      largest = std::max<std::uint64_t>(largest, load_be32(input->largest_key.data()));
      meta.sequence_min = std::min(meta.sequence_min, input->sequence_min);
      meta.sequence_max = std::max(meta.sequence_max, input->sequence_max);
    }
    const std::uint64_t count = largest + 1 - smallest;
    meta.smallest_key = key_of(static_cast<std::uint32_t>(smallest + count * index / outputs));
    const std::uint64_t end = smallest + count * (index + 1) / outputs;
    meta.largest_key = key_of(static_cast<std::uint32_t>(std::max<std::uint64_t>(end, 1) - 1));
  }

  std::uint64_t next_number_ = 1;
  Position position_ = 0;
  std::uint64_t sequence_ = 1;
};

void check_plan(const Version& version, const Plan& plan, const FileNumberSet& excluded) {
  const std::vector<TableRef> inputs = plan.all_inputs();
  REQUIRE(!inputs.empty());
  std::set<FileNumber> distinct;
  for (const TableRef& input : inputs) {
    CHECK(version.find(input->number) == input);
    CHECK(excluded.count(input->number) == 0);
    CHECK(input->kind == plan.kind);
    distinct.insert(input->number);
  }
  CHECK(distinct.size() == inputs.size());
  CHECK(plan.output_table_bytes > 0);
  if (plan.kind != sstable::TableKind::kEvents) return;
  for (std::size_t index = 1; index < inputs.size(); ++index) {
    CHECK(inputs[index - 1]->position_end == inputs[index]->position_begin);
  }
}

// Does all there is to do; fails if there is no end to it.
void settle(Simulation& simulation, const PickerSettings& settings) {
  for (int plans = 0;; ++plans) {
    REQUIRE(plans < 1000);
    const auto plan = pick(simulation.version, settings);
    if (!plan) return;
    check_plan(simulation.version, *plan, {});
    simulation.install(simulation.outcome(*plan));
  }
}

TEST_CASE("an event is written once by its flush and once by a merge, and tables end near their target") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    Simulation simulation(seed);
    // From what needs one merge of the whole width up to flushes larger than the target.
    const std::uint64_t flush_min = (4ull << 20) << (seed % 7);
    for (int flush = 0; flush < 1500; ++flush) {
      simulation.flush_events(flush_min + below(simulation.random, flush_min));
      settle(simulation, kSettings);
    }
    CHECK(static_cast<double>(simulation.written) <= 2.1 * static_cast<double>(simulation.flushed));
    const double mean = static_cast<double>(simulation.flushed) / static_cast<double>(simulation.version.table_count());
    CHECK(mean >= static_cast<double>(kSettings.table_bytes_target) / kSettings.event_merge_width);
    CHECK(debt(simulation.version, kSettings).bytes() == 0);
  }
}

TEST_CASE("flushes of any size, mixed, leave few tables for what they cost") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    Simulation simulation(seed);
    PickerSettings settings = kSettings;
    settings.is_flush_final = seed % 2 == 0;
    settings.event_merge_width = 2 + static_cast<std::uint32_t>(below(simulation.random, 10));
    for (int flush = 0; flush < 1500; ++flush) {
      simulation.flush_events(1 + (std::uint64_t{1} << below(simulation.random, 27)));
      settle(simulation, settings);
    }
    CHECK(static_cast<double>(simulation.written) <= 12 * static_cast<double>(simulation.flushed));
    CHECK(simulation.version.table_count() < 700);
    while (const auto plan = pick_full(simulation.version, settings)) {
      check_plan(simulation.version, *plan, {});
      simulation.install(simulation.outcome(*plan));
    }
    CHECK(simulation.version.event_tables().size() <=
          2 + 4 * simulation.version.total_bytes() / settings.table_bytes_target);
  }
}

TEST_CASE("flushes that are final and large are left alone") {
  Simulation simulation(1);
  PickerSettings settings = kSettings;
  settings.is_flush_final = true;
  for (int flush = 0; flush < 100; ++flush) {
    simulation.flush_events(64u << 20);
    CHECK_FALSE(pick(simulation.version, settings));
  }
}

TEST_CASE("while all keys are merged into a level no other keys are, though they meet none of its inputs") {
  Simulation simulation(1);
  const auto flush_level0 = [&simulation](std::uint32_t from) {
    for (std::uint32_t table = 0; table < kSettings.level0_trigger; ++table) {
      simulation.flush_keys(1000, from + 100 * table, from + 100 * table + 99);
    }
  };
  flush_level0(0);
  const auto full = pick_full(simulation.version, kSettings);
  REQUIRE(full.has_value());
  REQUIRE(full->is_of_all_keys);
  FileNumberSet excluded;
  for (const FileNumber number : full->input_numbers()) excluded.insert(number);
  flush_level0(1'000'000);
  REQUIRE(pick(simulation.version, kSettings, excluded).has_value());  // but for what runs
  CHECK_FALSE(pick(simulation.version, kSettings, excluded, full->output_level).has_value());
  simulation.install(simulation.outcome(*full));
  const auto after = pick(simulation.version, kSettings);
  REQUIRE(after.has_value());
  CHECK(after->output_level == full->output_level);
}

TEST_CASE("concurrent plans share no table, and installed in any order keep the tree's shape") {
  PickerSettings settings = kSettings;
  settings.table_bytes_target = 1000;
  settings.level1_bytes_target = 4000;
  settings.level_size_ratio = 4;
  std::uint64_t concurrent = 0;
  std::uint64_t moves = 0;
  std::uint64_t beside_full = 0;  // plans of keys that were picked while all keys were being merged
  for (std::uint64_t seed = 1; seed <= test::scaled(20); ++seed) {
    CAPTURE(seed);
    Simulation simulation(seed);
    std::vector<Plan> running;
    FileNumberSet excluded;
    std::uint32_t closed_level = 0;
    for (int step = 0; step < 800; ++step) {
      const std::uint64_t choice = below(simulation.random, 6);
      if (choice == 0) simulation.flush_events(1 + below(simulation.random, 300));
      if (choice == 1) simulation.flush_keys(1 + below(simulation.random, 900));
      if (choice > 1 && choice < 4 && running.size() < 4) {
        const bool is_full = running.empty() && below(simulation.random, 4) == 0;
        if (auto plan = is_full ? pick_full(simulation.version, settings)
                                : pick(simulation.version, settings, excluded, closed_level)) {
          check_plan(simulation.version, *plan, excluded);
          for (const FileNumber number : plan->input_numbers()) excluded.insert(number);
          if (!running.empty()) ++concurrent;
          if (closed_level > 0 && plan->kind == sstable::TableKind::kKeys) ++beside_full;
          if (plan->is_of_all_keys) closed_level = plan->output_level;
          if (plan->is_move) ++moves;
          running.push_back(std::move(*plan));
        }
      }
      if (choice > 3 && !running.empty()) {
        std::swap(running[below(simulation.random, running.size())], running.back());
        if (running.back().is_of_all_keys && below(simulation.random, 12) > 0) continue;  // takes its time
        for (const FileNumber number : running.back().input_numbers()) excluded.erase(number);
        if (running.back().is_of_all_keys) closed_level = 0;
        simulation.install(simulation.outcome(running.back()));
        running.pop_back();
      }
    }
    for (const Plan& plan : running) simulation.install(simulation.outcome(plan));
    settle(simulation, settings);
    CHECK(simulation.version.level(0).size() < settings.level0_trigger);
    for (std::uint32_t level = 1; level + 1 < kLevels; ++level) {
      CHECK(simulation.version.level_bytes(level) <= level_bytes_target(settings, level));
    }
  }
  CHECK(concurrent > test::scaled(100));
  CHECK(moves > test::scaled(10));
  CHECK(beside_full > 0);
}

// ---- job.h, on real tables

using History = std::map<std::uint32_t, std::map<std::uint64_t, std::optional<std::string>>>;  // by key, by sequence

// A store's tables without the rest of a store.
class Tree {
 public:
  Tree() {
    REQUIRE(env.create_directory(table_directory(kDirectory)).ok());
    settings.table_bytes_target = 4096;
    settings.level1_bytes_target = 16384;
    settings.level_size_ratio = 3;
    settings.level0_trigger = 3;
    settings.event_merge_width = 3;
    table_settings.block_bytes = 512;
  }

  void flush(Random& random) {
    VersionEdit edit;
    flush_keys(random, edit);
    if (below(random, 2) == 0) flush_events(random, edit);
    install(edit);
  }

  Result<VersionEdit> run(
      const Plan& plan, const std::function<bool()>& is_stopping = [] { return false; }) {
    std::vector<SequenceNumber> all_held = held;
    all_held.push_back(SequenceNumber(sequence - 1));
    const JobContext context{env,         kDirectory,
                             cache,       table_settings,
                             all_held,    [this] { return FileNumber(next_number++); },
                             is_stopping, [this](std::uint64_t bytes) { paced_bytes += bytes; }};
    return run_job(plan, context);
  }

  void install(const VersionEdit& edit) {
    auto next = apply(version, edit);
    REQUIRE_MESSAGE(next.ok(), std::string(next.status().message()));
    version = std::move(next).value();
  }

  std::optional<std::string> find(std::uint32_t key, std::uint64_t at) {
    const Buffer stored = key_of(key);
    for (std::uint32_t level = 0; level < Version::level_count(); ++level) {
      for (const TableRef& meta : version.tables_for_key(level, bytes_of(stored))) {
        const auto table = cache.get_keys(*meta);
        REQUIRE(table.ok());
        const auto found = table.value()->get(bytes_of(stored), SequenceNumber(at));
        REQUIRE(found.ok());
        if (!found->has_value()) continue;
        const Entry& entry = (*found)->entry;
        if (entry.kind == EntryKind::kErase) return std::nullopt;
        return std::string(as_text(entry.value));
      }
    }
    return std::nullopt;
  }

  void check_against_model() {
    std::vector<std::uint64_t> moments{sequence - 1};
    for (const SequenceNumber moment : held) moments.push_back(moment.raw());
    for (const std::uint64_t at : moments) {
      for (const auto& [key, versions] : history) {
        std::optional<std::string> expected;
        const auto newer = versions.upper_bound(at);
        if (newer != versions.begin()) expected = std::prev(newer)->second;
        const auto found = find(key, at);
        REQUIRE(found == expected);
      }
    }
    Position position = 0;
    for (const TableRef& meta : version.event_tables()) {
      auto table = cache.get_events(*meta);
      REQUIRE(table.ok());
      using Scanner = sstable::EventTable::Scanner;
      Scanner scanner(table.value(), 0, ~Position{0}, Scanner::Direction::kAscending);
      while (true) {
        const auto event = scanner.next();
        REQUIRE(event.ok());
        if (!event->has_value()) break;
        REQUIRE((*event)->position == position);
        REQUIRE(as_text((*event)->record.payload()) == payloads[position]);
        ++position;
      }
    }
    REQUIRE(position == payloads.size());
  }

  std::vector<OwnedEntry> all_entries() {
    std::vector<std::unique_ptr<EntryIterator>> sources;
    for (const TableRef& meta : version.level(0)) sources.push_back(concatenate(cache, {meta}));
    for (std::uint32_t level = 1; level < kLevels; ++level) sources.push_back(concatenate(cache, version.level(level)));
    const auto entries = merge(std::move(sources));
    std::vector<OwnedEntry> all;
    for (bool has_entry = entries->seek_to_first(); has_entry; has_entry = entries->next()) {
      const Entry& entry = entries->entry();
      all.push_back({Buffer(entry.key.begin(), entry.key.end()), entry.sequence, entry.kind, {}});
    }
    REQUIRE(entries->status().ok());
    std::size_t backward = 0;
    for (bool has_entry = entries->seek_to_last(); has_entry; has_entry = entries->previous()) ++backward;
    CHECK(backward == all.size());
    CHECK(std::is_sorted(all.begin(), all.end()));
    return all;
  }

  std::size_t table_files() {
    const auto names = env.list(table_directory(kDirectory));
    REQUIRE(names.ok());
    return names->size();
  }

  static constexpr const char* kDirectory = "/store";
  MemoryEnv env;
  sstable::BlockCache blocks{1u << 20};
  sstable::TableCache cache{env, kDirectory, 50, blocks};
  sstable::TableSettings table_settings;
  PickerSettings settings;
  Version version;
  History history;
  std::vector<std::string> payloads;  // by position
  std::vector<SequenceNumber> held;
  std::uint64_t sequence = 1;
  std::uint64_t next_number = 1;
  std::uint64_t paced_bytes = 0;

 private:
  void flush_keys(Random& random, VersionEdit& edit) {
    std::vector<OwnedEntry> entries;
    const auto first = static_cast<std::uint32_t>(below(random, 150));
    const std::uint64_t span = below(random, 2) == 0 ? 20 : 150;  // some flushes overlap little
    for (std::uint64_t count = 1 + below(random, 60); count > 0; --count, ++sequence) {
      const std::uint32_t key = first + static_cast<std::uint32_t>(below(random, span));
      std::optional<std::string> value;
      if (below(random, 3) > 0) value = std::string(below(random, 60), 'v') + std::to_string(sequence);
      history[key][sequence] = value;
      const ByteView bytes = as_bytes(value ? std::string_view(*value) : std::string_view());
      entries.push_back({key_of(key), SequenceNumber(sequence), value ? EntryKind::kPut : EntryKind::kErase,
                         Buffer(bytes.begin(), bytes.end())});
    }
    std::sort(entries.begin(), entries.end());
    const FileNumber number(next_number++);
    auto file = env.create(table_path(kDirectory, number));
    REQUIRE(file.ok());
    sstable::KeyTableBuilder builder(std::move(file).value(), number, table_settings);
    for (const OwnedEntry& entry : entries) {
      REQUIRE(builder.add({bytes_of(entry.key), entry.sequence, entry.kind, bytes_of(entry.value)}).ok());
    }
    auto meta = builder.finish();
    REQUIRE(meta.ok());
    edit.added.push_back({0, std::make_shared<const sstable::TableMeta>(std::move(meta).value())});
  }

  void flush_events(Random& random, VersionEdit& edit) {
    const FileNumber number(next_number++);
    auto file = env.create(table_path(kDirectory, number));
    REQUIRE(file.ok());
    sstable::EventTableBuilder builder(std::move(file).value(), number, table_settings);
    for (std::uint64_t count = 1 + below(random, 40); count > 0; --count) {
      const Position position = payloads.size();
      payloads.push_back("event " + std::to_string(random()));
      const std::string type = "t" + std::to_string(below(random, 5));
      Event event;
      event.type = type;
      event.payload = as_bytes(payloads.back());
      Buffer bytes(record_bytes(event));
      encode_record(event, RecordStamp{}, bytes.data());
      REQUIRE(builder.add(position, Timestamp{}, RecordView::trusted(bytes_of(bytes))).ok());
    }
    auto meta = builder.finish();
    REQUIRE(meta.ok());
    edit.added.push_back({kEventLevel, std::make_shared<const sstable::TableMeta>(std::move(meta).value())});
  }
};

TEST_CASE("merging loses nothing that a read can see, whatever the order plans end in") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Tree tree;
    struct Running {
      Plan plan;
      VersionEdit edit;
    };
    std::vector<Running> running;
    FileNumberSet excluded;
    std::uint32_t closed_level = 0;
    for (int step = 0; step < 160; ++step) {
      if (below(random, 3) == 0) tree.flush(random);
      if (below(random, 12) == 0) tree.held.push_back(SequenceNumber(tree.sequence - 1));
      if (tree.held.size() > 3) tree.held.erase(tree.held.begin() + static_cast<std::ptrdiff_t>(below(random, 3)));
      tree.held.erase(std::unique(tree.held.begin(), tree.held.end()), tree.held.end());
      if (running.size() < 3) {
        const bool is_full = running.empty() && below(random, 6) == 0;
        if (auto plan = is_full ? pick_full(tree.version, tree.settings)
                                : pick(tree.version, tree.settings, excluded, closed_level)) {
          if (plan->is_of_all_keys) closed_level = plan->output_level;
          for (const FileNumber number : plan->input_numbers()) excluded.insert(number);
          auto edit = tree.run(*plan);
          REQUIRE_MESSAGE(edit.ok(), std::string(edit.status().message()));
          running.push_back({std::move(*plan), std::move(edit).value()});
        }
      }
      if (!running.empty() && below(random, 3) == 0) {
        std::swap(running[below(random, running.size())], running.back());
        for (const FileNumber number : running.back().plan.input_numbers()) excluded.erase(number);
        if (running.back().plan.is_of_all_keys) closed_level = 0;
        tree.install(running.back().edit);
        running.pop_back();
      }
      if (step % 8 == 0) tree.check_against_model();
    }
    for (const Running& last : running) tree.install(last.edit);
    tree.check_against_model();
    CHECK(tree.paced_bytes > 0);

    tree.held.clear();
    while (const auto plan = pick_full(tree.version, tree.settings)) {
      auto edit = tree.run(*plan);
      REQUIRE(edit.ok());
      tree.install(edit.value());
    }
    tree.check_against_model();
    for (const TableRef& meta : tree.version.all_tables())
      CHECK(meta->file_bytes < 3 * tree.settings.table_bytes_target);
  }
}

TEST_CASE("a full compaction leaves each live key once, and no tombstone") {
  Random random(5);
  Tree tree;
  for (int flush = 0; flush < 12; ++flush) tree.flush(random);
  while (const auto plan = pick_full(tree.version, tree.settings)) {
    auto edit = tree.run(*plan);
    REQUIRE(edit.ok());
    tree.install(edit.value());
  }
  std::size_t live = 0;
  for (const auto& [key, versions] : tree.history) live += versions.rbegin()->second ? 1 : 0;
  CHECK(tree.all_entries().size() == live);
  tree.check_against_model();
}

TEST_CASE("a job that is stopped or fails leaves no file behind, and its inputs as they were") {
  Random random(9);
  Tree tree;
  for (int flush = 0; flush < 12; ++flush) tree.flush(random);
  const auto plan = pick_full(tree.version, tree.settings);
  REQUIRE(plan);
  const std::size_t files = tree.table_files();
  for (int stop_after = 0; stop_after < 5; ++stop_after) {
    int asked = 0;
    const auto stopped = tree.run(*plan, [&] { return asked++ >= stop_after; });
    CHECK(stopped.status().code() == StatusCode::kClosed);
    CHECK(tree.table_files() == files);
  }
  std::uint64_t failed = 0;
  for (std::uint64_t operation = 0;; ++operation) {
    tree.env.fail_at(tree.env.operations() + operation);
    const auto result = tree.run(*plan);
    tree.env.heal();
    if (result.ok()) break;
    ++failed;
    CHECK(result.status().code() == StatusCode::kIoError);
    CHECK(tree.table_files() == files);
  }
  CHECK(failed > 10);
  tree.check_against_model();
}

}  // namespace
}  // namespace hdb::compaction
