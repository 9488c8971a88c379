// Targets of sstable/: footer and properties, each kind of block, and whole tables.
#include <algorithm>

#include "base/checksum.h"
#include "io/file_name.h"
#include "sstable/attribute_index.h"
#include "sstable/compression.h"
#include "sstable/event_block.h"
#include "sstable/event_table.h"
#include "sstable/event_table_builder.h"
#include "sstable/filter.h"
#include "sstable/key_block.h"
#include "sstable/key_table.h"
#include "sstable/key_table_builder.h"
#include "sstable/table_reader.h"
#include "sstable/verify.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/samples.h"
#include "tests/fuzz/table_samples.h"
#include "tests/fuzz/target.h"
#include "tests/support/memory_env.h"

namespace hdb::fuzz {

using namespace sstable;

std::vector<Buffer> table_seeds() {
  std::vector<Buffer> seeds;
  for (const Compression compression : {Compression::kNone, Compression::kZstd}) {
    const TableSettings settings{600, compression, 1, 10};
    test::MemoryEnv env;
    make_directories(env);
    const std::string path = table_path(kSampleStore, kSampleTable);
    EventTableBuilder events(env.create(path).value(), kSampleTable, settings);
    for (std::size_t index = 0; index < 12; ++index) {
      const Buffer record = sample_record(index);
      const Timestamp commit_time(std::chrono::seconds(1'700'000'000 + index / 3));
      HDB_CHECK(events.add(100 + index, commit_time, RecordView::trusted(record)).ok());
    }
    HDB_CHECK(events.finish().ok());
    seeds.push_back(read_file(env, path, 1u << 20).value());

    KeyTableBuilder keys(env.create(path).value(), kSampleTable, settings);
    for (std::uint64_t index = 0; index < 30; ++index) {
      const std::string key = "aaaa-key-" + std::to_string(100 + index / 2);
      const bool is_erase = index % 7 == 3;
      HDB_CHECK(keys.add({as_bytes(key), SequenceNumber(500 - index), is_erase ? EntryKind::kErase : EntryKind::kPut,
                          is_erase ? ByteView() : as_bytes("a value of some length")})
                    .ok());
    }
    HDB_CHECK(keys.finish().ok());
    seeds.push_back(read_file(env, path, 1u << 20).value());
  }
  return seeds;
}

namespace {

// A byte that chooses the kind, then properties; and, of the last bytes, a footer.
bool run_table_properties(ByteView input) {
  Pieces pieces(input);
  const TableKind kind = pieces.byte() % 2 == 0 ? TableKind::kEvents : TableKind::kKeys;
  const auto properties = decode_properties(pieces.rest(), kind);
  if (properties.ok()) {
    HDB_CHECK(properties->entry_count > 0);
    const Buffer encoded = encode_properties(properties.value(), kind);
    const auto again = decode_properties(bytes_of(encoded), kind);
    HDB_CHECK(again.ok() && encode_properties(again.value(), kind) == encoded);
  }
  if (input.size() < kFooterBytes) return properties.ok();
  Buffer bytes = copy_of(input.last(kFooterBytes));
  repair_footer(bytes);
  const auto footer = decode_footer(bytes_of(bytes));
  if (footer.ok()) {
    const auto again = decode_footer(encode_footer(footer.value()));
    HDB_CHECK(again.ok() && again->properties == footer->properties && again->kind == footer->kind);
    HDB_CHECK(again->number == footer->number && again->file_bytes == footer->file_bytes);
  }
  return properties.ok() || footer.ok();
}

std::vector<Buffer> table_properties_seeds() {
  std::vector<Buffer> seeds;
  for (const Buffer& table : table_seeds()) {
    const auto footer = decode_footer(bytes_of(table).last(kFooterBytes)).value();
    const std::byte kind{static_cast<std::uint8_t>(footer.kind == TableKind::kEvents ? 0 : 1)};
    const ByteView properties = bytes_of(table).subspan(footer.properties.offset, footer.properties.bytes);
    append(seeds.emplace_back(1, kind), properties);
    append(seeds.emplace_back(1, kind), bytes_of(table).last(kFooterBytes));
  }
  return seeds;
}

bool run_event_block(ByteView input) {
  const auto block = EventBlock::decode(copy_of(input));
  if (!block.ok()) return false;
  HDB_CHECK(block->count() > 0);
  EventBlockBuilder builder;
  std::size_t records_end = 0;
  for (std::uint32_t row = 0; row < block->count(); ++row) {
    const auto record = RecordView::decode(block->record(row).bytes());
    HDB_CHECK(record.ok() && block->record_offset(row) == records_end);
    records_end += record->bytes().size();
    builder.add(block->commit_time(row), record.value());
  }
  HDB_CHECK(records_end == block->records_end());
  const auto again = EventBlock::decode(copy_of(builder.finish()));
  HDB_CHECK(again.ok() && again->count() == block->count());
  for (std::uint32_t row = 0; row < block->count(); ++row) {
    HDB_CHECK(equal_bytes(again->record(row).bytes(), block->record(row).bytes()));
    HDB_CHECK(again->commit_time(row) == block->commit_time(row));
  }
  return true;
}

std::vector<Buffer> event_block_seeds() {
  EventBlockBuilder builder;
  for (std::size_t index = 0; index < 4; ++index) {
    const Buffer record = sample_record(index);
    builder.add(Timestamp(std::chrono::seconds(1'700'000'000 + index / 2)), RecordView::trusted(record));
  }
  return {copy_of(builder.finish())};
}

constexpr std::uint64_t kDataEnd = 1u << 20;

// The number of events, as two bytes, then an index.
bool run_event_index(ByteView input) {
  Pieces pieces(input);
  const std::uint64_t entry_count = pieces.number();
  const auto blocks = decode_event_index(pieces.rest(), entry_count, kDataEnd);
  if (!blocks.ok()) return false;
  std::uint64_t first = 0;
  std::uint64_t offset = 0;
  for (const EventBlockEntry& block : blocks.value()) {
    HDB_CHECK(block.first == first && block.count > 0 && block.handle.offset == offset);
    first += block.count;
    offset = block.handle.end();
  }
  HDB_CHECK(first == entry_count && offset <= kDataEnd);
  const Buffer encoded = encode_event_index(blocks.value());
  const auto again = decode_event_index(bytes_of(encoded), entry_count, kDataEnd);
  HDB_CHECK(again.ok() && encode_event_index(again.value()) == encoded);
  return true;
}

std::vector<Buffer> event_index_seeds() {
  std::vector<EventBlockEntry> blocks(3);
  Buffer input;
  std::uint16_t events = 0;
  for (EventBlockEntry& block : blocks) {
    block.handle.bytes = 500u + events;
    block.count = 5u + events;
    block.time_min = block.commit_time_min = Timestamp(std::chrono::seconds(1'700'000'000 - 7 * events));
    block.time_max = block.commit_time_max = block.time_min + std::chrono::nanoseconds(events);
    events = static_cast<std::uint16_t>(events + block.count);
  }
  append_fixed(input, events);
  append(input, encode_event_index(blocks));
  return {input};
}

struct CheckedAs {
  SortedBlock::CheckValue check;
  void (*walk)(ByteView value);
};
constexpr CheckedAs kCheckedAs[] = {
    {nullptr, [](ByteView) {}},
    {&check_key_data, [](ByteView value) { HDB_CHECK(entry_of({}, value).value.size() < value.size()); }},
    {&check_key_index, [](ByteView value) { HDB_CHECK(handle_of(value).end() >= handle_of(value).bytes); }},
    {&check_dictionary, [](ByteView value) { HDB_CHECK(!value.empty()); }},
    {&check_dictionary_index, [](ByteView value) { HDB_CHECK(!value.empty()); }},
};

// A byte that says what the values are, then a block.
bool run_sorted_block(ByteView input) {
  Pieces pieces(input);
  const CheckedAs& kind = kCheckedAs[pieces.byte() % std::size(kCheckedAs)];
  const auto block = SortedBlock::decode(copy_of(pieces.rest()), kind.check);
  if (!block.ok()) return false;
  std::vector<std::pair<Buffer, Buffer>> entries;
  SortedBlock::Cursor cursor(block.value());
  for (bool more = cursor.first(); more; more = cursor.next()) {
    if (kind.check != nullptr) HDB_CHECK(kind.check(cursor.value()).ok());
    kind.walk(cursor.value());
    entries.emplace_back(copy_of(cursor.key()), copy_of(cursor.value()));
  }
  HDB_CHECK(!entries.empty());
  std::size_t left = entries.size();
  for (bool more = cursor.last(); more; more = cursor.previous()) {
    HDB_CHECK(left-- > 0);
    HDB_CHECK(equal_bytes(cursor.key(), bytes_of(entries[left].first)));
    HDB_CHECK(equal_bytes(cursor.value(), bytes_of(entries[left].second)));
  }
  HDB_CHECK(left == 0);
  const auto is_less = [](const auto& a, const auto& b) { return compare_bytes(a.first, b.first) < 0; };
  if (std::is_sorted(entries.begin(), entries.end(), is_less)) {
    const Buffer& wanted = entries[entries.size() / 2].first;
    const auto is_before = [&wanted](ByteView key, ByteView) { return compare_bytes(key, bytes_of(wanted)) < 0; };
    HDB_CHECK(cursor.seek(is_before) && equal_bytes(cursor.key(), bytes_of(wanted)));
  }
  BlockBuilder builder(3);
  for (const auto& [key, value] : entries) builder.add(key, value);
  const auto again = SortedBlock::decode(copy_of(builder.finish()), kind.check);
  HDB_CHECK(again.ok());
  SortedBlock::Cursor same(again.value());
  std::size_t index = 0;
  for (bool more = same.first(); more; more = same.next(), ++index) {
    HDB_CHECK(index < entries.size() && equal_bytes(same.key(), bytes_of(entries[index].first)) &&
              equal_bytes(same.value(), bytes_of(entries[index].second)));
  }
  HDB_CHECK(index == entries.size());
  return true;
}

std::vector<Buffer> sorted_block_seeds() {
  std::vector<Buffer> seeds;
  for (std::size_t kind = 0; kind < std::size(kCheckedAs); ++kind) {
    BlockBuilder builder(4);
    for (std::uint64_t index = 0; index < 10; ++index) {
      Buffer value;
      if (kind == 1 || kind == 2) append_varint(value, tag_of(SequenceNumber(900 - index), EntryKind::kPut));
      if (kind == 3) append_fixed(value, index % 2 == 0 ? PostingsPlace::kInline : PostingsPlace::kBlock);
      if (kind == 3 && index % 2 == 0) PositionSet::range(index, 3 * index).encode(value);
      if (kind == 2 || kind == 4 || (kind == 3 && index % 2 == 1)) append_handle(value, {index * 1000, 17});
      builder.add(as_bytes("key-" + std::to_string(100 + index)), value);
    }
    append(seeds.emplace_back(1, static_cast<std::byte>(kind)), builder.finish());
  }
  return seeds;
}

// Eight bytes of a hash, then a filter.
bool run_filter(ByteView input) {
  Pieces pieces(input);
  Buffer hash_bytes = copy_of(pieces.take(8));
  hash_bytes.resize(8);
  const auto hash = load<std::uint64_t>(hash_bytes.data());
  const auto filter = Filter::decode(pieces.rest());
  if (!filter.ok()) return false;
  HDB_CHECK(filter->probes() > 0);
  const bool may_contain = filter->may_contain(hash);
  HDB_CHECK(may_contain == filter->may_contain(hash));
  // A filter made with the hash has it, whatever the others are.
  const std::vector<std::uint64_t> hashes = {hash, ~hash, hash64(pieces.rest())};
  const auto made = Filter::decode(build_filter(hashes, filter->probes()));
  HDB_CHECK(made.ok());
  for (const std::uint64_t added : hashes) HDB_CHECK(made->may_contain(added));
  return true;
}

std::vector<Buffer> filter_seeds() {
  const std::vector<std::uint64_t> hashes = {1, 2, hash64(as_bytes("key"))};
  Buffer input;
  append_fixed(input, hashes[2]);
  append(input, build_filter(hashes, 10));
  return {input};
}

bool names_place(const Status& status, const std::string& path) {
  return contains(status.message(), path) &&
         (status.code() == StatusCode::kInvalidArgument || contains(status.message(), " at offset "));
}

// Everything a reader may ask of a table. True if all of it was answered.
bool read_events(Env& env, const std::string& path, bool is_verified) {
  BlockCache cache(1u << 20);
  const auto opened = EventTable::open(env, path, kSampleTable, cache);
  if (!opened.ok()) {
    HDB_CHECK(!is_verified && names_place(opened.status(), path));
    return false;
  }
  const auto& table = opened.value();
  const TableMeta& meta = table->meta();
  EventTable::Scanner scanner(table, 0, UINT64_MAX, EventTable::Scanner::Direction::kAscending);
  for (Position position = meta.position_begin;; ++position) {
    const auto event = scanner.next();
    if (!event.ok()) {
      HDB_CHECK(!is_verified && names_place(event.status(), path));
      return false;
    }
    if (!event.value()) {
      HDB_CHECK(position == meta.position_end);
      break;
    }
    HDB_CHECK((*event)->position == position);
    const RecordView record = (*event)->record;
    const auto found = table->get(position);
    HDB_CHECK(found.ok() && equal_bytes(found->record.bytes(), record.bytes()));
    const auto by_type = table->candidates(Attribute::kType, record.text(TextField::kType));
    const auto by_id = record.has_caller_id() ? table->find_id(record.id(position)) : std::optional<Position>(0);
    HDB_CHECK(by_type.ok() || names_place(by_type.status(), path));
    HDB_CHECK(by_id.ok() || names_place(by_id.status(), path));
    if (!is_verified) continue;
    const auto relative = static_cast<std::uint32_t>(position - meta.position_begin);
    HDB_CHECK(by_type.ok() && by_id.ok() && by_id->has_value());
    HDB_CHECK(record.text(TextField::kType).empty() || by_type->positions.contains(relative));
    HDB_CHECK(table->time_candidates({.from = record.time()}, {.from = (*event)->commit_time}).contains(relative));
  }
  return true;
}

bool read_keys(Env& env, const std::string& path, bool is_verified) {
  BlockCache cache(1u << 20);
  const auto opened = KeyTable::open(env, path, kSampleTable, cache);
  if (!opened.ok()) {
    HDB_CHECK(!is_verified && names_place(opened.status(), path));
    return false;
  }
  const auto& table = opened.value();
  const auto entries = table->entries();
  std::uint64_t count = 0;
  for (bool more = entries->seek_to_first(); more; more = entries->next()) {
    const Entry entry = entries->entry();
    HDB_CHECK(entry.kind == EntryKind::kPut || entry.value.empty());
    const auto found = table->get(entry.key, entry.sequence);
    HDB_CHECK(found.ok() || (!is_verified && names_place(found.status(), path)));
    ++count;
    if (!is_verified) continue;
    HDB_CHECK(found->has_value() && (*found)->entry.sequence == entry.sequence);
    HDB_CHECK((*found)->entry.kind == entry.kind && equal_bytes((*found)->entry.value, entry.value));
  }
  HDB_CHECK(entries->status().ok() || (!is_verified && names_place(entries->status(), path)));
  std::uint64_t count_back = 0;
  for (bool more = entries->seek_to_last(); more; more = entries->previous()) ++count_back;
  HDB_CHECK(!is_verified || (count == table->meta().entry_count && count_back == count));
  return entries->status().ok();
}

bool read_table(ByteView bytes) {
  test::MemoryEnv env;
  make_directories(env);
  const std::string path = table_path(kSampleStore, kSampleTable);
  put_file(env, path, bytes);
  const Status verified = verify_table(env, path, kSampleTable, nullptr);
  HDB_CHECK(verified.ok() || names_place(verified, path));
  HDB_CHECK(verified.code() != StatusCode::kCorruption || contains(verified.message(), "run 'hdb-dump verify store'"));
  const bool is_event_table = read_events(env, path, false);
  const bool is_key_table = read_keys(env, path, false);
  HDB_CHECK(!(is_event_table && is_key_table));
  if (verified.ok()) HDB_CHECK(is_event_table ? read_events(env, path, true) : read_keys(env, path, true));
  return verified.ok();
}

bool run_table(ByteView input) {
  const bool is_raw_accepted = read_table(input);
  Buffer bytes = copy_of(input);
  repair_table(bytes, kSampleTable);
  return read_table(bytes_of(bytes)) || is_raw_accepted;
}

constexpr std::uint32_t kRoundTripBytesMax = 1u << 20;

// Four bytes of the size decompressed, then a zstd frame.
bool run_compression(ByteView input) {
  Pieces pieces(input);
  Buffer size_bytes = copy_of(pieces.take(4));
  size_bytes.resize(4);
  const auto raw_bytes = std::min(load<std::uint32_t>(size_bytes.data()), kCompressedBlockBytesMax);
  const auto raw = decompress(pieces.rest(), {raw_bytes, CompressionKind::kZstd, BlockKind::kKeyData});
  if (!raw.ok()) return false;
  HDB_CHECK(raw->size() == raw_bytes);
  if (raw_bytes > kRoundTripBytesMax) return true;  // the bound on memory is that of decoding
  Buffer packed;
  const CompressionKind kind = append_compressed(packed, raw.value(), Compression::kZstd, 1);
  const auto again = decompress(packed, {raw_bytes, kind, BlockKind::kKeyData});
  HDB_CHECK(again.ok() && again.value() == raw.value());
  return true;
}

std::vector<Buffer> compression_seeds() {
  const std::string text(300, 'x');
  Buffer input;
  append_fixed(input, static_cast<std::uint32_t>(text.size()));
  append_compressed(input, as_bytes(text), Compression::kZstd, 3);
  return {input};
}

constexpr Target kTargets[] = {
    {"table_properties", &run_table_properties, &table_properties_seeds},
    {"event_block", &run_event_block, &event_block_seeds},
    {"event_index", &run_event_index, &event_index_seeds},
    {"sorted_block", &run_sorted_block, &sorted_block_seeds},
    {"filter", &run_filter, &filter_seeds},
    {"compression", &run_compression, &compression_seeds},
    {"table", &run_table, &table_seeds},
};

}  // namespace

std::span<const Target> table_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
