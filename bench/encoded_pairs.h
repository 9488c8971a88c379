// bench/encoded_pairs.h: pairs as batches that the engine's own encoder makes, for the workloads of its parts.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "base/batch.h"
#include "bench/pair_maker.h"

namespace hdb::bench {

// first, first + 1, ...
inline std::vector<std::uint64_t> numbers_from(std::uint64_t first, std::uint64_t count) {
  std::vector<std::uint64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

// One batch after the other. Single-owner.
class PairEncoder {
 public:
  // `maker` must outlive this.
  explicit PairEncoder(const PairMaker& maker) : maker_(maker) {}

  // Makes the pairs of these numbers: the generator's time.
  void prepare(std::span<const std::uint64_t> numbers);
  // Encodes them: the engine's time. Throws std::bad_alloc.
  EncodedBatch encode() { return encode_batch({}, changes_, {}, &memory_); }

 private:
  static constexpr std::size_t kSpareBytesMax = 64u << 20;

  const PairMaker& maker_;
  BatchMemory memory_{kSpareBytesMax};
  Buffer keys_;
  std::vector<KeyValueChange> changes_;
};

// kCorruption unless `key`, as stored, and `value` are those of the pair.
Status check_pair(const PairMaker& maker, std::uint64_t number, ByteView key, ByteView value);
// kCorruption unless the batch holds exactly the pairs of these numbers, in order.
Status check_batch(const PairMaker& maker, std::span<const std::uint64_t> numbers, const BatchView& batch);

}  // namespace hdb::bench
