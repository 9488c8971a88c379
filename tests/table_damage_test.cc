// Damaged and foreign tables: an error that names the file, the place and the remedy, or the right answer.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "sstable/event_block.h"
#include "sstable/filter.h"
#include "sstable/key_block.h"
#include "sstable/table_reader.h"
#include "sstable/verify.h"
#include "tests/support/tables.h"
#include "tests/support/test_run.h"

using namespace hdb;
using namespace hdb::sstable;
using hdb::test::scaled;
using hdb::test::test_seed;

namespace {

bool names_file_and_remedy(const Status& status, const std::string& path) {
  return status.message().find(path) != std::string_view::npos &&
         status.message().find(" at offset ") != std::string_view::npos &&
         status.message().find("run 'hdb-dump verify ") != std::string_view::npos;
}

}  // namespace

TEST_CASE("a block is valid only at its own offset of its own file") {
  const TableFolder tables;
  std::mt19937_64 random(3);
  // Values of one size, so that blocks are of one size and can be swapped.
  KeyModel model;
  for (int i = 0; i < 1000; ++i)
    model[model_key("key" + std::to_string(10'000 + i), 9)] = {EntryKind::kPut, "01234567"};
  build_keys(tables, 1, model, {1u << 10, Compression::kNone, 1, 0});
  build_keys(tables, 2, model, {1u << 10, Compression::kNone, 1, 0});
  BlockCache cache(0);
  std::vector<BlockHandle> handles;
  {
    const auto reader = TableReader::open(posix_env(), tables.table(1), FileNumber(1), cache).value();
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
    const auto table = open_keys(tables, number, cache);
    const auto entries = table->entries();
    std::size_t seen = 0;
    for (bool more = entries->seek_to_first(); more; more = entries->next()) ++seen;
    CHECK(seen < model.size());
    return entries->status();
  };
  const std::string one = tables.read(1);
  const std::string two = tables.read(2);

  std::string moved = one;
  moved.replace(first.offset, bytes, one, second.offset, bytes);
  tables.write(1, moved);
  Status status = scan_of(1);
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(names_file_and_remedy(status, tables.table(1)));

  std::string foreign = one;
  foreign.replace(first.offset, bytes, two, first.offset, bytes);
  tables.write(1, foreign);
  CHECK(scan_of(1).code() == StatusCode::kCorruption);
  CHECK(verify_table(posix_env(), tables.table(1), FileNumber(1), nullptr).code() == StatusCode::kCorruption);
}

namespace {

// Reads all of a table, by every way in. Returns the first error, or OK if every answer was right.
Status read_keys(const TableFolder& tables, const KeyModel& model) {
  BlockCache cache(kCacheBytes);
  const auto table = HDB_TRY(KeyTable::open(posix_env(), tables.table(1), FileNumber(1), cache));
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

Status read_events(const TableFolder& tables, const std::vector<TestEvent>& events) {
  BlockCache cache(kCacheBytes);
  const auto table = HDB_TRY(EventTable::open(posix_env(), tables.table(1), FileNumber(1), cache));
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
void damage_everywhere(const TableFolder& tables, Check check) {
  const std::string good = tables.read(1);
  const auto put = [&tables](std::size_t offset, char byte) {
    std::fstream file(tables.table(1), std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset)).put(byte);
  };
  for (std::size_t i = 0; i < good.size(); ++i) {
    put(i, static_cast<char>(good[i] ^ (1 << (i % 8))));
    check("flipped byte " + std::to_string(i));
    put(i, good[i]);
  }
  for (std::size_t bytes = good.size(); bytes-- > 0;) {
    std::filesystem::resize_file(tables.table(1), bytes);
    check("cut to " + std::to_string(bytes));
  }
  tables.write(1, good);
}

}  // namespace

TEST_CASE("any flipped byte or cut of a table gives an error or the right answer, and verification finds every one") {
  std::mt19937_64 random(17);
  const TableFolder tables;
  const TableSettings settings{1u << 10, Compression::kZstd, 1, 10};
  const auto check_all = [&](const auto& read) {
    REQUIRE(read().ok());
    std::size_t wrong = 0;
    std::size_t unfound = 0;
    damage_everywhere(tables, [&](const std::string& what) {
      const Status status = read();
      const Status found = verify_table(posix_env(), tables.table(1), FileNumber(1), nullptr);
      if (!status.ok() && !names_file_and_remedy(status, tables.table(1))) {
        ++wrong;
        MESSAGE(what << ": " << status.message());
      }
      unfound += found.code() != StatusCode::kCorruption || !names_file_and_remedy(found, tables.table(1));
    });
    CHECK(wrong == 0);
    CHECK(unfound == 0);
    CHECK(verify_table(posix_env(), tables.table(1), FileNumber(1), nullptr).ok());
  };
  KeyModel model;
  for (int i = 0; i < 60; ++i) {
    model[model_key("key" + std::to_string(random() % 40), static_cast<std::uint64_t>(i + 1))] = {
        EntryKind::kPut, std::string(random() % 40, 'v')};
  }
  build_keys(tables, 1, model, settings);
  check_all([&] { return read_keys(tables, model); });

  std::vector<TestEvent> events = random_events(random, 24, 5);
  build_events(tables, 1, events, 0, settings);
  check_all([&] { return read_events(tables, events); });
}

TEST_CASE("another number, a newer version and a wrong magic have their own messages") {
  const TableFolder tables;
  KeyModel model;
  model[model_key("k", 1)] = {EntryKind::kPut, "v"};
  build_keys(tables, 1, model, {});
  const std::string good = tables.read(1);
  BlockCache cache(kCacheBytes);
  const auto open = [&](std::uint64_t number) {
    return KeyTable::open(posix_env(), tables.table(number), FileNumber(number), cache).status();
  };
  tables.write(2, good);
  CHECK(open(2).message().find("this is table 1 under the name of table 2") != std::string_view::npos);

  std::string newer = good;
  const std::size_t footer = newer.size() - kFooterBytes;
  newer[footer + 44] = 2;
  const std::uint64_t sum = checksum64(as_bytes(std::string_view(newer).substr(footer, 48)));
  std::memcpy(newer.data() + footer + 48, &sum, sizeof sum);
  tables.write(1, newer);
  CHECK(open(1).code() == StatusCode::kUnsupported);
  CHECK(open(1).message().find("format version 2") != std::string_view::npos);

  std::string other = good;
  other.back() = 'x';
  tables.write(1, other);
  CHECK(open(1).code() == StatusCode::kCorruption);
  CHECK(open(1).message().find("not an HDB table") != std::string_view::npos);

  tables.write(1, good);
  CHECK(open(1).ok());
  CHECK(EventTable::open(posix_env(), tables.table(1), FileNumber(1), cache).status().code() ==
        StatusCode::kInvalidArgument);
}

TEST_CASE("an index of events names no more blocks than the file before it has room for") {
  std::vector<EventBlockEntry> blocks(1000);
  for (std::uint32_t block = 0; block < blocks.size(); ++block) {
    blocks[block].first = block;
    blocks[block].count = 1;
    blocks[block].handle.bytes = 84;
  }
  const Buffer index = encode_event_index(blocks);
  CHECK(decode_event_index(bytes_of(index), 1000, 100'000).ok());
  const Status status = decode_event_index(bytes_of(index), 1000, 99'999).status();
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(status.message() == "event index entry 999 ends behind byte 99999, where the data blocks end at the latest");
  // Nor more records than can be in a block.
  blocks[0].count = 0xffff'0000;
  CHECK(decode_event_index(encode_event_index(blocks), 0xffff'0000 + 999ull, 100'000).status().code() ==
        StatusCode::kCorruption);
}

TEST_CASE("decoders take any bytes: an error, or something that can be walked") {
  const std::uint64_t seed = test_seed();
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
  for (std::size_t round = 0; round < scaled(20'000); ++round) {
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
    const auto index = decode_event_index(bytes_of(bytes), entry.count, UINT64_MAX);
    refused += !sorted.ok() + !block.ok() + !filter.ok() + !index.ok() +
               !decode_properties(bytes_of(bytes), TableKind::kEvents).ok() +
               !decode_properties(bytes_of(bytes), TableKind::kKeys).ok();
  }
  CHECK(accepted > 0);
  CHECK(refused > 0);
}
