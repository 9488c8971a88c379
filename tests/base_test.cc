// Codecs and containers of base/: each against a naive oracle, on random input by seed, and on damaged input.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/batch.h"
#include "base/batch_memory.h"
#include "base/checksum.h"
#include "base/postings.h"
#include "base/record.h"
#include "base/utf8.h"
#include "tests/support/test_run.h"

namespace hdb {

namespace {

using Random = std::mt19937_64;

constexpr RecordStamp kStamp{Timestamp(std::chrono::milliseconds(1'700'000'000'123)), 0x2abcdef1};

std::string random_ascii(Random& random, std::size_t bytes_max) {
  std::string text(random() % (bytes_max + 1), ' ');
  for (char& c : text) c = static_cast<char>(' ' + random() % 95);
  return text;
}

Buffer random_bytes(Random& random, std::size_t bytes_max) {
  Buffer bytes(random() % (bytes_max + 1));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

EventId random_id(Random& random) {
  std::array<std::uint8_t, 16> bytes;
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random() % 255 + 1);
  return EventId(bytes);
}

// An event that owns what it views. Not copied: the view would stay with the original.
struct RandomEvent {
  explicit RandomEvent(Random& random) {
    for (std::string& text : texts) text = random_ascii(random, random() % 3 == 0 ? 40 : 0);
    tags.resize(random() % 8 == 0 ? kTagsMax : random() % 4);
    for (std::string& tag : tags) tag = "k:" + random_ascii(random, 20);
    metadata = random_ascii(random, random() % 2 == 0 ? 100 : 0);
    payload = random_bytes(random, 300);
    tag_views.assign(tags.begin(), tags.end());
    event = {.id = random() % 2 == 0 ? std::optional(random_id(random)) : std::nullopt,
             .time = random() % 2 == 0 ? std::optional(Timestamp(std::chrono::nanoseconds(random()))) : std::nullopt,
             .type = texts[0],
             .entity = texts[1],
             .host = texts[2],
             .tags = tag_views,
             .stream = texts[3],
             .source = texts[4],
             .collector = texts[5],
             .format = texts[6],
             .content_type = texts[7],
             .schema = texts[8],
             .metadata = metadata,
             .payload = payload};
  }
  RandomEvent(const RandomEvent&) = delete;
  RandomEvent& operator=(const RandomEvent&) = delete;

