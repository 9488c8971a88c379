// kv-ingest: bare ordered key-value pairs: ascending 17-byte keys, values cut from a pool of random bytes.
#include <algorithm>
#include <memory>

#include "base/bytes.h"
#include "bench/random.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::string_view kPreset = "throughput";
constexpr std::size_t kKeyBytes = 17;
constexpr std::size_t kPoolBytes = 8u << 20;

// The pairs of a run, each made from its number alone. Immutable.
class PairMaker {
 public:
  PairMaker(std::uint64_t seed, std::uint64_t value_bytes) : seed_(seed), value_bytes_(value_bytes) {
    pool_.resize(kPoolBytes + value_bytes);
    Random random(seed);
    for (std::size_t offset = 0; offset + 8 <= pool_.size(); offset += 8) store(pool_.data() + offset, random.next());
  }

  // "k" and the number in 16 hexadecimal digits: ascending as bytes.
  static void make_key(std::uint64_t number, std::byte* to) {
    *to++ = std::byte{'k'};
    for (int shift = 60; shift >= 0; shift -= 4) {
      *to++ = static_cast<std::byte>("0123456789abcdef"[(number >> shift) & 15]);
    }
  }

  ByteView value(std::uint64_t number) const {
    return {pool_.data() + Random(seed_, number).below(kPoolBytes), value_bytes_};
  }

 private:
  std::uint64_t seed_;
  std::size_t value_bytes_;
  Buffer pool_;
};

class PairWriter : public Writer {
 public:
  explicit PairWriter(const PairMaker& maker) : maker_(maker) {}

  void prepare(std::uint64_t first, std::uint64_t count) override {
    keys_.resize(count * kKeyBytes);
    pairs_.clear();
    for (std::uint64_t index = 0; index < count; ++index) {
      std::byte* const key = keys_.data() + index * kKeyBytes;
      PairMaker::make_key(first + index, key);
      pairs_.push_back({{key, kKeyBytes}, maker_.value(first + index)});
    }
  }

  Status write(Peer& peer) override { return peer.put(pairs_); }

  std::uint64_t batch_bytes() const override {
    return pairs_.empty() ? 0 : pairs_.size() * (kKeyBytes + pairs_.front().value.size());
  }

 private:
  const PairMaker& maker_;
  Buffer keys_;
  std::vector<KeyValue> pairs_;
};

Status verify_pairs(const PairMaker& maker, std::uint64_t events, Peer& peer) {
  std::uint64_t number = 0;
  HDB_TRY(peer.read_pairs([&](ByteView key, ByteView value) -> Status {
    std::byte expected[kKeyBytes];
    PairMaker::make_key(number, expected);
    if (number >= events || !equal_bytes(key, {expected, kKeyBytes}) || !equal_bytes(value, maker.value(number))) {
      return Status::corruption("pair " + std::to_string(number) + " is not what was written");
    }
    ++number;
    return {};
  }));
  if (number == events) return {};
  return Status::corruption(std::to_string(number) + " pairs found, " + std::to_string(events) + " written");
}

}  // namespace

Status run_kv_ingest(const BenchOptions& options) {
  if (!options.inputs.empty()) return Status::invalid_argument("--input: kv-ingest makes its own pairs");
  constexpr std::string_view kSupported[] = {"hdb", "rocksdb", "leveldb"};
  IngestRounds rounds;
  rounds.workload = options.workload;
  rounds.engines = HDB_TRY(engines_of(options, {"hdb"}, kSupported));
  rounds.run_options = HDB_TRY(run_options(options, kPreset));
  rounds.value_bytes = options.value_bytes;
  rounds.complete = [&options](IngestRun& run) {
    const auto maker = std::make_shared<const PairMaker>(options.seed, options.value_bytes);
    run.make_writer = [maker]() -> std::unique_ptr<Writer> { return std::make_unique<PairWriter>(*maker); };
    run.verify = [maker, events = options.events](Peer& peer) { return verify_pairs(*maker, events, peer); };
  };
  return run_ingest_rounds(options, rounds);
}

}  // namespace hdb::bench
