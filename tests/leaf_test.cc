// The leaf hash of an event: by vectors that another program made, and by what it depends on.
#include <doctest/doctest.h>
#include <simdjson.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "base/batch.h"
#include "base/checksum.h"
#include "base/leaf.h"

namespace hdb {
namespace {

constexpr RecordStamp kStamp{Timestamp(std::chrono::milliseconds(1'700'000'000'123)), 7};

Buffer encoded_record(const Event& event, const RecordStamp& stamp) {
  Buffer bytes(record_bytes(event));
  encode_record(event, stamp, bytes.data());
  return bytes;
}

LeafHash leaf_hash_of(const Event& event, const RecordStamp& stamp = kStamp) {
  const Buffer record = encoded_record(event, stamp);
  return LeafHasher().hash(RecordView::trusted(record));
}

std::string from_hex(std::string_view text) {
  std::string bytes;
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    bytes += static_cast<char>(std::stoi(std::string(text.substr(at, 2)), nullptr, 16));
  }
  return bytes;
}

std::string repeated(const std::string& text, std::int64_t times) {
  std::string all;
  for (; times > 0; --times) all += text;
  return all;
}

// An event of the vectors' file, which its texts are views into.
struct GivenEvent {
  Event event;
  RecordStamp stamp;
  std::vector<std::string_view> tags;
  std::string metadata;
  std::string payload;

  explicit GivenEvent(simdjson::dom::object fields) {
    const auto text = [&fields](std::string_view name) {
      std::string_view value;
      return fields[name].get(value) == simdjson::SUCCESS ? value : std::string_view();
    };
    const auto time = [&fields](std::string_view name) -> std::optional<Timestamp> {
      std::int64_t ns = 0;
      if (fields[name].get(ns) != simdjson::SUCCESS) return std::nullopt;
      return Timestamp(std::chrono::nanoseconds(ns));
    };
    event.time = time("time");
    if (const auto appended = time("append_time")) stamp.encoded_at = *appended;
    if (!text("id").empty()) event.id = EventId::parse(text("id")).value();
    event.type = text("type");
    event.entity = text("entity");
    event.host = text("host");
    simdjson::dom::array listed;
    if (fields["tags"].get(listed) == simdjson::SUCCESS) {
      for (const std::string_view tag : listed) tags.push_back(tag);
    }
    event.tags = tags;
    event.stream = text("stream");
    event.source = text("source");
    event.collector = text("collector");
    event.format = text("format");
    event.content_type = text("content_type");
    event.schema = text("schema");
    payload = from_hex(text("payload"));
    metadata = text("metadata");
    std::int64_t times = 1;
    if (fields["payload_times"].get(times) == simdjson::SUCCESS) payload = repeated(payload, times);
    if (fields["metadata_times"].get(times) == simdjson::SUCCESS) metadata = repeated(metadata, times);
    event.metadata = metadata;
    event.payload = as_bytes(payload);
  }
  GivenEvent(const GivenEvent&) = delete;
  GivenEvent& operator=(const GivenEvent&) = delete;
};

}  // namespace

TEST_CASE("leaf hashes are those of the golden vectors, whatever was hashed before") {
  simdjson::dom::parser parser;
  simdjson::dom::array vectors;
  REQUIRE(parser.load(HDB_SOURCE_DIR "/tests/golden/leaves.json").get(vectors) == simdjson::SUCCESS);
  LeafHasher hasher;
  for (int round = 0; round < 2; ++round) {
    std::size_t checked = 0;
    for (const simdjson::dom::object vector : vectors) {
      CAPTURE(simdjson::to_string(vector));
      const GivenEvent given(vector["event"]);
      const Buffer record = encoded_record(given.event, given.stamp);
      const LeafHash hash = hasher.hash(RecordView::trusted(record));
      CHECK(as_text(hash) == from_hex(vector["leaf_hash"]));
      const std::string leaf = from_hex(vector["canonical_leaf"]);
      if (!leaf.empty()) CHECK(sha256({as_bytes(std::string(1, '\0') + leaf)}) == hash);
      ++checked;
    }
    CHECK(checked >= 10);
  }
}