  std::array<std::string, kTextFields> texts;
  std::vector<std::string> tags;
  std::string metadata;
  Buffer payload;
  std::vector<std::string_view> tag_views;
  Event event;
};

Buffer encoded_record(const Event& event, const RecordStamp& stamp = kStamp) {
  Buffer bytes(record_bytes(event));
  encode_record(event, stamp, bytes.data());
  return bytes;
}

void check_record(const RandomEvent& given, const RecordView& record) {
  CHECK(record.has_caller_id() == given.event.id.has_value());
  CHECK(record.time_is_default() == !given.event.time.has_value());
  CHECK(record.time() == given.event.time.value_or(kStamp.encoded_at));
  if (given.event.id) CHECK(record.id(77) == *given.event.id);
  for (std::size_t field = 0; field < kTextFields; ++field) {
    CHECK(record.text(static_cast<TextField>(field)) == given.texts[field]);
  }
  std::vector<std::string> tags;
  record.for_each_tag([&tags](std::string_view tag) { tags.emplace_back(tag); });
  CHECK(tags == given.tags);
  for (std::size_t i = 0; i < given.tags.size(); ++i) CHECK(record.tag(i) == given.tags[i]);
  CHECK(record.metadata() == given.metadata);
  CHECK(equal_bytes(record.payload(), given.payload));
}

// Reads every byte that a view gives out, so that a sanitizer sees one outside of the buffer.
std::uint64_t touch(const RecordView& record) {
  std::uint64_t sum = hash64(record.payload()) + hash64(as_bytes(record.metadata()));
  for (std::size_t field = 0; field < kTextFields; ++field) {
    sum += hash64(as_bytes(record.text(static_cast<TextField>(field))));
  }
  record.for_each_tag([&sum](std::string_view tag) { sum += hash64(as_bytes(tag)); });
  return sum;
}

// Up to three random changes: of a byte, of the length, or of a 32-bit number.
Buffer mutated(Random& random, ByteView bytes) {
  Buffer changed(bytes.begin(), bytes.end());
  for (std::uint64_t left = random() % 3 + 1; left > 0 && !changed.empty(); --left) {
    const std::size_t at = random() % changed.size();
    switch (random() % 4) {
      case 0:
        changed[at] ^= static_cast<std::byte>(1u << (random() % 8));
        break;
      case 1:
        changed[at] = static_cast<std::byte>(random());
        break;
      case 2:
        changed.resize(at);
        break;
      default:
        if (changed.size() - at >= 4) store(&changed[at], static_cast<std::uint32_t>(random() % 4 - 2));
        break;
    }
  }
  return Buffer(changed.begin(), changed.end());  // at its exact size
}

}  // namespace

TEST_CASE("a record gives back every part of its event") {
  for (std::uint64_t seed = 1; seed <= test::scaled(300); ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const RandomEvent given(random);
    REQUIRE(validate_event(given.event).ok());
    Buffer bytes = encoded_record(given.event);
    const std::size_t size = bytes.size();
    append(bytes, random_bytes(random, 20));  // a decoder finds the end itself
    const Result<RecordView> record = RecordView::decode(bytes);
    REQUIRE_MESSAGE(record.ok(), record.status().message());
    CHECK(record->bytes().size() == size);
    check_record(given, record.value());
  }
}

TEST_CASE("damaged records are refused or read within their bytes") {
  std::size_t accepted = 0, refused = 0;
  std::uint64_t sum = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const RandomEvent given(random);
    const Buffer bytes = encoded_record(given.event);
    for (int round = 0; round < 200; ++round) {
      const Buffer damaged = mutated(random, bytes);
      const Result<RecordView> record = RecordView::decode(damaged);
      if (record.ok()) {
        ++accepted;
        sum += touch(record.value());
      } else {
        ++refused;
        const StatusCode code = record.status().code();
        CHECK((code == StatusCode::kCorruption || code == StatusCode::kUnsupported));
      }
    }
  }
  CAPTURE(sum);
  CHECK(accepted > 1000);
  CHECK(refused > 1000);
}

TEST_CASE("the record of a lost event with anything but its time is damaged") {
  const auto lost = encode_lost_record(Timestamp(std::chrono::seconds(1)));
  const auto record = RecordView::decode(lost);
  REQUIRE(record.ok());
  CHECK(record->time() == Timestamp(std::chrono::seconds(1)));
  Buffer with_payload = encoded_record(Event{.payload = as_bytes(std::string_view("p"))});
  store(with_payload.data() + 5, RecordKind::kLost);
  CHECK(RecordView::decode(with_payload).status().code() == StatusCode::kCorruption);
  Buffer with_id(lost.begin(), lost.end());
  with_id[31] ^= std::byte{1};
  CHECK(RecordView::decode(with_id).status().code() == StatusCode::kCorruption);
}

TEST_CASE("records without an id have the same content as themselves at another time, and no other") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    RandomEvent given(random);
    given.event.id = random_id(random);
    const Buffer first = encoded_record(given.event);
    const RecordStamp later{kStamp.encoded_at + std::chrono::seconds(5), 1};
    const Buffer second = encoded_record(given.event, later);
    CHECK(same_content(RecordView::trusted(first), RecordView::trusted(second)));
    given.event.type = "another type";
    const Buffer third = encoded_record(given.event, later);
    CHECK_FALSE(same_content(RecordView::trusted(first), RecordView::trusted(third)));
  }
}

