// mixed: writers append batches while readers get random pairs that are acknowledged, with flushes and compactions
// going on, until ten memtables are filled.
#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/pair_maker.h"
#include "bench/random_gets.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::uint64_t kMemtables = 10;
constexpr std::uint64_t kStretch = 128;  // gets between two looks at what there is to get

// How evenly batches were acknowledged.
struct Pace {
  double short_run_per_s = 0;  // events, until the first memtable's worth of bytes
  double sustained_per_s = 0;  // events, of the second half
  double worst_stall_ms = 0;   // the longest time without an acknowledgement
};

// `batches` in the order of acknowledgement, not empty; the first memtable is full with `memtable_events`, > 0.
Pace pace_of(std::span<const Acknowledged> batches, std::uint64_t memtable_events) {
  std::uint64_t total = 0;
  for (const Acknowledged& batch : batches) total += batch.events;
  Pace pace;
  std::uint64_t events = 0;
  std::uint64_t first_half = 0;
  double first_half_s = 0;
  double last_s = 0;
  for (const Acknowledged& batch : batches) {
    pace.worst_stall_ms = std::max(pace.worst_stall_ms, (batch.at_s - last_s) * 1e3);
    last_s = batch.at_s;
    if (events < memtable_events) pace.short_run_per_s = static_cast<double>(events + batch.events) / batch.at_s;
    events += batch.events;
    if (first_half == 0 && events * 2 >= total && events < total) {
      first_half = events;
      first_half_s = batch.at_s;
    }
  }
  pace.sustained_per_s = static_cast<double>(total - first_half) / (last_s - first_half_s);
  return pace;
}

// The readers of one run, each on its own.
class Readers {
 public:
  Readers(const PairMaker& maker, std::uint64_t count) {
    for (std::uint64_t thread = 0; thread < count; ++thread) gets_.emplace_back(maker, KeyKind::kPresent, thread);
    seconds_.resize(count);
  }

  ThreadKind threads(Peer& peer, const WriterTeam& team) {
    return {"reader", gets_.size(), [this, &peer, &team](std::uint64_t index, Clock::time_point begin) -> Status {
              return read(index, begin, peer, team);
            }};
  }

  Status check() const {
    for (const RandomGets& gets : gets_) HDB_TRY(gets.check());
    return {};
  }

  // Of each reader from its first get on, summed.
  double gets_per_s() const {
    double per_s = 0;
    for (std::size_t index = 0; index < gets_.size(); ++index) {
      if (seconds_[index] > 0) per_s += static_cast<double>(gets_[index].latencies().count()) / seconds_[index];
    }
    return per_s;
  }
  LatencyHistogram latencies() const { return latencies_of(gets_); }
  Timeline timeline() const { return timeline_of(gets_); }

 private:
  // Waits for the first pair, gets until the writers are done, and no less than one stretch.
  Status read(std::uint64_t index, Clock::time_point begin, Peer& peer, const WriterTeam& team) {
    const std::unique_ptr<PeerReader> reader = HDB_TRY(peer.make_reader());
    for (bool is_done = team.is_done(); team.events_below() == 0; is_done = team.is_done()) {
      if (is_done) return {};  // without having written anything: they failed
      std::this_thread::yield();
    }
    const Clock::time_point first = Clock::now();
    do {
      HDB_TRY(gets_[index].run(*reader, kStretch, team.events_below(), begin));
    } while (!team.is_done());
    seconds_[index] = seconds_since(first);
    return {};
  }

  std::vector<RandomGets> gets_;
  std::vector<double> seconds_;
};

FigureMeasurement figures_of(const BenchOptions& options, const IngestMeasurement& ingested, const Pace& pace,
                             const Readers& readers) {
  const LatencyHistogram gets = readers.latencies();
  FigureMeasurement measured;
  measured.figures = asked_for(options);
  measured.figures.given("readers", options.readers);
  add_ingest(measured, ingested);
  measured.figures.cost("worst_stall_ms", pace.worst_stall_ms)
      .rate("short_run_events_per_s", pace.short_run_per_s)
      .rate("sustained_events_per_s", pace.sustained_per_s)
      .rate("sustained_over_short_run", pace.sustained_per_s / pace.short_run_per_s)
      .amount("gets", gets.count())
      .rate("gets_per_s", readers.gets_per_s())
      .cost("get_p50_us", gets.percentile_us(50))
      .cost("get_p99_us", gets.percentile_us(99))
      .cost("get_p999_us", gets.percentile_us(99.9));
  measured.courses.add({"gets", "a get", readers.timeline(), latencies_us(gets)});
  return measured;
}

Result<FigureMeasurement> measure_mixed(const BenchOptions& options, const std::string& engine,
                                        const PeerSettings& settings) {
  const auto maker = std::make_shared<const PairMaker>(options.seed, options.value_bytes);
  Readers readers(*maker, options.readers);
  Pace pace;
  IngestRun run = pair_run(options, engine, settings, maker);
  run.beside = [&](Peer& peer, const WriterTeam& team) { return readers.threads(peer, team); };
  run.observe = [&](std::span<const Acknowledged> batches) {
    pace = pace_of(batches, std::max<std::uint64_t>(1, settings.options.memtable_bytes / maker->pair_bytes()));
  };
  run.verify = [&readers, verify = run.verify](Peer& peer) -> Status {
    HDB_TRY(readers.check());
    return verify(peer);
  };
  const IngestMeasurement ingested = HDB_TRY(measure_ingest(run));
  return figures_of(options, ingested, pace, readers);
}

}  // namespace

Status run_mixed(const BenchOptions& given) {
  BenchOptions options = given;
  FigureRounds rounds = HDB_TRY(pair_rounds(options, kPairEngines));
  rounds.takes_every_variant = true;
  if (options.events == 0) {
    options.events = kMemtables * rounds.run_options.options.memtable_bytes / (kKeyBytes + options.value_bytes) + 1;
  }
  rounds.measure = [&options](const std::string& engine, const PeerSettings& settings) {
    return measure_mixed(options, engine, settings);
  };
  return run_figure_rounds(options, rounds);
}

}  // namespace hdb::bench