TEST_CASE("a leaf hash depends on each thing the caller said and on nothing else") {
  const std::string_view tags[] = {"a:1", "b:2"};
  const std::string_view swapped[] = {"b:2", "a:1"};
  const std::string_view joined[] = {"a:1b:2"};
  Event event{.id = EventId::from_name("leaf", "one"),
              .time = Timestamp(std::chrono::seconds(5)),
              .type = "type",
              .entity = "entity",
              .host = "host",
              .tags = tags,
              .stream = "stream",
              .source = "source",
              .collector = "collector",
              .format = "format",
              .content_type = "content",
              .schema = "schema",
              .metadata = "{}",
              .payload = as_bytes("payload")};
  const LeafHash hash = leaf_hash_of(event);
  CHECK(leaf_hash_of(event, {Timestamp(std::chrono::seconds(9)), 8}) == hash);
  Event made_id = event;
  made_id.id.reset();
  CHECK(leaf_hash_of(made_id, {Timestamp(std::chrono::seconds(9)), 8}) == leaf_hash_of(made_id));

  const std::vector<std::function<void(Event&)>> changes = {
      [](Event& e) { e.id.reset(); },
      [](Event& e) { e.id = EventId::from_name("leaf", "two"); },
      [](Event& e) { e.time.reset(); },
      [](Event& e) { *e.time += std::chrono::nanoseconds(1); },
      [](Event& e) { e.type = "typf"; },
      [](Event& e) { e.entity = "entitz"; },
      [](Event& e) { e.host = {}; },
      [](Event& e) { std::swap(e.host, e.entity); },
      [&](Event& e) { e.tags = swapped; },
      [&](Event& e) { e.tags = joined; },
      [&](Event& e) { e.tags = std::span(tags).first(1); },
      [](Event& e) { e.stream = "other"; },
      [](Event& e) { e.source = "other"; },
      [](Event& e) { e.collector = "other"; },
      [](Event& e) { e.format = "other"; },
      [](Event& e) { e.content_type = "other"; },
      [](Event& e) { e.schema = "other"; },
      [](Event& e) { e.metadata = "{ }"; },
      [](Event& e) { e.payload = as_bytes("paylobd"); },
      [](Event& e) { e.payload = as_bytes("payloa"); },
      [](Event& e) { e.payload = {}; },
      [](Event& e) { std::swap(e.schema, e.content_type); },
      // The same text, cut elsewhere.
      [](Event& e) { std::tie(e.type, e.entity) = std::pair("typeen", "tity"); },
  };
  std::vector<LeafHash> seen = {hash};
  for (const auto& change : changes) {
    Event changed = event;
    change(changed);
    seen.push_back(leaf_hash_of(changed));
  }
  // An event that was given the very time that another got by default.
  Event given = event, defaulted = event;
  given.time = kStamp.encoded_at;
  defaulted.time.reset();
  CHECK(leaf_hash_of(given) != leaf_hash_of(defaulted));
  std::sort(seen.begin(), seen.end());
  CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
}

TEST_CASE("a batch carries the leaf hash of each of its events, and an event that is not its hash's is found") {
  const std::string large(70'000, 'x');
  const std::vector<Event> events = {
      {.time = Timestamp(), .type = "dns"}, {.payload = as_bytes(large)}, {.id = EventId::from_name("leaf", "one")}};
  const KeyValueChange change{Keyspace(3), as_bytes("key"), as_bytes("value")};
  BatchMemory memory(0);
  const EncodedBatch batch = encode_batch(events, {&change, 1}, {kStamp, true}, &memory);
  CHECK(batch.bytes().size() <=
        encode_batch(events, {&change, 1}, {kStamp}).bytes().size() + 8 + events.size() * sizeof(LeafHash) + 7);
  const BatchView decoded = BatchView::decode(batch.bytes()).value();
  for (const BatchView& view : {decoded, BatchView::trusted(batch.bytes())}) {
    REQUIRE(view.has_leaf_hashes());
    for (std::size_t index = 0; index < events.size(); ++index) {
      CHECK(view.leaf_hash(index) == leaf_hash_of(events[index]));
    }
    CHECK(check_leaf_hashes(view).ok());
    view.for_each_change([](const BatchView::Change& stored) { CHECK(as_text(stored.value) == "value"); });
  }

  // Every checksum is made right again: only the leaf hash tells.
  Buffer edited(batch.bytes().begin(), batch.bytes().end());
  edited[edited.size() / 2] = std::byte{'y'};  // in the large payload
  store(edited.data(), checksum64(ByteView(edited).subspan(8)));
  const auto view = BatchView::decode(edited);
  REQUIRE_MESSAGE(view.ok(), view.status().message());
  const Status status = check_leaf_hashes(view.value());
  CHECK(status.code() == StatusCode::kCorruption);
  CHECK(status.message().find("events[1]") != std::string_view::npos);
}

TEST_CASE("a batch whose leaf hashes do not fit its events is code_of") {
  const Event event{.type = "dns"};
  const EncodedBatch batch = encode_batch({&event, 1}, {}, {kStamp, true});
  const auto code_of = [](Buffer bytes) {
    store(bytes.data(), checksum64(ByteView(bytes).subspan(8)));
    return BatchView::decode(bytes).status().code();
  };
  Buffer bytes(batch.bytes().begin(), batch.bytes().end());
  REQUIRE(code_of(bytes) == StatusCode::kOk);
  // The section's header: u16 kind, u16 version, u32 bytes.
  const std::size_t section = kBatchHeaderBytes + 8 + record_bytes(event);
  REQUIRE(load<std::uint16_t>(&bytes[section]) == 3);
  for (const std::uint32_t size : {0u, 24u, 31u}) {
    Buffer shorter = bytes;
    store(&shorter[section + 4], size);
    CHECK(code_of(shorter) == StatusCode::kCorruption);
  }
  Buffer newer = bytes;
  store(&newer[section + 2], std::uint16_t{2});
  CHECK(code_of(newer) == StatusCode::kUnsupported);

  // Hashes of no events: the same section behind changes alone.
  const KeyValueChange change{Keyspace(1), as_bytes("key"), as_bytes("a value that is 32 bytes long...")};
  const EncodedBatch changes = encode_batch({}, {&change, 1}, {kStamp, true});
  CHECK(!BatchView::decode(changes.bytes()).value().has_leaf_hashes());
  Buffer without(changes.bytes().begin(), changes.bytes().end());
  const auto stated = load<std::uint32_t>(&without[kBatchHeaderBytes + 4]);
  const std::size_t end = kBatchHeaderBytes + 8 + stated;
  without.resize((end + 8 + 7) & ~std::size_t{7});
  store(&without[end], std::uint16_t{3});
  store(&without[end + 2], std::uint16_t{1});
  store(&without[end + 4], std::uint32_t{0});
  store(&without[8], static_cast<std::uint32_t>(without.size()));
  store(&without[20], std::uint16_t{2});
  CHECK(code_of(without) == StatusCode::kCorruption);
}

}  // namespace hdb