TEST_CASE("an event over a limit is refused by the name of the field") {
  const std::string long_text(kTextBytesMax + 1, 'x');
  const std::string long_tag(kTagBytesMax + 1, 'x');
  const auto refused_for = [](const Event& event, std::string_view field) {
    const Status status = validate_event(event);
    return status.code() == StatusCode::kInvalidArgument && status.message().find(field) != std::string_view::npos;
  };
  Event event;
  event.entity = long_text;
  CHECK(refused_for(event, "entity"));
  event = {};
  event.host = "\xff";
  CHECK(refused_for(event, "host"));
  event = {};
  std::vector<std::string_view> tags(kTagsMax + 1, "a:b");
  event.tags = tags;
  CHECK(refused_for(event, "65 tags"));
  tags = {long_tag};
  event.tags = tags;
  CHECK(refused_for(event, "tag"));
  tags = {""};
  event.tags = tags;
  CHECK(refused_for(event, "empty tag"));
  event = {};
  event.id = EventId();
  CHECK(refused_for(event, "nil"));
  CHECK(validate_event(Event{}).ok());
}

TEST_CASE("the position in an engine-made id is the record's own, over all 44 bits") {
  const Buffer bytes = encoded_record(Event{});
  const RecordView record = RecordView::trusted(bytes);
  Random random(1);
  std::set<EventId> ids;
  EventId before;
  for (unsigned bit = 0; bit < 44; ++bit) {
    const Position position = (Position{1} << bit) | (random() & ((Position{1} << bit) - 1));
    CAPTURE(position);
    const EventId id = record.id(position);
    CHECK(position_in(id) == position);
    CHECK(id.to_string()[14] == '7');
    CHECK(id > before);  // ids of one millisecond are ordered as their positions
    before = id;
    ids.insert(id);
  }
  CHECK(ids.size() == 44);
  CHECK_FALSE(position_in(EventId::from_name("source", "text")).has_value());
}

TEST_CASE("ids are parsed from what they print, in either case, and from nothing else") {
  Random random(1);
  for (int round = 0; round < 100; ++round) {
    const EventId id = random_id(random);
    std::string text = id.to_string();
    CAPTURE(text);
    CHECK(EventId::parse(text).value() == id);
    std::transform(text.begin(), text.end(), text.begin(), [](char c) { return c >= 'a' ? char(c - 'a' + 'A') : c; });
    CHECK(EventId::parse(text).value() == id);
    text[random() % text.size()] = 'g';
    CHECK(EventId::parse(text).status().code() == StatusCode::kInvalidArgument);
  }
  for (const std::string_view text :
       {"", "01890a5d-ac96-774b-bcce-b302099a805", "01890a5d-ac96-774b-bcce-b302099a80577",
        "01890a5dac96774bbcceb302099a8057", "01890a5d-ac96-774b-bcceb-302099a8057"}) {
    CAPTURE(text);
    CHECK_FALSE(EventId::parse(text).ok());
  }
}

TEST_CASE("the id of a name is of the documented form, and its two parts do not run together") {
  // sha256 over u64 length, source, u64 length, text; bits of version and variant replaced. Computed outside of HDB.
  CHECK(EventId::from_name("zeek", "C8sWjF1").to_string() == "ad61318d-b58d-82f6-acaf-c7f3423d9a23");
  CHECK(EventId::from_name("ab", "c") != EventId::from_name("a", "bc"));
}

