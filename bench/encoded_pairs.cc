#include "bench/encoded_pairs.h"

#include <string>

namespace hdb::bench {

namespace {

constexpr Keyspace kKeyspace{7};  // of no meaning: these batches reach no store that names its keyspaces

}  // namespace

void PairEncoder::prepare(std::span<const std::uint64_t> numbers) {
  keys_.resize(numbers.size() * kKeyBytes);
  changes_.clear();
  std::byte* key = keys_.data();
  for (const std::uint64_t number : numbers) {
    PairMaker::make_key(number, key);
    changes_.push_back({kKeyspace, {key, kKeyBytes}, maker_.value(number)});
    key += kKeyBytes;
  }
}

Status check_pair(const PairMaker& maker, std::uint64_t number, ByteView key, ByteView value) {
  const bool is_right = key.size() == kKeyspacePrefixBytes + kKeyBytes &&
                        equal_bytes(key.subspan(kKeyspacePrefixBytes), PairKey(number).bytes()) &&
                        equal_bytes(value, maker.value(number));
  return is_right ? Status() : Status::corruption("pair " + std::to_string(number) + " is not what was encoded");
}

Status check_batch(const PairMaker& maker, std::span<const std::uint64_t> numbers, const BatchView& batch) {
  if (batch.event_count() != 0 || batch.change_count() != numbers.size()) {
    return Status::corruption("a batch of " + std::to_string(batch.change_count()) + " pairs, " +
                              std::to_string(numbers.size()) + " were encoded");
  }
  Status checked;
  std::size_t index = 0;
  batch.for_each_change([&](const BatchView::Change& change) {
    if (checked.ok()) checked = check_pair(maker, numbers[index++], change.key, change.value);
  });
  return checked;
}

}  // namespace hdb::bench
