#include "tests/fuzz/samples.h"

#include "base/batch.h"
#include "base/record.h"
#include "io/file_name.h"

namespace hdb::fuzz {

namespace {

constexpr RecordStamp kStamp{Timestamp(std::chrono::seconds(1'700'000'000)), 7};

Event sample_event(std::size_t index) {
  static constexpr std::string_view kTags[] = {"ip:10.1.2.3", "user:root", "\u00fc"};
  const Timestamp time(std::chrono::nanoseconds(1'521'911'721'255'387'000 + static_cast<std::int64_t>(index)));
  switch (index % kSampleEvents) {
    case 0:
      return {.type = "raw", .stream = "boots", .payload = as_bytes("a line of a log")};
    case 1:
      return {.id = EventId::from_name("fuzz", "first"),
              .time = time,
              .type = "dns",
              .entity = "Ckdgdu1RMwc5AO49F3",
              .host = "10.128.0.241",
              .tags = kTags,
              .stream = "zeek/dns",
              .source = "zeek",
              .collector = "sensor-1",
              .format = "Zeek",
              .content_type = "application/json",
              .schema = "v1",
              .metadata = R"({"lab":"east"})",
              .payload = as_bytes(R"({"query":"example.com","rcode_name":"NOERROR","id.orig_p":53})")};
    case 2:
      return {};
    case 3:
      return {.time = time, .type = "dns", .entity = "e", .host = "10.128.0.241", .tags = std::span(kTags).first(1)};
    default:
      return {.id = EventId::from_name("fuzz", "last"), .metadata = "{}", .payload = as_bytes("\xff\x01 bytes")};
  }
}

}  // namespace

Buffer sample_record(std::size_t index) {
  const Event event = sample_event(index);
  Buffer record(record_bytes(event));
  encode_record(event, kStamp, record.data());
  return record;
}

Buffer sample_batch(std::size_t events, std::size_t changes, bool with_leaf_hashes) {
  std::vector<Event> event_list;
  for (std::size_t index = 0; index < events; ++index) event_list.push_back(sample_event(index));
  const std::string keys = "keys of a batch";
  std::vector<KeyValueChange> change_list;
  for (std::size_t index = 0; index < changes; ++index) {
    change_list.push_back({Keyspace(static_cast<std::uint32_t>(index % 2 + 1)),
                           as_bytes(std::string_view(keys).substr(0, 3 + index)),
                           index % 3 == 1 ? std::nullopt : std::optional(as_bytes("value"))});
  }
  const EncodedBatch batch = encode_batch(event_list, change_list, {kStamp, with_leaf_hashes});
  return Buffer(batch.bytes().begin(), batch.bytes().end());
}

void make_directories(Env& env) {
  HDB_CHECK(env.create_directory(kSampleStore).ok());
  HDB_CHECK(env.create_directory(log_directory(kSampleStore)).ok());
  HDB_CHECK(env.create_directory(table_directory(kSampleStore)).ok());
}

void put_file(Env& env, const std::string& path, ByteView bytes) {
  HDB_CHECK(replace_file(env, path, bytes).ok());
}

Buffer file_without_padding(Env& env, const std::string& path) {
  Buffer bytes = read_file(env, path, 64u << 20).value();
  while (!bytes.empty() && bytes.back() == std::byte{0}) bytes.pop_back();
  bytes.resize((bytes.size() + 7) / 8 * 8);
  return bytes;
}

}  // namespace hdb::fuzz