TEST_CASE("a batch gives back its events and changes in order") {
  for (std::uint64_t seed = 1; seed <= test::scaled(60); ++seed) {
    CAPTURE(seed);
    Random random(seed);
    std::vector<std::unique_ptr<RandomEvent>> given;
    std::vector<Event> events;
    for (std::uint64_t left = random() % 6; left > 0; --left) {
      given.push_back(std::make_unique<RandomEvent>(random));
      events.push_back(given.back()->event);
    }
    std::vector<Buffer> keys, values;
    for (std::uint64_t left = random() % 6 + (events.empty() ? 1 : 0); left > 0; --left) {
      keys.push_back(random_bytes(random, 20));
      values.push_back(random_bytes(random, 50));
    }
    std::vector<KeyValueChange> changes;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      changes.push_back({Keyspace(static_cast<std::uint32_t>(i)), keys[i],
                         i % 3 == 2 ? std::nullopt : std::optional<ByteView>(values[i])});
    }
    const bool with_leaf_hashes = random() % 2 == 0;
    REQUIRE(validate_batch(events, changes, with_leaf_hashes).ok());
    const EncodedBatch batch = encode_batch(events, changes, {kStamp, with_leaf_hashes});
    CHECK(batch.event_count() == events.size());
    CHECK(batch.change_count() == changes.size());
    CHECK(batch.bytes().size() % 8 == 0);
    CHECK(BatchView::size_in_header(batch.bytes()) == batch.bytes().size());

    const Result<BatchView> decoded = BatchView::decode(batch.bytes());
    REQUIRE_MESSAGE(decoded.ok(), decoded.status().message());
    for (const BatchView& view : {decoded.value(), BatchView::trusted(batch.bytes())}) {
      CHECK(view.sequence_count() == events.size() + changes.size());
      CHECK(view.has_leaf_hashes() == (with_leaf_hashes && !events.empty()));
      CHECK(check_leaf_hashes(view).ok());
      std::size_t event = 0;
      view.for_each_record([&](const RecordView& record) { check_record(*given[event++], record); });
      CHECK(event == events.size());
      std::size_t change = 0;
      view.for_each_change([&](const BatchView::Change& stored) {
        CHECK(load_be32(stored.key.data()) == changes[change].keyspace.id());
        CHECK(equal_bytes(stored.key.subspan(kKeyspacePrefixBytes), keys[change]));
        CHECK((stored.kind == EntryKind::kPut) == changes[change].value.has_value());
        CHECK(equal_bytes(stored.value, changes[change].value.value_or(ByteView())));
        ++change;
      });
      CHECK(change == changes.size());
    }
  }
}

TEST_CASE("no single changed byte of a batch goes unseen") {
  Random random(7);
  const RandomEvent given(random);
  const KeyValueChange change{Keyspace(1), as_bytes("key"), as_bytes("value")};
  const EncodedBatch batch = encode_batch({&given.event, 1}, {&change, 1}, {kStamp, true});
  Buffer bytes(batch.bytes().begin(), batch.bytes().end());
  REQUIRE(BatchView::decode(bytes).ok());
  std::size_t unseen = 0;
  for (std::byte& byte : bytes) {
    const std::byte before = byte;
    for (unsigned flip = 1; flip < 256; ++flip) {
      byte = before ^ static_cast<std::byte>(flip);
      if (BatchView::decode(bytes).ok()) ++unseen;
    }
    byte = before;
  }
  CHECK(unseen == 0);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    if (BatchView::decode(ByteView(bytes).first(size)).ok()) ++unseen;
  }
  CHECK(unseen == 0);
}

TEST_CASE("damaged batches with a right checksum are refused or read within their bytes") {
  std::size_t accepted = 0, refused = 0;
  std::uint64_t sum = 0;
  for (std::uint64_t seed = 1; seed <= test::scaled(60); ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const RandomEvent given(random);
    const std::array<KeyValueChange, 2> changes = {KeyValueChange{Keyspace(1), as_bytes("key"), as_bytes("value")},
                                                   KeyValueChange{Keyspace(2), as_bytes("gone"), std::nullopt}};
    const EncodedBatch batch = encode_batch({&given.event, 1}, changes, {kStamp, seed % 2 == 0});
    for (int round = 0; round < 200; ++round) {
      Buffer damaged = mutated(random, batch.bytes());
      damaged.resize(std::max<std::size_t>(damaged.size(), kBatchHeaderBytes) & ~std::size_t{7});
      if (random() % 4 != 0) store(&damaged[8], static_cast<std::uint32_t>(damaged.size()));
      store(damaged.data(), checksum64(ByteView(damaged).subspan(8)));
      const Result<BatchView> view = BatchView::decode(damaged);
      if (!view.ok()) {
        ++refused;
        continue;
      }
      ++accepted;
      view->for_each_record([&sum](const RecordView& record) { sum += touch(record); });
      view->for_each_change(
          [&sum](const BatchView::Change& change) { sum += hash64(change.key) + hash64(change.value); });
    }
  }
  CAPTURE(sum);
  CHECK(accepted > test::scaled(500));
  CHECK(refused > test::scaled(500));
}

