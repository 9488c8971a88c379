// bench/record_pairs.h: events as the bare pairs that a key-value engine stores: the bytes HDB keeps per event, without
// its indexes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <hdb/engine.h>

#include "base/bytes.h"

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

}  // namespace hdb::bench
