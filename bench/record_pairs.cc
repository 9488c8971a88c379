#include "bench/record_pairs.h"

#include <memory>

#include "base/record.h"

namespace hdb::bench {

namespace {

constexpr std::size_t kKeyBytes = 8;

}  // namespace

std::span<const KeyValue> RecordPairs::encode(std::span<const Event> events, std::uint64_t first_number) {
  std::size_t bytes = 0;
  for (const Event& event : events) bytes += kKeyBytes + record_bytes(event);
  bytes_.resize(bytes);
  pairs_.clear();
  const RecordStamp stamp{.encoded_at = now()};
  std::byte* to = bytes_.data();
  for (const Event& event : events) {
    const std::size_t size = record_bytes(event);
    store(to, __builtin_bswap64(first_number++));
    encode_record(event, stamp, to + kKeyBytes);
    pairs_.push_back({{to, kKeyBytes}, {to + kKeyBytes, size}});
    to += kKeyBytes + size;
  }
  return pairs_;
}

Result<StoredEvent> RecordPairs::decode(ByteView key, ByteView value) {
  if (key.size() != kKeyBytes) return Status::corruption("a key of " + std::to_string(key.size()) + " bytes, not 8");
  HDB_TRY(RecordView::decode(value));
  return StoredEvent(__builtin_bswap64(load<std::uint64_t>(key.data())), Timestamp(), value, nullptr);
}

Result<std::uint64_t> PairPeer::append(std::span<const Event> events, std::uint64_t first_number) {
  thread_local RecordPairs pairs;
  HDB_TRY(put(pairs.encode(events, first_number)));
  return first_number;
}

Status PairPeer::read_events(const std::function<Status(const StoredEvent& event)>& visit) {
  return read_pairs(
      [&](ByteView key, ByteView value) -> Status { return visit(HDB_TRY(RecordPairs::decode(key, value))); });
}

}  // namespace hdb::bench
