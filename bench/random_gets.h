// bench/random_gets.h: one thread's gets of random keys, timed, and checked afterwards.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/course.h"
#include "bench/latency_histogram.h"
#include "bench/pair_maker.h"
#include "bench/peer.h"
#include "bench/random.h"
#include "bench/threads.h"

namespace hdb::bench {

enum class KeyKind : std::uint8_t {
  kPresent,  // those of pairs
  kAbsent,   // each between those of two pairs
};

// Single-owner.
class RandomGets {
 public:
  // `maker` must outlive this. Each thread has a number of its own.
  RandomGets(const PairMaker& maker, KeyKind kind, std::uint64_t thread);

  // Gets `count` keys below the one of the pair `end`, > 0. `begin` is that of the timeline, the same in each call.
  Status run(PeerReader& reader, std::uint64_t count, std::uint64_t end, Clock::time_point begin);

  // Whether all gets returned what they should have.
  Status check() const;

  // Of one get: with the making of its key and the folding of its value, some 20 ns.
  const LatencyHistogram& latencies() const { return latencies_; }
  const Timeline& timeline() const { return timeline_; }

 private:
  // What run() was asked for, to be walked again by check().
  struct Stretch {
    std::uint64_t count;
    std::uint64_t end;
  };

  Random first_random() const { return Random(maker_.seed() ^ kStream, thread_); }

  static constexpr std::uint64_t kStream = 0x6765747374726561;  // apart from that of the values

  const PairMaker& maker_;
  KeyKind kind_;
  std::uint64_t thread_;
  Random random_;
  std::uint64_t found_ = 0;
  std::uint64_t fold_ = 0;
  std::vector<Stretch> stretches_;
  Timeline timeline_;
  LatencyHistogram latencies_;
};

// Of all the threads.
LatencyHistogram latencies_of(const std::vector<RandomGets>& threads);
Timeline timeline_of(const std::vector<RandomGets>& threads);

}  // namespace hdb::bench
