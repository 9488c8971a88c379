// The memtable against models: a std::map of changes, a plain scan of events.
#include "memtable/memtable.h"
#include "base/mutex.h"
#include "memtable/skip_list.h"
#include "tests/support/test_run.h"

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>

namespace hdb {
namespace {

std::string stored_key(std::uint32_t keyspace, std::string_view key) {
  std::string text(4, '\0');
  store_be32(reinterpret_cast<std::byte*>(text.data()), keyspace);
  return text.append(key);
}

struct ModelChange {
  EntryKind kind;
  std::string value;
};
struct EntryOrder {
  using Key = std::pair<std::string, std::uint64_t>;  // stored key, sequence
  bool operator()(const Key& a, const Key& b) const {
    return compare_entries(as_bytes(a.first), SequenceNumber(a.second), as_bytes(b.first), SequenceNumber(b.second)) <
           0;
  }
};
using Model = std::map<EntryOrder::Key, ModelChange, EntryOrder>;

// Owns what a batch of changes points at.
struct Changes {
  struct Change {
    std::uint32_t keyspace;
    std::string key;
    std::optional<std::string> value;
  };
  std::vector<Change> changes;

  EncodedBatch encode() const {
    std::vector<KeyValueChange> views;
    for (const Change& change : changes) {
      KeyValueChange view{.keyspace = Keyspace(change.keyspace), .key = as_bytes(change.key), .value = {}};
      if (change.value) view.value = as_bytes(*change.value);
      views.push_back(view);
    }
    return encode_batch({}, views, {});
  }
  void add_to(Model& model, std::uint64_t first_sequence) const {
    for (const Change& change : changes) {
      model[{stored_key(change.keyspace, change.key), first_sequence++}] = {
          change.value ? EntryKind::kPut : EntryKind::kErase, change.value.value_or("")};
    }
  }
};

// Keys that share prefixes, differ only in length or in zero bytes, and repeat.
std::string random_key(std::mt19937_64& random) {
  static constexpr std::string_view kLetters("\0ab\xff", 4);
  if (random() % 4 == 0) return "user/" + std::to_string(random() % 500);
  std::string key(random() % 14, 'x');
  for (std::size_t i = key.size() - std::min<std::size_t>(key.size(), 4); i < key.size(); ++i) {
    key[i] = kLetters[random() % kLetters.size()];
  }
  return key;
}

Changes random_changes(std::mt19937_64& random) {
  Changes batch;
  const std::size_t count = 1 + random() % 60;
  std::uint64_t ascending = random() % 1000;
  const bool is_ascending = random() % 2 == 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::string key = is_ascending ? "key" + std::to_string(100000 + ascending++) : random_key(random);
    std::optional<std::string> value;
    if (random() % 5 != 0) value = std::string(random() % 20, 'v');
    batch.changes.push_back({static_cast<std::uint32_t>(random() % 3), std::move(key), std::move(value)});
  }
  return batch;
}

bool same(const Entry& entry, const Model::value_type& expected) {
  return as_text(entry.key) == expected.first.first && entry.sequence.raw() == expected.first.second &&
         entry.kind == expected.second.kind && as_text(entry.value) == expected.second.value;
}

void check_walks(const MemTable& memtable, const Model& model) {
  const auto entries = memtable.entries();
  bool has_entry = entries->seek_to_first();
  std::size_t wrong = 0;
  for (const auto& expected : model) {
    REQUIRE(has_entry);
    if (!same(entries->entry(), expected)) ++wrong;
    has_entry = entries->next();
  }
  CHECK(!has_entry);
  has_entry = entries->seek_to_last();
  for (auto expected = model.rbegin(); expected != model.rend(); ++expected) {
    REQUIRE(has_entry);
    if (!same(entries->entry(), *expected)) ++wrong;
    has_entry = entries->previous();
  }
  CHECK(!has_entry);
  CHECK(wrong == 0);
}

TEST_CASE("changes come back in entry order, by seek and by version, as from a sorted map") {
  for (std::uint64_t seed = 1; seed <= test::scaled(20); ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    MemTable memtable(SequenceNumber(7), 0);
    Model model;
    std::uint64_t sequence = 7;
    for (int i = 0; i < 40; ++i) {
      const Changes batch = random_changes(random);
      const auto add = random() % 2 == 0 ? &MemTable::add : &MemTable::add_in_turn;
      (memtable.*add)(batch.encode(), SequenceNumber(sequence), 0, Timestamp{});
      batch.add_to(model, sequence);
      sequence += batch.changes.size();
    }
    CHECK(memtable.change_count() == model.size());
    check_walks(memtable, model);
    const auto entries = memtable.entries();
    std::size_t wrong = 0;
    for (int i = 0; i < 2000; ++i) {
      const bool is_bare = random() % 20 == 0;  // shorter than any stored key
      const std::string key = is_bare ? std::string(random() % 4, '\0') : stored_key(random() % 4, random_key(random));
      const std::uint64_t at = random() % (sequence + 2);
      const auto expected = model.lower_bound({key, at});
      const bool is_found = entries->seek(as_bytes(key), SequenceNumber(at));
      if (is_found != (expected != model.end()) || (is_found && !same(entries->entry(), *expected))) ++wrong;
      if (is_found && expected != model.begin()) {
        if (!entries->previous() || !same(entries->entry(), *std::prev(expected))) ++wrong;
      }
      const auto version = memtable.find(as_bytes(key), SequenceNumber(at));
      const bool has_version = expected != model.end() && expected->first.first == key;
      if (version.has_value() != has_version || (version && !same(*version, *expected))) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("about half of all changes are before the middle key, and of few exactly half") {
  CHECK(MemTable(SequenceNumber(1), 0).middle_key().empty());
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    MemTable memtable(SequenceNumber(1), 0);
    Model model;
    std::uint64_t sequence = 1;
    const std::size_t count = seed % 2 == 0 ? 1 + random() % 255 : 20'000;
    Changes batch;
    for (std::size_t i = 0; i < count; ++i) {
      batch.changes.push_back({0, random_key(random) + std::to_string(i), std::nullopt});
    }
    memtable.add(batch.encode(), SequenceNumber(sequence), 0, Timestamp{});
    batch.add_to(model, sequence);
    const std::string middle(as_text(memtable.middle_key()));
    const auto found =
        std::find_if(model.begin(), model.end(), [&](const auto& of) { return of.first.first == middle; });
    const auto before = static_cast<std::size_t>(std::distance(model.begin(), found));
    CAPTURE(count);
    if (count < 256) {
      CHECK(before == (count - 1) / 2);
    } else {
      CHECK(before > count / 3);
      CHECK(before < count * 2 / 3);
    }
  }
}

TEST_CASE("an empty memtable has nothing to find") {
  const MemTable memtable(SequenceNumber(1), 10);
  CHECK(memtable.is_empty());
  CHECK(!memtable.find(as_bytes("key"), SequenceNumber(9)));
  CHECK(!memtable.find_id(EventId::from_name("a", "b"), 100));
  const auto entries = memtable.entries();
  CHECK(!entries->seek_to_first());
  CHECK(!entries->seek_to_last());
  CHECK(!entries->seek(as_bytes(""), SequenceNumber(1)));
  CHECK(!entries->next());
  CHECK(!entries->previous());
  CHECK(memtable.candidates({}, 10, 10).empty());
}

TEST_CASE(
    "batches added by several threads, some of them in turn, are all there, and readers meanwhile see them whole and "
    "in "
    "order") {
  constexpr std::size_t kThreads = 4;
  constexpr std::size_t kBatches = 60;
  std::mt19937_64 random(3);
  MemTable memtable(SequenceNumber(1), 0);
  Model model;
  struct Planned {
    Changes batch;
    std::uint64_t sequence;
  };
  std::array<std::vector<Planned>, kThreads> plans;
  std::uint64_t sequence = 1;
  for (std::size_t i = 0; i < kThreads * kBatches; ++i) {
    Planned planned{random_changes(random), sequence};
    planned.batch.add_to(model, sequence);
    sequence += planned.batch.changes.size();
    plans[i % kThreads].push_back(std::move(planned));
  }
  std::atomic<bool> is_done = false;
  std::atomic<std::uint64_t> wrong = 0;
  const auto read = [&] {
    do {
      const auto entries = memtable.entries();
      std::string last;
      std::uint64_t last_sequence = 0;
      for (bool more = entries->seek_to_first(); more; more = entries->next()) {
        const Entry& entry = entries->entry();
        const bool is_ordered = last.empty() || compare_entries(as_bytes(last), SequenceNumber(last_sequence),
                                                                entry.key, entry.sequence) < 0;
        const auto expected = model.find({std::string(as_text(entry.key)), entry.sequence.raw()});
        if (!is_ordered || expected == model.end() || !same(entry, *expected)) ++wrong;
        last = as_text(entry.key);
        last_sequence = entry.sequence.raw();
      }
    } while (!is_done);
  };
  std::thread reader(read);
  std::vector<std::thread> writers;
  Mutex turn;
  for (std::size_t writer = 0; writer < kThreads; ++writer) {
    const bool takes_turns = writer % 2 == 0;
    writers.emplace_back([&memtable, &turn, &plan = plans[writer], takes_turns] {
      for (const Planned& planned : plan) {
        if (takes_turns) {
          const MutexLock lock(turn);
          memtable.add_in_turn(planned.batch.encode(), SequenceNumber(planned.sequence), 0, Timestamp{});
        } else {
          memtable.add(planned.batch.encode(), SequenceNumber(planned.sequence), 0, Timestamp{});
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  is_done = true;
  reader.join();
  CHECK(wrong == 0);
  CHECK(memtable.change_count() == model.size());
  check_walks(memtable, model);
}

// Owns what an event points at.
struct OwnedEvent {
  std::string type, entity, host, payload;
  std::vector<std::string> tags;
  std::optional<EventId> id;
  Timestamp time;
  Timestamp commit_time;  // of its batch
};

OwnedEvent random_event(std::mt19937_64& random) {
  OwnedEvent event;
  event.type = "type" + std::to_string(random() % 5);
  if (random() % 3 != 0) event.entity = "entity" + std::to_string(random() % 40);
  if (random() % 3 != 0) event.host = "host" + std::to_string(random() % 6);
  for (std::size_t i = random() % 4; i > 0; --i) event.tags.push_back("tag:" + std::to_string(random() % 30));
  event.time = Timestamp(std::chrono::nanoseconds(static_cast<std::int64_t>(random() % 1000)));
  if (random() % 3 == 0) event.id = EventId::from_name("test", std::to_string(random()));
  event.payload = std::to_string(random());
  return event;
}

EncodedBatch encode_events(std::span<const OwnedEvent> events) {
  std::vector<std::vector<std::string_view>> tags;
  for (const OwnedEvent& event : events) tags.emplace_back(event.tags.begin(), event.tags.end());
  std::vector<Event> views;
  for (std::size_t i = 0; i < events.size(); ++i) {
    Event view;
    view.id = events[i].id;
    view.time = events[i].time;
    view.type = events[i].type;
    view.entity = events[i].entity;
    view.host = events[i].host;
    view.tags = tags[i];
    view.payload = as_bytes(events[i].payload);
    views.push_back(view);
  }
  return encode_batch(views, {}, {});
}

// Adds batches of `events` from `first` until all are in.
void add_events(MemTable& memtable, std::vector<OwnedEvent>& events, Position first, std::mt19937_64& random) {
  std::int64_t commit_ns = 0;
  for (std::size_t begin = 0; begin < events.size();) {
    const std::size_t count = std::min<std::size_t>(1 + random() % 700, events.size() - begin);
    const Timestamp commit_time(std::chrono::nanoseconds(++commit_ns));
    for (std::size_t i = begin; i < begin + count; ++i) events[i].commit_time = commit_time;
    memtable.add(encode_events(std::span(events).subspan(begin, count)), SequenceNumber(1 + begin), first + begin,
                 commit_time);
    begin += count;
  }
}

bool has_tag(const OwnedEvent& event, std::uint32_t hash) {
  return std::any_of(event.tags.begin(), event.tags.end(),
                     [hash](const std::string& tag) { return column_hash(tag) == hash; });
}
bool is_any(const std::vector<std::uint32_t>& wanted, std::string_view text) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), column_hash(text)) != wanted.end();
}
bool matches(const OwnedEvent& event, const ColumnFilter& filter) {
  const auto has = [&event](std::uint32_t hash) { return has_tag(event, hash); };
  return is_any(filter.types, event.type) && is_any(filter.entities, event.entity) &&
         is_any(filter.hosts, event.host) && filter.time.contains(event.time) &&
         filter.commit_time.contains(event.commit_time) &&
         std::all_of(filter.tags_all.begin(), filter.tags_all.end(), has) &&
         (filter.tags_any.empty() || std::any_of(filter.tags_any.begin(), filter.tags_any.end(), has));
}

std::vector<std::uint32_t> random_hashes(std::mt19937_64& random, const std::string& prefix, std::size_t kinds,
                                         std::size_t count_max) {
  std::vector<std::uint32_t> hashes;
  if (random() % 2 == 0) return hashes;
  for (std::size_t i = random() % count_max + 1; i > 0; --i) {
    hashes.push_back(column_hash(prefix + std::to_string(random() % kinds)));
  }
  return hashes;
}

TimeRange random_range(std::mt19937_64& random, std::uint64_t end) {
  TimeRange range;
  const auto moment = [&] { return Timestamp(std::chrono::nanoseconds(static_cast<std::int64_t>(random() % end))); };
  if (random() % 3 == 0) range.from = moment();
  if (random() % 3 == 0) range.to = moment();
  if (random() % 50 == 0) range.to = Timestamp::min();
  return range;
}

TEST_CASE("candidates are the events a scan finds by the same hashes, for any filter and range") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    constexpr Position kFirst = 1'000'000'000'123;
    MemTable memtable(SequenceNumber(1), kFirst);
    std::vector<OwnedEvent> events(2 * EventColumns::kChunkEvents + random() % 3000);
    for (OwnedEvent& event : events) event = random_event(random);
    add_events(memtable, events, kFirst, random);
    for (int i = 0; i < 60; ++i) {
      ColumnFilter filter;
      filter.types = random_hashes(random, "type", 6, 2);
      filter.entities = random_hashes(random, "entity", 50, 30);
      filter.hosts = random_hashes(random, "host", 7, 3);
      filter.tags_any = random_hashes(random, "tag:", 40, 5);
      filter.tags_all = random_hashes(random, "tag:", 40, 2);
      filter.time = random_range(random, 1000);
      filter.commit_time = random_range(random, 60);
      const std::size_t begin = random() % 3 == 0 ? 0 : random() % events.size();
      const std::size_t end = random() % 3 == 0 ? events.size() : begin + random() % (events.size() - begin + 1);
      std::vector<std::uint32_t> expected;
      for (std::size_t at = begin; at < end; ++at) {
        if (matches(events[at], filter)) expected.push_back(static_cast<std::uint32_t>(at));
      }
      CHECK(memtable.candidates(filter, kFirst + begin, kFirst + end).to_vector() == expected);
    }
  }
}

TEST_CASE("events are found by position across chunk edges, and by a caller's id") {
  std::mt19937_64 random(11);
  constexpr Position kFirst = 77;
  MemTable memtable(SequenceNumber(1), kFirst);
  std::vector<OwnedEvent> events(5 * EventColumns::kChunkEvents + 17);
  for (OwnedEvent& event : events) event = random_event(random);
  add_events(memtable, events, kFirst, random);
  CHECK(memtable.event_count() == events.size());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Position position = kFirst + i;
    const StoredRecord stored = memtable.event(position);
    if (as_text(stored.record.payload()) != events[i].payload || stored.commit_time != events[i].commit_time ||
        stored.record.text(TextField::kEntity) != events[i].entity ||
        stored.record.tag_count() != events[i].tags.size()) {
      ++wrong;
    }
    const EventId id = stored.record.id(position);
    const auto found = memtable.find_id(id, kFirst + events.size());
    if (found != (events[i].id ? std::optional(position) : std::nullopt)) ++wrong;
    if (memtable.find_id(id, position)) ++wrong;  // not below itself
  }
  CHECK(wrong == 0);
}

TEST_CASE("an id that is there twice is found at its first position below the end") {
  std::mt19937_64 random(12);
  MemTable memtable(SequenceNumber(1), 0);
  std::vector<OwnedEvent> events(3);
  for (OwnedEvent& event : events) event = random_event(random);
  events[1].id = events[2].id = EventId::from_name("test", "twice");
  events[0].id.reset();
  add_events(memtable, events, 0, random);
  CHECK(memtable.find_id(*events[1].id, 3) == Position{1});
  CHECK(memtable.find_id(*events[1].id, 2) == Position{1});
  CHECK(!memtable.find_id(*events[1].id, 1));
}

TEST_CASE("events added by several threads can be read once published, while others are still being added") {
  constexpr std::size_t kThreads = 3;
  constexpr std::size_t kBatchEvents = 150;  // no divisor of a chunk: batches share chunks and cross their edges
  constexpr std::size_t kBatches = 90;
  std::mt19937_64 random(5);
  std::vector<OwnedEvent> events(kBatches * kBatchEvents);
  for (OwnedEvent& event : events) event = random_event(random);
  MemTable memtable(SequenceNumber(1), 0);
  std::atomic<std::size_t> next_batch = 0;
  std::atomic<std::size_t> published = 0;  // batches; release by the writer that moves it, acquire by the reader
  std::vector<std::thread> writers;
  for (std::size_t i = 0; i < kThreads; ++i) {
    writers.emplace_back([&] {
      for (std::size_t batch = next_batch++; batch < kBatches; batch = next_batch++) {
        const std::size_t first = batch * kBatchEvents;
        memtable.add(encode_events(std::span(events).subspan(first, kBatchEvents)), SequenceNumber(1 + first), first,
                     Timestamp{});
        while (published.load(std::memory_order_acquire) != batch) std::this_thread::yield();
        published.store(batch + 1, std::memory_order_release);
      }
    });
  }
  ColumnFilter filter;
  filter.types = {column_hash("type1")};
  filter.tags_any = {column_hash("tag:1"), column_hash("tag:2")};
  std::size_t wrong = 0;
  for (std::size_t end = 0; end < events.size();) {
    const std::size_t before = end;
    end = published.load(std::memory_order_acquire) * kBatchEvents;
    for (std::size_t at = before; at < end; ++at) {
      if (as_text(memtable.event(at).record.payload()) != events[at].payload) ++wrong;
      if (events[at].id && memtable.find_id(*events[at].id, end) != Position{at}) ++wrong;
    }
    std::vector<std::uint32_t> expected;
    for (std::size_t at = before; at < end; ++at) {
      if (matches(events[at], filter)) expected.push_back(static_cast<std::uint32_t>(at));
    }
    if (memtable.candidates(filter, before, end).to_vector() != expected) ++wrong;
    std::this_thread::yield();
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(wrong == 0);
  CHECK(memtable.event_count() == events.size());
}

TEST_CASE("a key that is there is found at every moment, while others are added just before it") {
  struct Number {
    using Probe = std::uint64_t;
    std::uint64_t value;
    const std::function<void()>* compared;  // called when it is compared
    Probe probe() const { return value; }
    int compare(Probe other) const {
      if (compared != nullptr) (*compared)();
      return value < other ? -1 : value > other ? 1 : 0;
    }
  };
  constexpr std::uint64_t kSought = 1'000'000;
  Arena arena;
  SkipList<Number> list(arena);
  SkipList<Number>::Inserter inserter(list);
  TowerHeights heights(1);
  std::uint64_t added = 0;
  bool may_add = false;
  // On the lowest level only, it is what a search compares last: what is added then, the search has passed by.
  const std::function<void()> add_before = [&] {
    if (!std::exchange(may_add, false)) return;
    const int height = heights.next();
    inserter.insert({++added, nullptr}, height, arena.allocate(SkipList<Number>::node_bytes(height)));
    may_add = added % 3 != 0;
  };
  inserter.insert({kSought, &add_before}, 1, arena.allocate(SkipList<Number>::node_bytes(1)));
  std::uint64_t missed = 0;
  for (int search = 0; search < 1000; ++search) {
    may_add = true;
    const auto* const node = list.first_at_or_after(kSought);
    if (node == nullptr || node->item().value != kSought) ++missed;
  }
  CHECK(added >= 1000);
  CHECK(missed == 0);
}

TEST_CASE("bytes grow by at least what was added") {
  std::mt19937_64 random(6);
  MemTable memtable(SequenceNumber(1), 0);
  std::uint64_t sequence = 1;
  for (int i = 0; i < 50; ++i) {
    const std::uint64_t before = memtable.bytes();
    const Changes changes = random_changes(random);
    EncodedBatch batch = changes.encode();
    const std::size_t batch_bytes = batch.bytes().size();
    memtable.add(std::move(batch), SequenceNumber(sequence), 0, Timestamp{});
    sequence += changes.changes.size();
    CHECK(memtable.bytes() >= before + batch_bytes + 32 * changes.changes.size());
  }
  std::vector<OwnedEvent> events(100);
  for (OwnedEvent& event : events) event = random_event(random);
  const std::uint64_t before = memtable.bytes();
  EncodedBatch batch = encode_events(events);
  const std::size_t batch_bytes = batch.bytes().size();
  memtable.add(std::move(batch), SequenceNumber(sequence), 0, Timestamp{});
  CHECK(memtable.bytes() >= before + batch_bytes + 100 * EventColumns::kBytesPerEvent);
}

TEST_CASE("pieces of an arena are aligned, apart from each other, and stay where they are") {
  Arena arena;
  constexpr std::size_t kThreads = 3;
  struct Piece {
    std::byte* memory;
    std::size_t bytes;
    std::byte mark;
  };
  std::array<std::vector<Piece>, kThreads> pieces;
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&arena, &mine = pieces[thread], thread] {
      std::mt19937_64 random(thread);
      for (int i = 0; i < 1500; ++i) {
        const std::size_t bytes = random() % 500 == 0 ? 700'000 : 1 + random() % 3000;
        const Piece piece{arena.allocate(bytes), bytes, static_cast<std::byte>(random())};
        std::fill_n(piece.memory, bytes, piece.mark);
        mine.push_back(piece);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::size_t wrong = 0;
  for (const auto& of_thread : pieces) {
    for (const Piece& piece : of_thread) {
      if (reinterpret_cast<std::uintptr_t>(piece.memory) % 8 != 0) ++wrong;
      const auto is_marked = [&piece](std::byte byte) { return byte == piece.mark; };
      if (!std::all_of(piece.memory, piece.memory + piece.bytes, is_marked)) ++wrong;
    }
  }
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace hdb