TEST_CASE("a batch over a limit is refused by the name of the item") {
  CHECK(validate_batch({}, {}, false).code() == StatusCode::kInvalidArgument);
  const Buffer key(kKeyBytesMax + 1);
  const std::array<KeyValueChange, 2> changes = {KeyValueChange{Keyspace(1), as_bytes("key"), std::nullopt},
                                                 KeyValueChange{Keyspace(1), key, std::nullopt}};
  CHECK(validate_batch({}, {changes.data(), 1}, false).ok());
  CHECK(validate_batch({}, changes, false).message().find("changes[1]") != std::string_view::npos);
  const Buffer payload(kPayloadBytesMax);
  Event event;
  event.payload = payload;
  const std::vector<Event> events(17, event);  // 16 MiB each
  CHECK(validate_batch({events.data(), 15}, {}, false).ok());
  CHECK(validate_batch(events, {}, false).code() == StatusCode::kInvalidArgument);
}

namespace {

// RFC 3629 by way of code points: decode by the lead byte's length, then ask whether the number may be written so.
bool is_utf8_by_the_book(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[at]);
    const std::size_t size = lead < 0x80 ? 1 : (lead >> 5) == 6 ? 2 : (lead >> 4) == 14 ? 3 : (lead >> 3) == 30 ? 4 : 0;
    if (size == 0 || text.size() - at < size) return false;
    std::uint32_t point = size == 1 ? lead : lead & (0xffu >> (size + 1));
    for (std::size_t i = 1; i < size; ++i) {
      const auto byte = static_cast<std::uint8_t>(text[at + i]);
      if ((byte >> 6) != 2) return false;
      point = (point << 6) | (byte & 0x3f);
    }
    constexpr std::array<std::uint32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    at += size;
  }
  return true;
}

}  // namespace

TEST_CASE("UTF-8 is what RFC 3629 says, for all strings of three bytes and random longer ones") {
  std::size_t different = 0;
  for (std::uint32_t bytes = 0; bytes < (1u << 24); ++bytes) {
    const std::array<char, 3> text = {static_cast<char>(bytes >> 16), static_cast<char>(bytes >> 8),
                                      static_cast<char>(bytes)};
    if ((bytes >> 16) < 0x80 && (bytes & 0x3f) != 0) continue;  // after an ASCII byte a sample is enough
    if (is_utf8({text.data(), 3}) != is_utf8_by_the_book({text.data(), 3})) ++different;
  }
  CHECK(different == 0);
  constexpr std::array<std::uint8_t, 16> kEdges = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0,
                                                   0xbf, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5};
  Random random(1);
  std::size_t valid = 0;
  for (std::size_t round = 0; round < test::scaled(300'000); ++round) {
    std::string text(random() % 12, 'a');
    for (std::size_t left = random() % 5; left > 0; --left) text += static_cast<char>(kEdges[random() % kEdges.size()]);
    text.append(random() % 12, 'z');
    const bool expected = is_utf8_by_the_book(text);
    valid += expected ? 1 : 0;
    if (is_utf8(text) != expected) ++different;
  }
  CHECK(different == 0);
  CHECK(valid > 1000);
}

TEST_CASE(
    "a large batch lies in an aligned block, with room in front and zeros behind, and has the bytes of any other") {
  BatchMemory memory(0);
  for (const std::size_t bytes :
       {kLargeBatchBytes - 100, kLargeBatchBytes, kLargeBatchBytes + 4000, std::size_t{9} << 20}) {
    CAPTURE(bytes);
    const std::string value(bytes, 'v');
    const KeyValueChange change{Keyspace(3), as_bytes("key"), as_bytes(value)};
    const EncodedBatch plain = encode_batch({}, {&change, 1}, {kStamp});
    CHECK(plain.block().empty());
    const EncodedBatch batch = encode_batch({}, {&change, 1}, {kStamp}, &memory);
    CHECK(equal_bytes(batch.bytes(), plain.bytes()));
    const EncodedBatch view = EncodedBatch::view_of(plain.bytes(), nullptr);
    CHECK(view.bytes().data() == plain.bytes().data());
    CHECK(view.change_count() == 1);
    CHECK(view.block().empty());
    const MutableBytes block = batch.block();
    if (bytes < kLargeBatchBytes) {
      CHECK(block.empty());
      continue;
    }
    REQUIRE(reinterpret_cast<std::uintptr_t>(block.data()) % BatchMemory::kAlignment == 0);
    REQUIRE(block.size() % BatchMemory::kAlignment == 0);
    CHECK(block.data() + kBatchRoomBytes == batch.bytes().data());
    const ByteView behind = ByteView(block).subspan(kBatchRoomBytes + batch.bytes().size());
    CHECK(behind.size() < BatchMemory::kAlignment);
    CHECK(std::all_of(behind.begin(), behind.end(), [](std::byte byte) { return byte == std::byte{0}; }));
  }
}

