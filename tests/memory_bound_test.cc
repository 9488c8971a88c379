// How much memory the engine takes, measured at operator new: with damaged files, where lengths and counts lie, and
// while the disk is slow.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <unistd.h>

#include "base/batch.h"
#include "base/postings.h"
#include "compaction/manifest_format.h"
#include "io/file_name.h"
#include "sstable/event_block.h"
#include "sstable/filter.h"
#include "sstable/format.h"
#include "sstable/sorted_block.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/gated_env.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_store.h"
#include "tools/dump/dump.h"
#include "tools/dump/salvage.h"
#include "wal/format.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kFileBytesMax = 64u << 20;
constexpr std::uint64_t kDamageSlackBytes = 64u << 20;
constexpr std::uint64_t kDecoderSlackBytes = 64u << 10;

using Files = std::vector<std::pair<std::string, Buffer>>;

std::uint64_t bytes_in(const Files& files) {
  std::uint64_t bytes = 0;
  for (const auto& [path, content] : files) bytes += content.size();
  return bytes;
}

// A store of a killed process: events and keys in merged tables, in tables of level 0 and in the log.
Files make_files() {
  MemoryEnv env;
  Options options = shrunk(presets::durable());
  std::mt19937_64 random(5);
  const TestStore store = open_store(env, "store", options, 7).value();
  const Keyspace keyspace = store->keyspace("keys").value();
  const auto append_some = [&](int batches) {
    for (; batches > 0; --batches) {
      ModelBatch batch = random_batch(random, std::vector<Keyspace>{keyspace}, 5);
      batch.events.push_back(random_event(random));
      for (OwnedEvent& event : batch.events) event.payload.resize(std::min<std::size_t>(event.payload.size(), 50));
      REQUIRE(append(*store.engine, batch, Durability::kNone).ok());
    }
  };
  append_some(6);
  REQUIRE(store->compact().ok());
  append_some(3);
  REQUIRE(store->flush().ok());
  append_some(3);
  Files files;
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    const std::vector<std::string> names = env.list(directory).value();
    for (const std::string& name : names) {
      auto content = read_file(env, directory + "/" + name, kFileBytesMax);
      if (!content.ok()) continue;  // a directory
      while (name.ends_with(".wal") && content->size() > 64 && content->back() == std::byte{0}) content->pop_back();
      files.emplace_back(directory + "/" + name, std::move(content).value());
    }
  }
  return files;
}

void write_files(Env& env, const Files& files) {
  for (const std::string directory : {"store", "store/wal", "store/sstables"}) {
    REQUIRE(env.create_directory(directory).ok());
  }
  for (const auto& [path, content] : files) REQUIRE(replace_file(env, path, bytes_of(content)).ok());
}

// Every answer there is; errors are as good here.
void read_all(Engine& engine) {
  const auto walk = [](auto cursor) {
    if (!cursor.ok()) return;
    while (true) {
      const auto next = cursor->next();
      if (!next.ok() || !next.value()) return;
    }
  };
  Query by_tag;
  by_tag.tags_any = {"tag1", "tag2", "tag3"};
  walk(engine.query(Query{}));
  walk(engine.query(by_tag));
  for (const auto& [name, keyspace] : engine.keyspaces()) walk(engine.scan(keyspace, KeyRange{}));
  for (Position position = 0; position < 100; position += 7) {
    const auto event = engine.get(position);
    if (event.ok() && event.value()) ignore(engine.get(event.value()->id()).status(), "errors are as good here");
  }
}

// What opening, reading and verifying the files, and dumping the damaged one, takes at most.
std::uint64_t peak_of(const Files& files, const std::string& damaged) {
  MemoryEnv opened_env;
  MemoryEnv verified_env;
  write_files(opened_env, files);
  write_files(verified_env, files);
  const PeakMemory peak;
  {
    auto store = open_store(opened_env, "store", shrunk(presets::durable()), 8, OpenMode::kOpen);
    if (store.ok()) read_all(*store->engine);
  }
  ignore(dump::verify_store(verified_env, "store", [](std::string_view) {}).status(), "errors are as good here");
  ignore(dump::dump_file(verified_env, damaged, {}, [](std::string_view) {}), "errors are as good here");
  // Without a copy, which would be in memory as well.
  ignore(dump::salvage_store(verified_env, "store", {}, [](std::string_view) {}).status(), "errors are as good here");
  return peak.bytes();
}

