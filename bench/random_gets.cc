#include "bench/random_gets.h"

#include <chrono>
#include <string>

#include "bench/fold.h"

namespace hdb::bench {

RandomGets::RandomGets(const PairMaker& maker, KeyKind kind, std::uint64_t thread)
    : maker_(maker), kind_(kind), thread_(thread), random_(first_random()) {}

Status RandomGets::run(PeerReader& reader, std::uint64_t count, std::uint64_t end, Clock::time_point begin) {
  stretches_.push_back({count, end});
  Random random = random_;  // not beside that of another thread while it works
  std::uint64_t found = found_;
  std::uint64_t fold = fold_;
  Clock::time_point last = Clock::now();
  for (std::uint64_t query = 0; query < count; ++query) {
    const PairKey key(random.below(end));
    const auto value = HDB_TRY(reader.get(kind_ == KeyKind::kPresent ? key.bytes() : key.absent_bytes()));
    if (value) {
      ++found;
      fold = fold_ends(fold, *value);
    }
    const Clock::time_point now = Clock::now();
    latencies_.add(static_cast<std::uint64_t>(std::chrono::nanoseconds(now - last).count()));
    timeline_.add(static_cast<std::uint64_t>(std::chrono::nanoseconds(now - begin).count()), 1);
    last = now;
  }
  random_ = random;
  found_ = found;
  fold_ = fold;
  return {};
}

Status RandomGets::check() const {
  std::uint64_t expected_found = 0;
  std::uint64_t expected_fold = 0;
  Random random = first_random();
  for (const Stretch& stretch : stretches_) {
    if (kind_ == KeyKind::kAbsent) break;
    expected_found += stretch.count;
    for (std::uint64_t query = 0; query < stretch.count; ++query) {
      expected_fold = fold_ends(expected_fold, maker_.value(random.below(stretch.end)));
    }
  }
  if (found_ != expected_found) {
    return Status::corruption(std::to_string(found_) + " random gets found a value, " + std::to_string(expected_found) +
                              " should have");
  }
  if (fold_ != expected_fold) return Status::corruption("random gets returned other values than were written");
  return {};
}

LatencyHistogram latencies_of(const std::vector<RandomGets>& threads) {
  LatencyHistogram all;
  for (const RandomGets& thread : threads) all.add_all(thread.latencies());
  return all;
}

Timeline timeline_of(const std::vector<RandomGets>& threads) {
  Timeline all;
  for (const RandomGets& thread : threads) all.add_all(thread.timeline());
  return all;
}

}  // namespace hdb::bench