TEST_CASE("pieces of batch memory never overlap while they live, and outlive it") {
  constexpr std::size_t kStep = BatchMemory::kAlignment;
  const std::uint64_t seed = hdb::test::test_seed();
  CAPTURE(seed);
  Random random(seed);
  for (const std::size_t spare_bytes : {0u, 64u << 20}) {
    struct Piece {
      std::shared_ptr<std::byte> memory;
      std::size_t bytes;
      std::byte mark;
    };
    std::vector<Piece> pieces;
    const auto check = [](const Piece& piece) {
      return std::all_of(piece.memory.get(), piece.memory.get() + piece.bytes,
                         [&](std::byte byte) { return byte == piece.mark; });
    };
    {
      BatchMemory memory(spare_bytes);
      for (std::size_t count = hdb::test::scaled(300); count > 0; --count) {
        const std::size_t bytes = kStep * (1 + random() % (random() % 16 == 0 ? 600 : 40));
        pieces.push_back({memory.allocate(bytes), bytes, static_cast<std::byte>(random())});
        REQUIRE(reinterpret_cast<std::uintptr_t>(pieces.back().memory.get()) % kStep == 0);
        std::fill_n(pieces.back().memory.get(), bytes, pieces.back().mark);
        if (pieces.size() < 40) continue;
        const std::size_t gone = random() % pieces.size();
        CHECK(check(pieces[gone]));
        pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(gone));
      }
    }
    for (const Piece& piece : pieces) CHECK(check(piece));
  }
}

TEST_CASE("a whole region of batch memory is nobody else's, and used again when it is given back") {
  BatchMemory memory(BatchMemory::kRegionBytes);
  BatchMemory::Region first = memory.allocate_region();
  CHECK(first.is_fresh);
  BatchMemory::touch(first.bytes.get(), BatchMemory::kRegionBytes);
  std::fill_n(first.bytes.get(), BatchMemory::kRegionBytes, std::byte{1});
  const BatchMemory::Region second = memory.allocate_region();
  CHECK(second.is_fresh);
  std::fill_n(second.bytes.get(), BatchMemory::kRegionBytes, std::byte{2});
  CHECK(std::all_of(first.bytes.get(), first.bytes.get() + BatchMemory::kRegionBytes,
                    [](std::byte byte) { return byte == std::byte{1}; }));
  const std::byte* const given_back = first.bytes.get();
  first.bytes.reset();
  const BatchMemory::Region again = memory.allocate_region();
  CHECK(!again.is_fresh);
  CHECK(again.bytes.get() == given_back);
}

TEST_CASE("the checksum of bytes in two parts is that of the whole") {
  Random random(9);
  for (int round = 0; round < 200; ++round) {
    const Buffer bytes = random_bytes(random, 3000);
    const std::size_t cut = bytes.empty() ? 0 : random() % bytes.size();
    const std::uint64_t seed = random();
    const ByteView whole = bytes_of(bytes);
    CHECK(checksum64(whole.first(cut), whole.subspan(cut), seed) == checksum64(whole, seed));
  }
}