// Calls try_one(content, what) for damage at each place of `whole`: a bit, or a field of some size that claims the
// most.
void for_each_damage(const Buffer& whole, std::mt19937_64& random, std::size_t one_in,
                     const std::function<void(Buffer, const std::string&)>& try_one) {
  for (std::size_t at = 0; at < whole.size(); ++at) {
    if (random() % one_in != 0) continue;
    Buffer flipped = whole;
    flipped[at] ^= static_cast<std::byte>(1u << random() % 8);
    try_one(std::move(flipped), "a bit of byte " + std::to_string(at));
    for (const std::size_t bytes : {1u, 2u, 4u, 8u, 10u}) {
      if (at + bytes > whole.size()) break;
      Buffer most = whole;
      std::fill_n(most.begin() + static_cast<std::ptrdiff_t>(at), bytes, std::byte{0xff});
      try_one(std::move(most), std::to_string(bytes) + " bytes 0xff at " + std::to_string(at));
    }
    try_one(Buffer(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(at)), "cut to " + std::to_string(at));
  }
}

// A decoder, what it decodes, and a call of it.
struct Decoder {
  std::string name;
  Buffer good;
  std::function<bool(const Buffer&)> decodes;
};

Buffer copy_of(ByteView bytes) {
  return Buffer(bytes.begin(), bytes.end());
}

