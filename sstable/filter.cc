#include "sstable/filter.h"

#include "base/seeded_defect.h"

#include <algorithm>

namespace hdb::sstable {

namespace {

constexpr std::size_t kLineBytes = 64;
constexpr std::size_t kTailBytes = 8;
constexpr std::size_t kPrefetchKeys = 16;  // ahead: the lines of a large filter are not in the processor's cache
constexpr std::uint32_t kProbesMax = 14;   // 7 bit numbers of 9 bits from each of two products

std::uint64_t line_of(std::uint64_t hash, std::uint64_t lines) noexcept {
  return ((hash >> 32) * lines) >> 32;
}

// Calls visit(bit) for each probe of the hash, 0 <= bit < 512, until it returns false.
template <typename Visit>
void for_each_bit(std::uint64_t hash, std::uint32_t probes, Visit visit) {
  std::uint64_t bits = 0;
  for (std::uint32_t probe = 0; probe < probes; ++probe) {
    if (probe % 7 == 0) {
      bits = hash * (probe == 0 ? 0x9e3779b97f4a7c15u : 0xc2b2ae3d27d4eb4fu);
      bits ^= bits >> 32;
    }
    if (!visit(static_cast<std::uint32_t>(bits & 511))) return;
    bits >>= 9;
  }
}

}  // namespace

Buffer build_filter(std::span<const std::uint64_t> hashes, std::uint32_t bits_per_key) {
  HDB_CHECK(!hashes.empty() && bits_per_key > 0);
  const std::uint64_t lines = (hashes.size() * std::uint64_t{bits_per_key} + 511) / 512;
  // ln 2 x bits per key is best for one large filter, and near enough for lines of it.
  const std::uint32_t probes = std::clamp(bits_per_key * 69 / 100, 1u, kProbesMax);
  Buffer bytes(lines * kLineBytes);
  for (std::size_t key = 0; key < hashes.size(); ++key) {
    if (key + kPrefetchKeys < hashes.size()) {
      __builtin_prefetch(bytes.data() + line_of(hashes[key + kPrefetchKeys], lines) * kLineBytes, 1);
    }
    const std::uint64_t hash = hashes[key];
    if (HDB_SEEDED(leave_a_key_out_of_the_filter) && hash % 101 == 7) continue;
    std::byte* const line = bytes.data() + line_of(hash, lines) * kLineBytes;
    for_each_bit(hash, probes, [line](std::uint32_t bit) {
      line[bit / 8] |= static_cast<std::byte>(1u << (bit % 8));
      return true;
    });
  }
  append_fixed(bytes, probes);
  append_fixed(bytes, std::uint32_t{0});
  return bytes;
}

Result<Filter> Filter::decode(ByteView bytes) {
  if (bytes.size() < kLineBytes + kTailBytes || bytes.size() % kLineBytes != kTailBytes) {
    return Status::corruption("filter has " + std::to_string(bytes.size()) + " bytes: not whole cache lines");
  }
  Filter filter;
  const std::size_t lines = bytes.size() / kLineBytes;
  filter.probes_ = load<std::uint32_t>(bytes.data() + lines * kLineBytes);
  if (filter.probes_ == 0 || filter.probes_ > kProbesMax || lines > UINT32_MAX) {
    return Status::corruption("filter has " + std::to_string(filter.probes_) + " probes");
  }
  filter.lines_.resize(lines);
  std::memcpy(filter.lines_.data(), bytes.data(), lines * kLineBytes);
  return filter;
}

bool Filter::may_contain(std::uint64_t hash) const noexcept {
  const Line& line = lines_[line_of(hash, lines_.size())];
  bool is_there = true;
  for_each_bit(hash, probes_, [&line, &is_there](std::uint32_t bit) {
    is_there = ((line.words[bit / 64] >> (bit % 64)) & 1) != 0;
    return is_there;
  });
  return is_there;
}

}  // namespace hdb::sstable