TEST_CASE("a cursor yields what was appended, and reports where bytes or varints end too early") {
  Random random(1);
  for (std::size_t round = 0; round < test::scaled(2000); ++round) {
    const std::uint64_t value = random() >> (random() % 64);
    CAPTURE(value);
    Buffer bytes;
    append_varint(bytes, value);
    append_fixed(bytes, value);
    Cursor cursor(bytes);
    CHECK(cursor.varint().value() == value);
    CHECK(cursor.fixed<std::uint64_t>().value() == value);
    CHECK(cursor.at_end());
    CHECK(cursor.fixed<std::uint8_t>().status().code() == StatusCode::kCorruption);
  }
  Buffer longest;
  append_varint(longest, ~std::uint64_t{0});
  REQUIRE(longest.size() == 10);
  CHECK(Cursor(longest).varint().value() == ~std::uint64_t{0});
  longest.back() = std::byte{2};  // 65 bits
  CHECK_FALSE(Cursor(longest).varint().ok());
  longest.back() = std::byte{0x81};
  longest.push_back(std::byte{0});  // 11 bytes
  CHECK_FALSE(Cursor(longest).varint().ok());
  CHECK_FALSE(Cursor(ByteView(longest).first(9)).varint().ok());
  Buffer sized;
  append_varint(sized, ~std::uint64_t{0});  // a length that must not be allocated
  CHECK_FALSE(Cursor(sized).sized_bytes().ok());
}

namespace {

using Model = std::set<std::uint32_t>;

// Few containers, of all three kinds, and the ends of the number range.
std::uint32_t random_position(Random& random) {
  switch (random() % 8) {
    case 0:
      return static_cast<std::uint32_t>(random() % 3) - 1;
    case 1:
      return 65536 * static_cast<std::uint32_t>(random() % 3) + static_cast<std::uint32_t>(random() % 3) - 1;
    default:
      return static_cast<std::uint32_t>(random() % 200'000);
  }
}

struct Both {
  PositionSet set;
  Model model;
};

Both random_set(Random& random) {
  Both both;
  for (std::uint64_t left = random() % 80; left > 0; --left) {
    const std::uint32_t position = random_position(random);
    both.set.add(position);
    both.model.insert(position);
  }
  for (std::uint64_t left = random() % 3; left > 0; --left) {
    const std::uint32_t begin = static_cast<std::uint32_t>(random() % 200'000);
    const std::uint32_t end = begin + static_cast<std::uint32_t>(random() % 3000);
    both.set.add_range(begin, end);
    for (std::uint32_t position = begin; position < end; ++position) both.model.insert(position);
  }
  if (random() % 4 == 0) {  // dense without runs: a bitset
    for (std::uint32_t position = 0; position < 20'000; position += 2) {
      both.set.add(position);
      both.model.insert(position);
    }
  }
  return both;
}

void check_same(const PositionSet& set, const Model& model) {
  CHECK(set.to_vector() == std::vector<std::uint32_t>(model.begin(), model.end()));
  CHECK(set.cardinality() == model.size());
  CHECK(set.empty() == model.empty());
}

}  // namespace

TEST_CASE("a set of positions does what std::set does") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const Both a = random_set(random);
    const Both b = random_set(random);
    check_same(a.set, a.model);
    for (int round = 0; round < 40; ++round) {
      const std::uint32_t position = random_position(random);
      CAPTURE(position);
      CHECK(a.set.contains(position) == a.model.contains(position));
      const auto next = a.model.lower_bound(position);
      CHECK(a.set.next_at_or_after(position) == (next == a.model.end() ? std::nullopt : std::optional(*next)));
      const auto after = a.model.upper_bound(position);
      CHECK(a.set.previous_at_or_before(position) ==
            (after == a.model.begin() ? std::nullopt : std::optional(*std::prev(after))));
    }
    Model both, either, only_a;
    std::set_intersection(a.model.begin(), a.model.end(), b.model.begin(), b.model.end(),
                          std::inserter(both, both.end()));
    std::set_union(a.model.begin(), a.model.end(), b.model.begin(), b.model.end(), std::inserter(either, either.end()));
    std::set_difference(a.model.begin(), a.model.end(), b.model.begin(), b.model.end(),
                        std::inserter(only_a, only_a.end()));
    check_same(a.set.copy() &= b.set, both);
    check_same(a.set.copy() |= b.set, either);
    check_same(a.set.copy() -= b.set, only_a);
    CHECK((a.set == b.set) == (a.model == b.model));
    CHECK(PositionSet::of(a.set.to_vector()) == a.set);

    const std::uint64_t begin = random_position(random);
    const std::uint64_t end = random() % 4 == 0 ? std::uint64_t{1} << 32 : random_position(random);
    PositionSet kept = a.set.copy();
    kept.keep_range(begin, end);
    Model kept_model = a.model;
    std::erase_if(kept_model, [&](std::uint32_t position) { return position < begin || position >= end; });
    check_same(kept, kept_model);
    PositionSet& same = kept;  // an operand may be the set itself
    kept &= same;
    kept |= same;
    check_same(kept, kept_model);
    kept -= same;
    CHECK(kept.empty());
  }
}

