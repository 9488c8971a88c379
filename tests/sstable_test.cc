#include <doctest/doctest.h>

#include <unistd.h>
#include <zlib.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "io/file_name.h"
#include "sstable/block_cache.h"
#include "sstable/event_block.h"
#include "sstable/event_table.h"
#include "sstable/event_table_builder.h"
#include "sstable/filter.h"
#include "sstable/key_block.h"
#include "sstable/key_table.h"
#include "sstable/key_table_builder.h"
#include "sstable/table_cache.h"
#include "sstable/table_reader.h"
#include "sstable/verify.h"

using namespace hdb;
using namespace hdb::sstable;

namespace {

constexpr std::uint64_t kCacheBytes = 8u << 20;

std::uint64_t seed_of_test() {
  static const std::uint64_t seed = [] {
    const char* const given = std::getenv("HDB_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return seed;
}

// A store's directory of its own, removed with it.
class TestStore {
 public:
  TestStore() : path_((std::filesystem::temp_directory_path() / "hdb-sstable-XXXXXX").string()) {
    REQUIRE(mkdtemp(path_.data()) != nullptr);
    std::filesystem::create_directory(table_directory(path_));
  }
  ~TestStore() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string table(std::uint64_t number) const { return table_path(path_, FileNumber(number)); }
  std::unique_ptr<WritableFile> create(std::uint64_t number) const { return posix_env().create(table(number)).value(); }
  std::string read(std::uint64_t number) const {
    std::ifstream file(table(number), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(std::uint64_t number, std::string_view bytes) const {
    std::ofstream(table(number), std::ios::binary | std::ios::trunc) << bytes;
  }

 private:
  std::string path_;
};

struct Version {
  EntryKind kind;
  std::string value;
};
// In entry order: keys ascending, sequences descending.
using KeyModel = std::map<std::pair<std::string, std::uint64_t>, Version>;
KeyModel::key_type model_key(std::string key, std::uint64_t sequence) {
  return {std::move(key), ~sequence};
}

KeyModel random_keys(std::mt19937_64& random, std::size_t count) {
  KeyModel model;
  for (std::uint64_t sequence = 1; model.size() < count; ++sequence) {
    std::string key = "key" + std::to_string(random() % (count / 2 + 1));
    if (random() % 50 == 0) key.append(random() % 300, 'x');
    if (random() % 100 == 0) key.clear();
    const bool is_erase = random() % 5 == 0;
    std::string value(is_erase ? 0 : random() % 80, static_cast<char>('a' + random() % 26));
    if (!is_erase && random() % 200 == 0) value.resize(20'000, 'v');
    model[model_key(key, sequence)] = {is_erase ? EntryKind::kErase : EntryKind::kPut, value};
  }
  return model;
}

TableMeta build_keys(const TestStore& store, std::uint64_t number, const KeyModel& model,
                     const TableSettings& settings) {
  KeyTableBuilder builder(store.create(number), FileNumber(number), settings);
  for (const auto& [key, version] : model) {
    REQUIRE(
        builder.add({as_bytes(key.first), SequenceNumber(~key.second), version.kind, as_bytes(version.value)}).ok());
  }
  return builder.finish().value();
}

std::shared_ptr<const KeyTable> open_keys(const TestStore& store, std::uint64_t number, BlockCache& cache) {
  return KeyTable::open(posix_env(), store.table(number), FileNumber(number), cache).value();
}

bool is_entry(const Entry& entry, const KeyModel::value_type& expected) {
  return as_text(entry.key) == expected.first.first && entry.sequence.raw() == ~expected.first.second &&
         entry.kind == expected.second.kind && as_text(entry.value) == expected.second.value;
}

struct TestEvent {
  Buffer record;
  Timestamp commit_time;
  RecordView view() const { return RecordView::trusted(bytes_of(record)); }
};

Buffer encode(const Event& event) {
  Buffer record(record_bytes(event));
  encode_record(event, {Timestamp(std::chrono::seconds(1'700'000'000)), 7}, record.data());
  return record;
}

EventId caller_id(std::uint64_t n) {
  return EventId::from_name("sstable_test", std::to_string(n));
}

// `entities`: how many distinct ones to draw from.
std::vector<TestEvent> random_events(std::mt19937_64& random, std::size_t count, std::size_t entities) {
  std::vector<TestEvent> events;
  std::int64_t commit = 1'700'000'000'000'000'000;
  for (std::size_t i = 0; i < count; ++i) {
    if (random() % 7 == 0) commit += static_cast<std::int64_t>(random() % 1000);
    const std::string type = "type" + std::to_string(random() % 6);
    const std::string entity = random() % 9 == 0 ? "" : "entity-with-long-name-" + std::to_string(random() % entities);
    const std::string host = "10.0.0." + std::to_string(random() % 20);
    std::vector<std::string> tags;
    for (std::size_t left = random() % 4; left > 0; --left) tags.push_back("tag:" + std::to_string(random() % 50));
    const std::vector<std::string_view> tag_views(tags.begin(), tags.end());
    std::string payload(random() % 200, static_cast<char>(random()));
    if (random() % 500 == 0) payload.resize(100'000, 'p');
    Event event;
    event.type = type;
    event.entity = entity;
    event.host = host;
    event.tags = tag_views;
    event.payload = as_bytes(payload);
    event.time = Timestamp(std::chrono::nanoseconds(static_cast<std::int64_t>(random() % 1'000'000) - 1000));
    if (random() % 3 == 0) event.id = caller_id(i);
    events.push_back({encode(event), Timestamp(std::chrono::nanoseconds(commit))});
  }
  return events;
}

TableMeta build_events(const TestStore& store, std::uint64_t number, const std::vector<TestEvent>& events,
                       Position begin, const TableSettings& settings) {
  EventTableBuilder builder(store.create(number), FileNumber(number), settings);
  for (std::size_t i = 0; i < events.size(); ++i) {
    REQUIRE(builder.add(begin + i, events[i].commit_time, events[i].view()).ok());
  }
  return builder.finish().value();
}

std::shared_ptr<const EventTable> open_events(const TestStore& store, std::uint64_t number, BlockCache& cache) {
  return EventTable::open(posix_env(), store.table(number), FileNumber(number), cache).value();
}

std::vector<TableSettings> all_settings() {
  std::vector<TableSettings> all;
  for (const Compression compression : {Compression::kNone, Compression::kZstd}) {
    for (const std::uint32_t block_bytes : {1u << 10, 32u << 10, 1u << 20}) {
      all.push_back({block_bytes, compression, 1, block_bytes == 1u << 20 ? 0u : 10u});
    }
  }
  return all;
}

// The terms of an attribute, read from the record itself.
std::vector<std::string> terms_of(const RecordView& record, Attribute attribute) {
  std::vector<std::string> terms;
  if (attribute == Attribute::kTag) {
    record.for_each_tag([&](std::string_view tag) { terms.emplace_back(tag); });
  } else {
    const TextField field = attribute == Attribute::kType     ? TextField::kType
                            : attribute == Attribute::kEntity ? TextField::kEntity
                                                              : TextField::kHost;
    if (!record.text(field).empty()) terms.emplace_back(record.text(field));
  }
  return terms;
}

bool names_file_and_remedy(const Status& status, const std::string& path) {
  return status.message().find(path) != std::string_view::npos &&
         status.message().find(" at offset ") != std::string_view::npos &&
         status.message().find("run 'hdb-dump verify ") != std::string_view::npos;
}

}  // namespace

TEST_CASE("a table of keys gives back every version, in order both ways, and by key as of any sequence") {
  const std::uint64_t seed = seed_of_test();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TestStore store;
  for (const TableSettings& settings : all_settings()) {
    BlockCache cache(kCacheBytes);
    const KeyModel model = random_keys(random, 1 + random() % 2500);
    const TableMeta meta = build_keys(store, 1, model, settings);
    CHECK(meta.entry_count == model.size());
    CHECK(as_text(bytes_of(meta.smallest_key)) == model.begin()->first.first);
    CHECK(as_text(bytes_of(meta.largest_key)) == model.rbegin()->first.first);
    CHECK(verify_table(posix_env(), store.table(1), FileNumber(1), &meta).ok());
    const auto table = open_keys(store, 1, cache);
    CHECK(table->meta() == meta);

    const auto entries = table->entries({.fill_cache = false});
    std::size_t wrong = 0;
    bool more = entries->seek_to_first();
    for (const auto& expected : model) {
      wrong += !more || !is_entry(entries->entry(), expected);
      more = entries->next();
    }
    CHECK(!more);
    more = entries->seek_to_last();
    for (auto expected = model.rbegin(); expected != model.rend(); ++expected) {
      wrong += !more || !is_entry(entries->entry(), *expected);
      more = entries->previous();
    }
    CHECK(!more);
    CHECK(entries->status().ok());

    for (int probe = 0; probe < 800; ++probe) {
      std::string key = "key" + std::to_string(random() % (model.size() / 2 + 3));
      if (random() % 3 == 0)
        key = std::next(model.begin(), static_cast<std::ptrdiff_t>(random() % model.size()))->first.first;
      const std::uint64_t at = random() % (model.size() * 2);
      auto expected = model.lower_bound(model_key(key, at));
      more = entries->seek(as_bytes(key), SequenceNumber(at));
      wrong += more != (expected != model.end()) || (more && !is_entry(entries->entry(), *expected));
      const auto found = table->get(as_bytes(key), SequenceNumber(at)).value();
      const bool is_there = expected != model.end() && expected->first.first == key;
      wrong += found.has_value() != is_there || (is_there && !is_entry(found->entry, *expected));
      for (int step = 0; more && step < 5; ++step) {
        if (random() % 2 == 0) {
          more = entries->next();
          ++expected;
          wrong += more != (expected != model.end());
        } else {
          more = entries->previous();
          wrong += more != (expected != model.begin());
          if (more) --expected;
        }
        wrong += more && !is_entry(entries->entry(), *expected);
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a found value stays valid after the cache has dropped its block and the table is closed") {
  const TestStore store;
  KeyModel model;
  model[model_key("k", 3)] = {EntryKind::kPut, "value"};
  build_keys(store, 1, model, {});
  std::optional<PinnedEntry> found;
  {
    BlockCache cache(0);
    found = open_keys(store, 1, cache)->get(as_bytes("k"), SequenceNumber(9)).value();
  }
  REQUIRE(found.has_value());
  CHECK(as_text(found->entry.value) == "value");
}

TEST_CASE("builders refuse entries and events that are out of order") {
  const TestStore store;
  KeyTableBuilder keys(store.create(1), FileNumber(1), {});
  CHECK(keys.add({as_bytes("b"), SequenceNumber(5), EntryKind::kPut, {}}).ok());
  CHECK(keys.add({as_bytes("b"), SequenceNumber(4), EntryKind::kPut, {}}).ok());
  CHECK(keys.add({as_bytes("b"), SequenceNumber(4), EntryKind::kPut, {}}).code() == StatusCode::kCorruption);
  CHECK(keys.add({as_bytes("a"), SequenceNumber(9), EntryKind::kPut, {}}).code() == StatusCode::kCorruption);
  const Buffer record = encode({});
  const RecordView view = RecordView::trusted(bytes_of(record));
  EventTableBuilder events(store.create(2), FileNumber(2), {});
  CHECK(events.add(7, Timestamp(std::chrono::seconds(5)), view).ok());
  CHECK(events.add(9, Timestamp(std::chrono::seconds(5)), view).code() == StatusCode::kCorruption);
  CHECK(events.add(8, Timestamp(std::chrono::seconds(4)), view).code() == StatusCode::kCorruption);
}

TEST_CASE("a table of events gives back every event, by position and in both directions") {
  const std::uint64_t seed = seed_of_test();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TestStore store;
  for (const TableSettings& settings : all_settings()) {
    BlockCache cache(kCacheBytes);
    const std::vector<TestEvent> events = random_events(random, 1 + random() % 2000, 30);
    const Position begin = random() % 1'000'000;
    const TableMeta meta = build_events(store, 1, events, begin, settings);
    CHECK(meta.position_begin == begin);
    CHECK(meta.position_end == begin + events.size());
    CHECK(verify_table(posix_env(), store.table(1), FileNumber(1), &meta).ok());
    const auto table = open_events(store, 1, cache);
    CHECK(table->meta() == meta);

    std::size_t wrong = 0;
    const auto is_event = [&](Position position, Timestamp commit_time, const RecordView& record) {
      const TestEvent& expected = events[position - begin];
      return commit_time == expected.commit_time && equal_bytes(record.bytes(), bytes_of(expected.record));
    };
    for (int probe = 0; probe < 200; ++probe) {
      const Position position = begin + random() % events.size();
      const PinnedRecord found = table->get(position).value();
      wrong += !is_event(position, found.commit_time, found.record);
    }
    for (int scan = 0; scan < 20; ++scan) {
      const bool is_ascending = random() % 2 == 0;
      const auto direction =
          is_ascending ? EventTable::Scanner::Direction::kAscending : EventTable::Scanner::Direction::kDescending;
      std::set<Position> wanted;
      PositionSet positions;
      Position from = begin + random() % events.size();
      Position to = from + random() % (events.size() + 5);
      const bool is_range = random() % 2 == 0;
      if (is_range) {
        for (Position p = from; p < std::min(to, meta.position_end); ++p) wanted.insert(p);
      } else {
        for (std::size_t n = random() % 200; n > 0; --n) {
          const std::size_t relative = random() % (events.size() + 3);
          positions.add(static_cast<std::uint32_t>(relative));
          if (relative < events.size()) wanted.insert(begin + relative);
        }
      }
      std::vector<Position> order(wanted.begin(), wanted.end());
      if (!is_ascending) std::reverse(order.begin(), order.end());
      EventTable::Scanner scanner = is_range ? EventTable::Scanner(table, from, to, direction)
                                             : EventTable::Scanner(table, positions, direction, {.fill_cache = false});
      std::size_t next = 0;
      while (const auto event = scanner.next().value()) {
        if (next >= order.size() || event->position != order[next]) {
          ++wrong;
          break;
        }
        wrong += !is_event(event->position, event->commit_time, event->record);
        ++next;
        if (random() % 10 == 0) {
          const Position target = begin + random() % events.size();
          scanner.skip_to(target);
          while (next < order.size() && (is_ascending ? order[next] < target : order[next] > target)) ++next;
        }
      }
      wrong += next != order.size();
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("candidates never miss an event, and are exact where they say so, for few and for many distinct terms") {
  const std::uint64_t seed = seed_of_test();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TestStore store;
  for (const std::size_t entities : {std::size_t{40}, std::size_t{100'000}}) {
    BlockCache cache(kCacheBytes);
    const std::vector<TestEvent> events = random_events(random, 6000, entities);
    build_events(store, 1, events, 1000, {4u << 10, Compression::kZstd, 1, 10});
    const auto table = open_events(store, 1, cache);
    for (const Attribute attribute : {Attribute::kType, Attribute::kEntity, Attribute::kHost, Attribute::kTag}) {
      std::map<std::string, PositionSet> expected;
      for (std::uint32_t i = 0; i < events.size(); ++i) {
        for (const std::string& term : terms_of(events[i].view(), attribute)) expected[term].add(i);
      }
      expected["no such term"];
      expected[""];
      std::size_t wrong = 0;
      std::uint64_t surplus = 0;
      for (const auto& [term, positions] : expected) {
        const Candidates candidates = table->candidates(attribute, term).value();
        PositionSet missed = positions.copy();
        missed -= candidates.positions;
        wrong += !missed.empty();
        if (candidates.is_exact) wrong += !(candidates.positions == positions);
        surplus += candidates.positions.cardinality() - positions.cardinality();
      }
      CHECK(wrong == 0);
      CHECK(surplus <= 2);  // fingerprints are unique among the terms that are there
      const bool is_exact = table->candidates(attribute, "x").value().is_exact;
      CHECK(is_exact == (entities == 40 || attribute != Attribute::kEntity));
    }
  }
}

TEST_CASE("zone maps never miss an event, and leave out blocks that are elsewhere") {
  const std::uint64_t seed = seed_of_test();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TestStore store;
  BlockCache cache(kCacheBytes);
  const std::vector<TestEvent> events = random_events(random, 2000, 10);
  const TableMeta meta = build_events(store, 1, events, 0, {1u << 10, Compression::kNone, 1, 0});
  const auto table = open_events(store, 1, cache);
  std::size_t missed = 0;
  for (int probe = 0; probe < 300; ++probe) {
    const auto bound = [&](bool is_commit) -> std::optional<Timestamp> {
      if (random() % 4 == 0) return {};
      const TestEvent& event = events[random() % events.size()];
      return is_commit ? event.commit_time : event.view().time();
    };
    const TimeRange time{bound(false), bound(false)};
    const TimeRange commit{bound(true), bound(true)};
    const PositionSet found = table->time_candidates(time, commit);
    for (std::uint32_t i = 0; i < events.size(); ++i) {
      const bool is_wanted = time.contains(events[i].view().time()) && commit.contains(events[i].commit_time);
      missed += is_wanted && !found.contains(i);
    }
  }
  CHECK(missed == 0);
  CHECK(table->time_candidates({}, {}).cardinality() == events.size());
  CHECK(table->time_candidates({}, {.from = {}, .to = meta.commit_time_min}).empty());
  const Timestamp middle = events[events.size() / 2].commit_time;
  const std::uint64_t half = table->time_candidates({}, {.from = {}, .to = middle}).cardinality();
  CHECK(half < events.size() * 3 / 4);
}

TEST_CASE("an event is found by the id its caller gave, and by no other") {
  std::mt19937_64 random(5);
  const TestStore store;
  for (const std::uint32_t filter_bits : {0u, 10u}) {
    BlockCache cache(kCacheBytes);
    const std::vector<TestEvent> events = random_events(random, 3000, 10);
    build_events(store, 1, events, 500, {4u << 10, Compression::kZstd, 1, filter_bits});
    const auto table = open_events(store, 1, cache);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < events.size(); ++i) {
      const auto found = table->find_id(caller_id(i)).value();
      wrong += found != (events[i].view().has_caller_id() ? std::optional<Position>(500 + i) : std::nullopt);
      wrong += !events[i].view().has_caller_id() && table->find_id(events[i].view().id(500 + i)).value().has_value();
    }
    CHECK(wrong == 0);
    CHECK((cache.counters().filter_negatives > 0) == (filter_bits > 0));
  }
}

TEST_CASE("a filter denies nothing that was added, and as much of the rest as it says") {
  std::mt19937_64 random(11);
  const std::map<std::uint32_t, double> rates_max = {{1, 0.70}, {10, 0.015}, {18, 0.002}, {32, 0.0005}};
  for (const auto& rate : rates_max) {
    const std::uint32_t bits = rate.first;
    const double rate_max = rate.second;
    std::vector<std::uint64_t> hashes(50'000);
    for (std::uint64_t& hash : hashes) hash = random();
    const Filter filter = Filter::decode(bytes_of(build_filter(hashes, bits))).value();
    std::size_t denied = 0;
    for (const std::uint64_t hash : hashes) denied += !filter.may_contain(hash);
    CHECK(denied == 0);
    std::size_t passed = 0;
    for (int probe = 0; probe < 200'000; ++probe) passed += filter.may_contain(random());
    CAPTURE(bits);
    CHECK(static_cast<double>(passed) / 200'000 < rate_max);
  }
}

TEST_CASE("a block is valid only at its own offset of its own file") {
  const TestStore store;
  std::mt19937_64 random(3);
  // Values of one size, so that blocks are of one size and can be swapped.
  KeyModel model;
  for (int i = 0; i < 1000; ++i)
    model[model_key("key" + std::to_string(10'000 + i), 9)] = {EntryKind::kPut, "01234567"};
  build_keys(store, 1, model, {1u << 10, Compression::kNone, 1, 0});
  build_keys(store, 2, model, {1u << 10, Compression::kNone, 1, 0});
  BlockCache cache(0);
  std::vector<BlockHandle> handles;
  {
    const auto reader = TableReader::open(posix_env(), store.table(1), FileNumber(1), cache).value();
    const SortedBlock index =
        SortedBlock::decode(reader->read(reader->properties().index, BlockKind::kKeyIndex).value()).value();
    SortedBlock::Cursor cursor(index);
    for (bool more = cursor.first(); more; more = cursor.next()) handles.push_back(handle_of(cursor.value()));
  }
  const auto twins = std::adjacent_find(handles.begin(), handles.end(),
                                        [](BlockHandle a, BlockHandle b) { return a.bytes == b.bytes; });
  REQUIRE(twins != handles.end());
  const BlockHandle first = twins[0];
  const BlockHandle second = twins[1];
  const std::size_t bytes = first.bytes + kBlockTrailerBytes;
  const auto scan_of = [&](std::uint64_t number) {
    const auto table = open_keys(store, number, cache);
    const auto entries = table->entries();
    std::size_t seen = 0;
    for (bool more = entries->seek_to_first(); more; more = entries->next()) ++seen;
    CHECK(seen < model.size());
    return entries->status();
  };
  const std::string one = store.read(1);
  const std::string two = store.read(2);

  std::string moved = one;
  moved.replace(first.offset, bytes, one, second.offset, bytes);
  store.write(1, moved);
  Status status = scan_of(1);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(names_file_and_remedy(status, store.table(1)));

  std::string foreign = one;
  foreign.replace(first.offset, bytes, two, first.offset, bytes);
  store.write(1, foreign);
  CHECK(scan_of(1).code() == StatusCode::kCorruption);
  CHECK(verify_table(posix_env(), store.table(1), FileNumber(1), nullptr).code() == StatusCode::kCorruption);
}

namespace {

// Reads all of a table, by every way in. Returns the first error, or OK if every answer was right.
Status read_keys(const TestStore& store, const KeyModel& model) {
  BlockCache cache(kCacheBytes);
  const auto table = HDB_TRY(KeyTable::open(posix_env(), store.table(1), FileNumber(1), cache));
  for (const auto& [key, version] : model) {
    const auto found = HDB_TRY(table->get(as_bytes(key.first), SequenceNumber(~key.second)));
    if (!found || as_text(found->entry.value) != version.value) return Status::invalid_argument("wrong answer");
  }
  const auto entries = table->entries();
  std::size_t count = 0;
  for (bool more = entries->seek_to_first(); more; more = entries->next()) ++count;
  HDB_TRY(entries->status());
  return count == model.size() ? Status() : Status::invalid_argument("wrong count");
}

Status read_events(const TestStore& store, const std::vector<TestEvent>& events) {
  BlockCache cache(kCacheBytes);
  const auto table = HDB_TRY(EventTable::open(posix_env(), store.table(1), FileNumber(1), cache));
  for (std::uint32_t i = 0; i < events.size(); ++i) {
    const RecordView expected = events[i].view();
    const PinnedRecord found = HDB_TRY(table->get(i));
    if (!equal_bytes(found.record.bytes(), expected.bytes())) return Status::invalid_argument("wrong record");
    for (const Attribute attribute : {Attribute::kType, Attribute::kEntity, Attribute::kHost, Attribute::kTag}) {
      for (const std::string& term : terms_of(expected, attribute)) {
        const Candidates candidates = HDB_TRY(table->candidates(attribute, term));
        if (!candidates.positions.contains(i)) return Status::invalid_argument("missed term");
      }
    }
    if (!expected.has_caller_id()) continue;
    const auto by_id = HDB_TRY(table->find_id(expected.id(i)));
    if (by_id != i) return Status::invalid_argument("missed id");
  }
  return {};
}

// Calls check(what) with every byte of table 1 flipped, then cut at every length, and restores it. In place: replacing
// a file's content costs a flush in some file systems.
template <typename Check>
void damage_everywhere(const TestStore& store, Check check) {
  const std::string good = store.read(1);
  const auto put = [&store](std::size_t offset, char byte) {
    std::fstream file(store.table(1), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset)).put(byte);
  };
  for (std::size_t i = 0; i < good.size(); ++i) {
    put(i, static_cast<char>(good[i] ^ (1 << (i % 8))));
    check("flipped byte " + std::to_string(i));
    put(i, good[i]);
  }
  for (std::size_t bytes = good.size(); bytes-- > 0;) {
    std::filesystem::resize_file(store.table(1), bytes);
    check("cut to " + std::to_string(bytes));
  }
  store.write(1, good);
}

}  // namespace

TEST_CASE("any flipped byte or cut of a table gives an error or the right answer, and verification finds every one") {
  std::mt19937_64 random(17);
  const TestStore store;
  const TableSettings settings{1u << 10, Compression::kZstd, 1, 10};
  const auto check_all = [&](const auto& read) {
    REQUIRE(read().ok());
    std::size_t wrong = 0;
    std::size_t unfound = 0;
    damage_everywhere(store, [&](const std::string& what) {
      const Status status = read();
      const Status found = verify_table(posix_env(), store.table(1), FileNumber(1), nullptr);
      if (!status.ok() && !names_file_and_remedy(status, store.table(1))) {
        ++wrong;
        MESSAGE(what << ": " << status.message());
      }
      unfound += found.code() != StatusCode::kCorruption || !names_file_and_remedy(found, store.table(1));
    });
    CHECK(wrong == 0);
    CHECK(unfound == 0);
    CHECK(verify_table(posix_env(), store.table(1), FileNumber(1), nullptr).ok());
  };
  KeyModel model;
  for (int i = 0; i < 60; ++i) {
    model[model_key("key" + std::to_string(random() % 40), static_cast<std::uint64_t>(i + 1))] = {
        EntryKind::kPut, std::string(random() % 40, 'v')};
  }
  build_keys(store, 1, model, settings);
  check_all([&] { return read_keys(store, model); });

  std::vector<TestEvent> events = random_events(random, 24, 5);
  build_events(store, 1, events, 0, settings);
  check_all([&] { return read_events(store, events); });
}

TEST_CASE("another number, a newer version and a wrong magic have their own messages") {
  const TestStore store;
  KeyModel model;
  model[model_key("k", 1)] = {EntryKind::kPut, "v"};
  build_keys(store, 1, model, {});
  const std::string good = store.read(1);
  BlockCache cache(kCacheBytes);
  const auto open = [&](std::uint64_t number) {
    return KeyTable::open(posix_env(), store.table(number), FileNumber(number), cache).status();
  };
  store.write(2, good);
  CHECK(open(2).message().find("this is table 1 under the name of table 2") != std::string_view::npos);

  std::string newer = good;
  const std::size_t footer = newer.size() - kFooterBytes;
  newer[footer + 44] = 2;
  const std::uint64_t sum = checksum64(as_bytes(std::string_view(newer).substr(footer, 48)));
  std::memcpy(newer.data() + footer + 48, &sum, sizeof sum);
  store.write(1, newer);
  CHECK(open(1).code() == StatusCode::kUnsupported);
  CHECK(open(1).message().find("format version 2") != std::string_view::npos);

  std::string other = good;
  other.back() = 'x';
  store.write(1, other);
  CHECK(open(1).code() == StatusCode::kCorruption);
  CHECK(open(1).message().find("not an HDB table") != std::string_view::npos);

  store.write(1, good);
  CHECK(open(1).ok());
  CHECK(EventTable::open(posix_env(), store.table(1), FileNumber(1), cache).status().code() ==
        StatusCode::kInvalidArgument);
}

TEST_CASE("decoders take any bytes: an error, or something that can be walked") {
  const std::uint64_t seed = seed_of_test();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  BlockBuilder builder(4);
  for (int i = 0; i < 20; ++i) {
    Buffer value;
    append_varint(value, tag_of(SequenceNumber(random() % 1000), EntryKind::kPut));
    append_handle(value, {random() % 1000, 17});
    builder.add(as_bytes("key" + std::to_string(100 + i)), bytes_of(value));
  }
  EventBlockBuilder events;
  for (const TestEvent& event : random_events(random, 10, 5)) events.add(event.commit_time, event.view());
  Properties properties;
  properties.entry_count = 5;
  const std::vector<std::uint64_t> hashes = {1, 2, 3};
  EventBlockEntry entry = events.entry();
  const auto copy = [](ByteView bytes) { return Buffer(bytes.begin(), bytes.end()); };
  const std::vector<Buffer> seeds = {copy(builder.finish()), copy(events.finish()),
                                     encode_properties(properties, TableKind::kEvents), build_filter(hashes, 10),
                                     encode_event_index({entry})};
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    Buffer bytes = seeds[random() % seeds.size()];
    for (std::size_t edits = random() % 4; edits > 0; --edits) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random() % 3 == 0 ? 0xff : random());
    }
    if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
    const auto sorted = SortedBlock::decode(bytes, &check_key_index);
    if (sorted.ok()) {
      SortedBlock::Cursor cursor(sorted.value());
      std::size_t walked = 0;
      for (bool more = cursor.first(); more; more = cursor.next()) walked += handle_of(cursor.value()).bytes > 0;
      for (bool more = cursor.last(); more; more = cursor.previous()) walked += cursor.key().size();
      accepted += walked > 0;
    }
    const auto block = EventBlock::decode(bytes);
    if (block.ok()) {
      for (std::uint32_t row = 0; row < block->count(); ++row) {
        accepted +=
            block->record(row).payload().size() + static_cast<std::size_t>(block->commit_time(row) > Timestamp{});
      }
    }
    const auto filter = Filter::decode(bytes_of(bytes));
    if (filter.ok()) accepted += filter->may_contain(random());
    const auto index = decode_event_index(bytes_of(bytes), entry.count);
    refused += !sorted.ok() + !block.ok() + !filter.ok() + !index.ok() +
               !decode_properties(bytes_of(bytes), TableKind::kEvents).ok() +
               !decode_properties(bytes_of(bytes), TableKind::kKeys).ok();
  }
  CHECK(accepted > 0);
  CHECK(refused > 0);
}

TEST_CASE("the block cache stays within its bytes, what tables hold themselves included") {
  std::mt19937_64 random(23);
  BlockCache cache(1u << 20);
  const auto block = std::make_shared<const std::string>("block");
  for (std::uint64_t i = 0; i < 5000; ++i) {
    cache.insert({FileNumber(random() % 10), i * 100, 1}, block, random() % 20'000);
    if (cache.counters().bytes > cache.bytes_max()) FAIL("over the bound");
  }
  CHECK(cache.counters().bytes > (1u << 19));
  cache.insert({FileNumber(77), 5, 1}, block, 100);
  CHECK(cache.find({FileNumber(77), 5, 1}) == block);
  CHECK(cache.find({FileNumber(77), 5, 2}) == nullptr);
  {
    const BlockCache::Reservation reservation = cache.reserve(cache.bytes_max());
    for (std::uint64_t i = 0; i < 500; ++i) cache.insert({FileNumber(99), i, 1}, block, 100);
    CHECK(cache.counters().bytes == cache.bytes_max());
    CHECK(cache.find({FileNumber(77), 5, 1}) == nullptr);
  }
  CHECK(cache.counters().reserved_bytes == 0);
}

TEST_CASE("a scan that is told so leaves the cache to others") {
  std::mt19937_64 random(29);
  const TestStore store;
  const std::vector<TestEvent> events = random_events(random, 500, 10);
  build_events(store, 1, events, 0, {1u << 10, Compression::kZstd, 1, 10});
  BlockCache cache(kCacheBytes);
  const auto table = open_events(store, 1, cache);
  const std::uint64_t before = cache.counters().bytes;
  for (const bool fills : {false, true}) {
    EventTable::Scanner scanner(table, 0, 500, EventTable::Scanner::Direction::kAscending, {.fill_cache = fills});
    std::size_t count = 0;
    while (scanner.next().value()) ++count;
    CHECK(count == events.size());
    CHECK((cache.counters().bytes > before) == fills);
  }
}

TEST_CASE("the table cache holds no more tables open than it may, and refuses those the manifest does not mean") {
  const TestStore store;
  KeyModel model;
  model[model_key("k", 1)] = {EntryKind::kPut, "v"};
  std::vector<TableMeta> metas;
  for (std::uint64_t number = 1; number <= 40; ++number) metas.push_back(build_keys(store, number, model, {}));
  BlockCache blocks(kCacheBytes);
  TableCache tables(posix_env(), store.path(), 16, blocks);
  const auto held = tables.get_keys(metas[0]).value();
  for (const TableMeta& meta : metas) {
    CHECK(tables.get_keys(meta).ok());
    CHECK(tables.open_tables() <= 16);
  }
  CHECK(held->get(as_bytes("k"), SequenceNumber(1)).value().has_value());
  CHECK(tables.get_keys(metas[39]).value() == tables.get_keys(metas[39]).value());
  tables.evict(FileNumber(40));
  CHECK(tables.open_tables() == 15);
  TableMeta other = metas[5];
  other.entry_count = 2;
  tables.evict(other.number);
  CHECK(tables.get_keys(other).status().code() == StatusCode::kCorruption);
  TableMeta missing = metas[5];
  missing.number = FileNumber(1000);
  CHECK(tables.get_keys(missing).status().code() == StatusCode::kNotFound);
}

namespace {

// The text after "name":" up to the next quote; empty if absent.
std::string_view json_text(std::string_view line, std::string_view name) {
  const std::size_t at = line.find(name);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + name.size());
  return line.substr(0, line.find('"'));
}

std::vector<std::string> gzip_lines(const std::string& path) {
  std::string text;
  const gzFile file = gzopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  std::array<char, 1 << 16> chunk;
  for (int bytes = 0; (bytes = gzread(file, chunk.data(), chunk.size())) > 0;) {
    text.append(chunk.data(), static_cast<std::size_t>(bytes));
  }
  gzclose(file);
  std::vector<std::string> lines;
  for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(text.substr(begin, end - begin));
  }
  return lines;
}

}  // namespace

TEST_CASE("real security events take less than a fifth of their raw size, indexes included") {
  const char* const data = std::getenv("HDB_TEST_DATA");
  const std::filesystem::path folder = std::filesystem::path(data != nullptr ? data : "") / "zeek";
  const bool is_present = data != nullptr && std::filesystem::is_directory(folder);
  if (!is_present) {
    MESSAGE("skipped: no data in HDB_TEST_DATA");
    CHECK(!is_present);
    return;
  }
  const TestStore store;
  EventTableBuilder builder(store.create(1), FileNumber(1), {});
  std::uint64_t raw_bytes = 0;
  Position position = 0;
  std::set<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(folder)) files.insert(file.path());
  for (const std::filesystem::path& file : files) {
    for (const std::string& line : gzip_lines(file.string())) {
      raw_bytes += line.size() + 1;
      Event event;
      event.type = json_text(line, "\"_path\":\"");
      event.entity = json_text(line, "\"uid\":\"");
      event.host = json_text(line, "\"id.orig_h\":\"");
      event.format = "Zeek";
      event.payload = as_bytes(line);
      const std::string_view fraction = json_text(line, "\"ts\":\"2018-03-24T17:");  // "15:20.865716Z"
      REQUIRE(fraction.size() == 13);
      event.time = Timestamp(std::chrono::microseconds(
          1'521'911'700'000'000 + std::stol(std::string(fraction.substr(0, 2))) * 60'000'000 +
          std::stol(std::string(fraction.substr(3, 2))) * 1'000'000 + std::stol(std::string(fraction.substr(6, 6)))));
      const Buffer record = encode(event);
      REQUIRE(builder
                  .add(position, Timestamp(std::chrono::milliseconds(position / 1000)),
                       RecordView::trusted(bytes_of(record)))
                  .ok());
      ++position;
    }
  }
  const TableMeta meta = builder.finish().value();
  const double ratio = static_cast<double>(meta.file_bytes) / static_cast<double>(raw_bytes);
  MESSAGE("events: " << meta.entry_count << ", raw bytes: " << raw_bytes << ", table bytes: " << meta.file_bytes);
  CHECK(ratio < 0.2);
  CHECK(verify_table(posix_env(), store.table(1), FileNumber(1), &meta).ok());
}
