#include "bench/pair_maker.h"

#include <string>
#include <vector>

namespace hdb::bench {

namespace {

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
  Result<AppendTicket> submit(Peer& peer) override { return peer.submit(pairs_); }

  std::uint64_t batch_bytes() const override { return pairs_.size() * maker_.pair_bytes(); }

 private:
  const PairMaker& maker_;
  Buffer keys_;
  std::vector<KeyValue> pairs_;
};

Status verify_pairs(const PairMaker& maker, std::uint64_t events, Peer& peer) {
  std::uint64_t number = 0;
  HDB_TRY(peer.read_pairs([&](ByteView key, ByteView value) -> Status {
    if (number >= events || !equal_bytes(key, PairKey(number).bytes()) || !equal_bytes(value, maker.value(number))) {
      return Status::corruption("pair " + std::to_string(number) + " is not what was written");
    }
    ++number;
    return {};
  }));
  if (number == events) return {};
  return Status::corruption(std::to_string(number) + " pairs found, " + std::to_string(events) + " written");
}

}  // namespace

PairMaker::PairMaker(std::uint64_t seed, std::uint64_t value_bytes) : seed_(seed), value_bytes_(value_bytes) {
  pool_.resize(kPoolBytes + value_bytes);
  Random random(seed);
  for (std::size_t offset = 0; offset + 8 <= pool_.size(); offset += 8) store(pool_.data() + offset, random.next());
}

IngestRun pair_run(const BenchOptions& options, const std::string& engine, const PeerSettings& settings,
                   const std::shared_ptr<const PairMaker>& maker) {
  IngestRun run = ingest_run(options, engine, settings);
  run.make_writer = [maker]() -> std::unique_ptr<Writer> { return std::make_unique<PairWriter>(*maker); };
  run.verify = [maker, events = options.events](Peer& peer) { return verify_pairs(*maker, events, peer); };
  return run;
}

}  // namespace hdb::bench