TEST_CASE("ranges of positions reach to the last number and may be empty") {
  const std::uint64_t end = std::uint64_t{1} << 32;
  CHECK(PositionSet::range(0, end).cardinality() == end);
  CHECK(PositionSet::range(end - 1, end).to_vector() == std::vector<std::uint32_t>{0xffffffff});
  CHECK(PositionSet::range(5, 5).empty());
  CHECK(PositionSet::range(6, 5).empty());
  PositionSet all = PositionSet::range(0, end);
  all.keep_range(10, 12);
  CHECK(all == PositionSet::range(10, 12));
}

TEST_CASE("an encoded set of positions decodes to itself") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    Both both = random_set(random);
    if (random() % 3 == 0) both.set.keep_range(0, 66'000);
    Buffer bytes;
    both.set.encode(bytes);
    Buffer of_list;
    PositionSet::encode_ascending(both.set.to_vector(), of_list);
    CHECK(of_list == bytes);
    const Result<PositionSet> decoded = PositionSet::decode(bytes);
    REQUIRE_MESSAGE(decoded.ok(), decoded.status().message());
    CHECK(decoded.value() == both.set);
    CHECK_FALSE(PositionSet::decode(ByteView(bytes).first(bytes.size() - 1)).ok());
    bytes.push_back(std::byte{0});
    CHECK_FALSE(PositionSet::decode(bytes).ok());
  }
  for (const std::uint64_t count : {0u, 1u, 63u, 64u}) {
    CAPTURE(count);
    Buffer bytes;
    PositionSet::range(100, 100 + count).encode(bytes);
    CHECK(PositionSet::decode(bytes).value() == PositionSet::range(100, 100 + count));
    CHECK(bytes[0] == std::byte{count < 64 ? std::uint8_t{0} : std::uint8_t{1}});
  }
}

TEST_CASE("damaged sets of positions are refused or are sets that work") {
  std::size_t accepted = 0, refused = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    const Both both = random_set(random);
    Buffer bytes;
    both.set.encode(bytes);
    for (int round = 0; round < 100; ++round) {
      // Lengths and kinds are at the front.
      Buffer damaged(bytes);
      const std::size_t front = std::min<std::size_t>(damaged.size(), random() % 2 == 0 ? 24 : damaged.size());
      const Buffer changed = mutated(random, ByteView(damaged).first(front));
      std::copy(changed.begin(), changed.end(), damaged.begin());
      if (random() % 8 == 0) damaged.resize(random() % damaged.size());
      const Buffer exact(damaged.begin(), damaged.end());
      const Result<PositionSet> decoded = PositionSet::decode(exact);
      if (!decoded.ok()) {
        ++refused;
        CHECK(decoded.status().code() == StatusCode::kCorruption);
        continue;
      }
      ++accepted;
      const PositionSet& set = decoded.value();
      const std::vector<std::uint32_t> positions = set.to_vector();
      CHECK(std::is_sorted(positions.begin(), positions.end()));
      CHECK((set.copy() &= both.set).cardinality() + (set.copy() -= both.set).cardinality() == set.cardinality());
      Buffer again;
      set.encode(again);
      CHECK(PositionSet::decode(again).value() == set);
    }
  }
  CHECK(accepted > 100);
  CHECK(refused > 1000);
}

}  // namespace hdb
