// bench/record_pairs.h: events as the bare pairs that a key-value engine stores: the bytes HDB keeps per event, without
// its indexes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "bench/peer.h"

namespace hdb::bench {

// Reused from batch to batch. Single-owner.
class RecordPairs {
 public:
  // The events' records under `first_number` and what follows, as big-endian u64. Valid until the next call.
  std::span<const KeyValue> encode(std::span<const Event> events, std::uint64_t first_number);

  // The event of such a pair; kCorruption if it is none.
  static Result<StoredEvent> decode(ByteView key, ByteView value);

 private:
  Buffer bytes_;
  std::vector<KeyValue> pairs_;
};

// A peer that knows pairs only: events are the pairs of their records.
class PairPeer : public Peer {
 public:
  Result<std::uint64_t> append(std::span<const Event> events, std::uint64_t first_number) override;
  Status read_events(const std::function<Status(const StoredEvent& event)>& visit) override;
};

}  // namespace hdb::bench
