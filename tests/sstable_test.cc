#include <doctest/doctest.h>

#include <zlib.h>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "sstable/attribute_index_builder.h"
#include "sstable/event_block.h"
#include "sstable/event_table_builder.h"
#include "sstable/filter.h"
#include "sstable/key_table_builder.h"
#include "sstable/table_cache.h"
#include "sstable/verify.h"
#include "tests/support/tables.h"
#include "tests/support/test_run.h"

using namespace hdb;
using namespace hdb::sstable;
using hdb::test::scaled;
using hdb::test::test_seed;

namespace {

bool is_entry(const Entry& entry, const KeyModel::value_type& expected) {
  return as_text(entry.key) == expected.first.first && entry.sequence.raw() == ~expected.first.second &&
         entry.kind == expected.second.kind && as_text(entry.value) == expected.second.value;
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

// Of few letters, so that many begin alike: short and long ones, with zeros in them or at their ends.
std::string random_term(std::mt19937_64& random) {
  constexpr std::array kLetters = {'\0', 'a', '\xff'};
  std::string term(random() % 2 == 0 ? 1 + random() % 4 : 15 + random() % 40, 'a');
  for (char& letter : term) {
    if (random() % 8 == 0) letter = kLetters[random() % kLetters.size()];
  }
  return term;
}

}  // namespace

TEST_CASE("a table of keys gives back every version, in order both ways, and by key as of any sequence") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TableFolder tables;
  for (const TableSettings& settings : all_settings()) {
    BlockCache cache(kCacheBytes);
    const KeyModel model = random_keys(random, 1 + random() % 2500);
    const TableMeta meta = build_keys(tables, 1, model, settings);
    CHECK(meta.entry_count == model.size());
    CHECK(as_text(bytes_of(meta.smallest_key)) == model.begin()->first.first);
    CHECK(as_text(bytes_of(meta.largest_key)) == model.rbegin()->first.first);
    CHECK(verify_table(posix_env(), tables.table(1), FileNumber(1), &meta).ok());
    const auto table = open_keys(tables, 1, cache);
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
  const TableFolder tables;
  KeyModel model;
  model[model_key("k", 3)] = {EntryKind::kPut, "value"};
  build_keys(tables, 1, model, {});
  std::optional<PinnedEntry> found;
  {
    BlockCache cache(0);
    found = open_keys(tables, 1, cache)->get(as_bytes("k"), SequenceNumber(9)).value();
  }
  REQUIRE(found.has_value());
  CHECK(as_text(found->entry.value) == "value");
}

TEST_CASE("builders refuse entries and events that are out of order") {
  const TableFolder tables;
  KeyTableBuilder keys(tables.create(1), FileNumber(1), {});
  CHECK(keys.add({as_bytes("b"), SequenceNumber(5), EntryKind::kPut, {}}).ok());
  CHECK(keys.add({as_bytes("b"), SequenceNumber(4), EntryKind::kPut, {}}).ok());
  CHECK(keys.add({as_bytes("b"), SequenceNumber(4), EntryKind::kPut, {}}).code() == StatusCode::kCorruption);
  CHECK(keys.add({as_bytes("a"), SequenceNumber(9), EntryKind::kPut, {}}).code() == StatusCode::kCorruption);
  const Buffer record = encode({});
  const RecordView view = RecordView::trusted(bytes_of(record));
  EventTableBuilder events(tables.create(2), FileNumber(2), {});
  CHECK(events.add(7, Timestamp(std::chrono::seconds(5)), view).ok());
  CHECK(events.add(9, Timestamp(std::chrono::seconds(5)), view).code() == StatusCode::kCorruption);
  CHECK(events.add(8, Timestamp(std::chrono::seconds(4)), view).code() == StatusCode::kCorruption);
}

TEST_CASE("a table of events gives back every event, by position and in both directions") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TableFolder tables;
  for (const TableSettings& settings : all_settings()) {
    BlockCache cache(kCacheBytes);
    const std::vector<TestEvent> events = random_events(random, 1 + random() % 2000, 30);
    const Position begin = random() % 1'000'000;
    const TableMeta meta = build_events(tables, 1, events, begin, settings);
    CHECK(meta.position_begin == begin);
    CHECK(meta.position_end == begin + events.size());
    CHECK(verify_table(posix_env(), tables.table(1), FileNumber(1), &meta).ok());
    const auto table = open_events(tables, 1, cache);
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
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TableFolder tables;
  for (const std::size_t entities : {std::size_t{40}, std::size_t{100'000}}) {
    BlockCache cache(kCacheBytes);
    const std::vector<TestEvent> events = random_events(random, 6000, entities);
    build_events(tables, 1, events, 1000, {4u << 10, Compression::kZstd, 1, 10});
    const auto table = open_events(tables, 1, cache);
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

TEST_CASE("gathered terms come back in order with their positions, those of one fingerprint together") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (std::size_t run = scaled(20); run > 0; --run) {
    TermTable terms;
    std::map<std::string, std::set<std::uint32_t>> model;
    std::uint32_t position = 0;
    for (std::uint64_t left = random() % 3000; left > 0; --left) {
      position += random() % 3 == 0 ? 0 : 1;
      const std::string term = random_term(random);
      terms.add(term, terms.prepare(term), position);
      model[term].insert(position);
    }
    std::map<Buffer, std::set<std::uint32_t>> by_fingerprint;
    std::map<Buffer, std::set<std::uint32_t>> by_text;
    for (const auto& [term, positions] : model) {
      by_fingerprint[fingerprint_of(hash64(as_bytes(term)), 1)].insert(positions.begin(), positions.end());
      by_text[Buffer(as_bytes(term).begin(), as_bytes(term).end())] = positions;
    }
    const auto check_same = [&](TermForm form, const auto& expected) {
      auto next = expected.begin();
      const Status visited = terms.for_each(form, 1, [&](ByteView key, std::span<const std::uint32_t> positions) {
        REQUIRE(next != expected.end());
        CHECK(equal_bytes(key, bytes_of(next->first)));
        CHECK(std::equal(positions.begin(), positions.end(), next->second.begin(), next->second.end()));
        ++next;
        return Status();
      });
      CHECK(visited.ok());
      CHECK(next == expected.end());
    };
    check_same(TermForm::kText, by_text);
    check_same(TermForm::kFingerprint, by_fingerprint);
    CHECK(terms.terms() == model.size());
  }
}

TEST_CASE("zone maps never miss an event, and leave out blocks that are elsewhere") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TableFolder tables;
  BlockCache cache(kCacheBytes);
  const std::vector<TestEvent> events = random_events(random, 2000, 10);
  const TableMeta meta = build_events(tables, 1, events, 0, {1u << 10, Compression::kNone, 1, 0});
  const auto table = open_events(tables, 1, cache);
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
  const TableFolder tables;
  for (const std::uint32_t filter_bits : {0u, 10u}) {
    BlockCache cache(kCacheBytes);
    const std::vector<TestEvent> events = random_events(random, 3000, 10);
    build_events(tables, 1, events, 500, {4u << 10, Compression::kZstd, 1, filter_bits});
    const auto table = open_events(tables, 1, cache);
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
  const TableFolder tables;
  const std::vector<TestEvent> events = random_events(random, 500, 10);
  build_events(tables, 1, events, 0, {1u << 10, Compression::kZstd, 1, 10});
  BlockCache cache(kCacheBytes);
  const auto table = open_events(tables, 1, cache);
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
  const TableFolder folder;
  KeyModel model;
  model[model_key("k", 1)] = {EntryKind::kPut, "v"};
  std::vector<TableMeta> metas;
  for (std::uint64_t number = 1; number <= 40; ++number) metas.push_back(build_keys(folder, number, model, {}));
  BlockCache blocks(kCacheBytes);
  TableCache tables(posix_env(), folder.path(), 16, blocks);
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
  if (data == nullptr || !std::filesystem::is_directory(folder)) return test::skip("no shared/data in HDB_TEST_DATA");
  const TableFolder tables;
  EventTableBuilder builder(tables.create(1), FileNumber(1), {});
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
  CHECK(verify_table(posix_env(), tables.table(1), FileNumber(1), &meta).ok());
}