// What stands behind the checksums: each takes bytes that nothing has checked.
std::vector<Decoder> all_decoders() {
  std::mt19937_64 random(3);
  std::vector<OwnedEvent> owned;
  for (int event = 0; event < 10; ++event) {
    owned.push_back(random_event(random));
    owned.back().payload.resize(std::min<std::size_t>(owned.back().payload.size(), 60));
  }
  std::vector<Event> events;
  for (const OwnedEvent& event : owned) events.push_back(event.view());
  const KeyValueChange change{Keyspace(1), as_bytes("a key"), as_bytes("a value")};
  const EncodedBatch batch = encode_batch(events, {&change, 1}, {{Timestamp{}, 1}});

  sstable::BlockBuilder sorted(4);
  for (int key = 0; key < 20; ++key) sorted.add(as_bytes("key" + std::to_string(100 + key)), as_bytes("value"));
  sstable::EventBlockBuilder block;
  Buffer record;
  for (const Event& event : events) {
    record.resize(record_bytes(event));
    encode_record(event, {Timestamp{}, 1}, record.data());
    block.add(Timestamp{}, RecordView::trusted(bytes_of(record)));
  }
  const sstable::EventBlockEntry entry = block.entry();
  sstable::Properties properties;
  properties.entry_count = 5;
  std::vector<std::uint64_t> hashes(100);
  for (std::uint64_t& hash : hashes) hash = random();
  std::vector<std::uint32_t> positions(3000);
  for (std::uint32_t& position : positions) position = static_cast<std::uint32_t>(random() % 100'000);
  Buffer few;
  PositionSet::of(std::span(positions).first(8)).encode(few);
  Buffer many;
  PositionSet::of(positions).encode(many);
  compaction::VersionEdit edit;
  edit.epoch = Epoch(3);
  edit.keyspaces.push_back({1, "keys"});
  sstable::TableMeta meta;
  meta.number = FileNumber(7);
  meta.kind = sstable::TableKind::kKeys;
  meta.smallest_key = copy_of(as_bytes("a"));
  meta.largest_key = copy_of(as_bytes("z"));
  edit.added.push_back({0, std::make_shared<const sstable::TableMeta>(meta)});
  wal::GroupHeader header{};
  header.epoch = Epoch(1);
  const wal::GroupPlace place{9, {SegmentNumber(1), 4096}};
  const ByteView batches[] = {batch.bytes()};
  Buffer scratch;
  const auto group_header = wal::encode_group_header(header, batches, place, scratch);
  Buffer group(group_header.begin(), group_header.end());
  hdb::append(group, batch.bytes());

  constexpr auto kEvents = sstable::TableKind::kEvents;
  return {
      {"record", record, [](const Buffer& bytes) { return RecordView::decode(bytes_of(bytes)).ok(); }},
      {"batch", copy_of(batch.bytes()), [](const Buffer& bytes) { return BatchView::decode(bytes_of(bytes)).ok(); }},
      {"sorted block", copy_of(sorted.finish()),
       [](const Buffer& bytes) { return sstable::SortedBlock::decode(bytes).ok(); }},
      {"event block", copy_of(block.finish()),
       [](const Buffer& bytes) { return sstable::EventBlock::decode(bytes).ok(); }},
      {"event index", sstable::encode_event_index({entry}),
       [entry](const Buffer& bytes) {
         return sstable::decode_event_index(bytes_of(bytes), entry.count, entry.handle.end()).ok();
       }},
      {"properties", sstable::encode_properties(properties, kEvents),
       [](const Buffer& bytes) { return sstable::decode_properties(bytes_of(bytes), kEvents).ok(); }},
      {"filter", sstable::build_filter(hashes, 10),
       [](const Buffer& bytes) { return sstable::Filter::decode(bytes_of(bytes)).ok(); }},
      {"few positions", few, [](const Buffer& bytes) { return PositionSet::decode(bytes_of(bytes)).ok(); }},
      {"many positions", many, [](const Buffer& bytes) { return PositionSet::decode(bytes_of(bytes)).ok(); }},
      {"version edit", compaction::encode_edit(edit),
       [](const Buffer& bytes) { return compaction::decode_edit(bytes_of(bytes)).ok(); }},
      {"log group", group,
       [place](const Buffer& bytes) {
         const bool is_whole = bytes.size() >= wal::kGroupHeaderBytes;
         return is_whole && wal::stated_group_bytes(bytes_of(bytes), bytes.size(), place).ok() &&
                wal::split_group(bytes_of(bytes), Epoch(1), place).ok();
       }},
  };
}

std::unique_ptr<Engine> open_engine(Env& env, const std::string& directory, const Options& options) {
  auto engine = open_with_threads(env, directory, options);
  REQUIRE_MESSAGE(engine.ok(), engine.status().message());
  return std::move(engine).value();
}

constexpr std::size_t kWriters = 4;
constexpr std::size_t kPayloadBytes = 2000;
constexpr std::size_t kBatchEvents = 8;
constexpr std::uint64_t kBatchBytes = kBatchEvents * (kPayloadBytes + 500);  // in a memtable

// Four threads that append without a pause.
class Writers {
 public:
  explicit Writers(Engine& engine) {
    for (std::size_t writer = 0; writer < kWriters; ++writer) {
      threads_.emplace_back([this, &engine, writer] { write(engine, writer); });
    }
  }
  ~Writers() { finish(); }
  void finish() {
    is_over_.store(true);
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  std::uint64_t bytes() const { return bytes_.load(); }
  std::uint64_t failed() const { return failed_.load(); }

 private:
  void write(Engine& engine, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    const Keyspace keyspace = engine.keyspace("keys").value();
    while (!is_over_.load()) {
      std::string payload(kPayloadBytes, '\0');
      std::generate(payload.begin(), payload.end(), [&random] { return static_cast<char>(random()); });
      const std::string entity = "entity" + std::to_string(random() % 1000);
      const std::string key = std::to_string(random() % 100'000);
      const std::string_view tags[] = {"a tag", "another"};
      const std::vector<Event> events(kBatchEvents,
                                      {.type = "t", .entity = entity, .tags = tags, .payload = as_bytes(payload)});
      const KeyValueChange change{keyspace, as_bytes(key), as_bytes("value")};
      const Batch batch{.events = events, .changes = {&change, 1}, .durability = Durability::kNone};
      const bool is_taken = engine.append(batch).ok();
      failed_ += !is_taken;
      bytes_ += kBatchEvents * kPayloadBytes;
    }
  }

  std::atomic<bool> is_over_{false};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE(
    "a damaged store takes no more memory than twice its bytes and 64 MiB to open, read, verify, dump and salvage") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const Files whole = make_files();
  const std::uint64_t undamaged = peak_of(whole, whole[0].first);
  std::uint64_t highest = 0;
  std::size_t tried = 0;
  const std::size_t one_in = std::max<std::size_t>(1, 400 / scaled(16));
  for (std::size_t file = 0; file < whole.size(); ++file) {
    for_each_damage(whole[file].second, random, one_in, [&](Buffer content, const std::string& what) {
      Files files = whole;
      files[file].second = std::move(content);
      const std::uint64_t peak = peak_of(files, files[file].first);
      CHECK_MESSAGE(peak <= 2 * bytes_in(files) + kDamageSlackBytes, files[file].first, ", ", what, ": ", peak);
      highest = std::max(highest, peak);
      ++tried;
    });
  }
  CHECK(tried > 100);
  std::printf("memory of %zu damaged stores of %llu bytes: at most %llu bytes; undamaged %llu; bound %llu\n", tried,
              static_cast<unsigned long long>(bytes_in(whole)), static_cast<unsigned long long>(highest),
              static_cast<unsigned long long>(undamaged),
              static_cast<unsigned long long>(2 * bytes_in(whole) + kDamageSlackBytes));
}

TEST_CASE("a decoder takes no more memory than twice its bytes and 64 KiB, whatever lengths and counts they state") {
  std::mt19937_64 random(1);
  std::uint64_t highest = 0;
  std::size_t tried = 0;
  for (const Decoder& decoder : all_decoders()) {
    CAPTURE(decoder.name);
    CHECK(decoder.decodes(decoder.good));
    std::size_t refused = 0;
    for_each_damage(decoder.good, random, 1, [&](Buffer content, const std::string& what) {
      const PeakMemory peak;
      refused += !decoder.decodes(content);
      const std::uint64_t bytes = peak.bytes();
      CHECK_MESSAGE(bytes <= 2 * content.size() + kDecoderSlackBytes, what, ": ", bytes);
      highest = std::max(highest, bytes);
      ++tried;
    });
    CHECK(refused > 0);
  }
  std::printf("memory of %zu damaged inputs of decoders: at most %llu bytes\n", tried,
              static_cast<unsigned long long>(highest));
}

TEST_CASE("memory for what is not flushed stays within its bound, however slow the disk") {
  const TemporaryDirectory folder;
  GatedEnv env(posix_env());
  env.hold(Gate::kTables);
  Options options = presets::balanced();
  options.memtable_bytes = 4u << 20;
  options.sealed_memtables_max = 2;
  options.block_cache_bytes = 1u << 20;
  options.log_segment_bytes = 4u << 20;
  options.background_threads = 1;
  const auto engine = open_engine(env, folder.store(), options);
  // Each memtable takes what was let through together when it became full.
  const std::uint64_t memtables_max =
      (options.memtable_bytes + kWriters * kBatchBytes) * (1 + options.sealed_memtables_max);
  std::uint64_t highest = 0;
  const PeakMemory peak;
  {
    Writers writers(*engine);
    const auto memtable_bytes = [&] {
      const std::uint64_t now = engine->stats().memtable_bytes;
      highest = std::max(highest, now);
      return now;
    };
    for (std::size_t round = 0; round < scaled(20); ++round) {
      // Everything is full, and then nothing moves any more: the writers wait.
      const std::uint64_t nearly_full = options.memtable_bytes * (1 + options.sealed_memtables_max) / 20 * 19;
      while (memtable_bytes() < nearly_full && writers.failed() == 0) std::this_thread::yield();
      for (std::uint64_t before = 0, now = 1; before != now;) {
        before = std::exchange(now, memtable_bytes());
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
      const std::uint64_t flushes = engine->stats().flushes;
      env.release(Gate::kTables);
      while (engine->stats().flushes == flushes && writers.failed() == 0) memtable_bytes();
      env.hold(Gate::kTables);
    }
    CHECK(writers.failed() == 0);
    env.release(Gate::kTables);
  }
  const std::uint64_t measured = peak.bytes();
  std::printf("memory under a slow disk: memtables at most %llu bytes of %llu, all of the engine's %llu\n",
              static_cast<unsigned long long>(highest), static_cast<unsigned long long>(memtables_max),
              static_cast<unsigned long long>(measured));
  CHECK(engine->stats().slowdowns > 0);
  CHECK(highest <= memtables_max);
  CHECK(highest > options.memtable_bytes * options.sealed_memtables_max);  // or the disk was not slow
  // A flush builds the indexes of two tables beside them, a compaction those of one.
  CHECK(measured <= memtables_max + 2 * options.memtable_bytes + options.block_cache_bytes + (2u << 20));
  CHECK(engine->close().ok());
}

namespace {

// What opening a store takes that was left with `batches` synced batches of `payload_bytes` in its log, and then what
// its memtable counts. With room for a memtable of that many.
struct Recovered {
  std::uint64_t peak = 0;
  std::uint64_t memtable_bytes = 0;
  std::uint64_t log_bytes = 0;
};
Recovered recover_log_of(std::uint64_t batches, std::size_t payload_bytes) {
  MemoryEnv env;
  Options options = presets::durable();
  options.block_cache_bytes = 1u << 20;
  options.reserve_bytes = 0;
  Recovered recovered;
  {
    const TestStore store = open_store(env, "store", options, 1).value();
    const std::string payload(payload_bytes, 'p');
    for (std::uint64_t batch = 0; batch < batches; ++batch) {
      REQUIRE(store->append(Event{.payload = as_bytes(payload)}).ok());
    }
    recovered.log_bytes = store->stats().log_bytes_live;
    env.crash_at(env.operations());
  }
  env.crash(1);
  const PeakMemory peak;
  const TestStore store = open_store(env, "store", options, 1).value();
  recovered.peak = peak.bytes();
  recovered.memtable_bytes = store->stats().memtable_bytes;
  REQUIRE(store->stats().events == batches);
  REQUIRE(store->stats().flushes == 0);
  return recovered;
}

}  // namespace

TEST_CASE("recovering a log of small batches takes the memory that they count for, not that of the log they lie in") {
  // Each synced batch begins a block of the log, and fills little of it.
  constexpr std::uint64_t kBatches = 12'000;
  const Recovered small = recover_log_of(kBatches, 100);
  REQUIRE(small.log_bytes >= kBatches * 4096);
  // What is read ahead and what of that is being applied, 4 MiB each, in regions of that size, the space of the log's
  // new segment in this Env, and what an open takes anyway.
  const std::uint64_t fixed = recover_log_of(1, 100).peak + (9u << 20);
  std::printf("memory of recovering a log of %llu bytes in small batches: %llu bytes, the memtable %llu, fixed %llu\n",
              static_cast<unsigned long long>(small.log_bytes), static_cast<unsigned long long>(small.peak),
              static_cast<unsigned long long>(small.memtable_bytes), static_cast<unsigned long long>(fixed));
  CHECK(small.peak <= 2 * small.memtable_bytes + fixed);
  CHECK(2 * small.memtable_bytes + fixed < small.log_bytes);  // or it would not show
}

TEST_CASE("recovering a log of large batches takes at most twice their bytes: they stay where the log was read") {
  // One of them fits into what is read of the log at once, two do not.
  const Recovered large = recover_log_of(40, 520u << 10);
  const std::uint64_t fixed = recover_log_of(1, 100).peak + (3u << 20);
  std::printf("memory of recovering a log of %llu bytes in large batches: %llu bytes, the memtable %llu\n",
              static_cast<unsigned long long>(large.log_bytes), static_cast<unsigned long long>(large.peak),
              static_cast<unsigned long long>(large.memtable_bytes));
  CHECK(large.peak <= 2 * large.memtable_bytes + fixed);
}

TEST_CASE("the block cache stays within block_cache_bytes, also while many threads read") {
  const TemporaryDirectory folder;
  Options options = presets::throughput();
  options.memtable_bytes = 2u << 20;
  options.block_cache_bytes = 2u << 20;
  options.block_bytes = 16u << 10;
  options.log_segment_bytes = 4u << 20;
  const auto engine = open_engine(posix_env(), folder.store(), options);
  {
    Writers writers(*engine);
    while (writers.bytes() < (24u << 20) && writers.failed() == 0) std::this_thread::yield();
  }
  REQUIRE(engine->compact().ok());
  const std::uint64_t events = engine->stats().events;
  const Keyspace keyspace = engine->keyspace("keys").value();
  std::atomic<std::uint64_t> highest{0};
  std::atomic<std::uint64_t> wrong{0};
  const PeakMemory peak;
  std::vector<std::thread> readers;
  for (std::uint64_t reader = 0; reader < kWriters; ++reader) {
    readers.emplace_back([&, reader] {
      std::mt19937_64 random(reader);
      for (std::size_t round = 0; round < scaled(3000); ++round) {
        const auto event = engine->get(random() % events);
        const std::string key = std::to_string(random() % 100'000);
        wrong += !event.ok() || !event.value() || event.value()->payload().size() != kPayloadBytes ||
                 !engine->get(keyspace, as_bytes(key)).ok();
        if (round % 16 != 0) continue;
        const std::uint64_t now = engine->stats().block_cache_bytes;
        std::uint64_t before = highest.load();
        while (before < now && !highest.compare_exchange_weak(before, now)) continue;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  const std::uint64_t measured = peak.bytes();
  std::printf("memory of readers: the cache at most %llu bytes of %llu, all of the engine's %llu more than before\n",
              static_cast<unsigned long long>(highest.load()),
              static_cast<unsigned long long>(options.block_cache_bytes), static_cast<unsigned long long>(measured));
  CHECK(wrong == 0);
  CHECK(highest <= options.block_cache_bytes);
  CHECK(highest > options.block_cache_bytes / 2);  // or it was not used
  CHECK(measured <= options.block_cache_bytes + kWriters * 8 * options.block_bytes);
  CHECK(engine->stats().block_cache_misses > 0);
}

}  // namespace hdb::test
