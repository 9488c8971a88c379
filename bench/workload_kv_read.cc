// kv-get, kv-scan: the store of kv-ingest, closed and reopened; reading it all once checks it and warms the caches.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/fold.h"
#include "bench/machine.h"
#include "bench/pair_maker.h"
#include "bench/random_gets.h"
#include "bench/threads.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::uint64_t kEntriesPerLook = 1024;  // of a scan, between two looks at the clock

// A filled, reopened and read store under measurement.
struct ReadRun {
  const BenchOptions& options;
  const PairMaker& maker;
  Peer& peer;
  FigureMeasurement measured;
  Status checked;  // whether the timed reads returned what was written: the first that did not

  void check(const Status& status) {
    if (checked.ok()) checked = status;
  }
};
using Measure = Status (*)(ReadRun& run);  // adds to the figures what it showed

Result<FigureMeasurement> measure_reads(const BenchOptions& options, const IngestRun& filling, const PairMaker& maker,
                                        Measure measure) {
  HDB_TRY(fill_and_close(filling));
  const std::unique_ptr<Peer> peer = HDB_TRY(open_peer(filling.engine, filling.settings));
  ReadRun run{options, maker, *peer, {}, filling.verify(*peer)};
  run.measured.figures = asked_for(options);
  const ProcessCounters before = process_counters();
  HDB_TRY(measure(run));
  const ProcessCounters after = process_counters();
  HDB_TRY(peer->close());
  run.measured.figures.amount("directory_bytes", directory_bytes(filling.settings.directory))
      .amount("peak_rss_bytes", after.peak_rss_bytes)
      .cost("cpu_s", after.cpu_s - before.cpu_s);
  run.measured.is_verified = is_verified(filling.engine, run.checked);
  return run.measured;
}

struct GetRates {
  double per_s = 0;
  LatencyHistogram latencies;
  Timeline timeline;
};

Result<GetRates> run_gets(ReadRun& run, KeyKind kind) {
  const BenchOptions& options = run.options;
  // Behind the last pair there is no other that an absent key could lie before.
  const std::uint64_t end = kind == KeyKind::kPresent ? options.events : std::max<std::uint64_t>(1, options.events - 1);
  std::vector<RandomGets> threads;
  for (std::uint64_t thread = 0; thread < options.readers; ++thread) threads.emplace_back(run.maker, kind, thread);
  const auto work = [&](std::uint64_t index, Clock::time_point begin) -> Status {
    const std::unique_ptr<PeerReader> reader = HDB_TRY(run.peer.make_reader());
    return threads[index].run(*reader, options.queries, end, begin);
  };
  const ThreadKind kinds[] = {{"reader", options.readers, work}};
  const double seconds = HDB_TRY(run_threads(kinds));
  for (const RandomGets& thread : threads) run.check(thread.check());
  return GetRates{static_cast<double>(options.readers * options.queries) / seconds, latencies_of(threads),
                  timeline_of(threads)};
}

Status measure_gets(ReadRun& run) {
  const GetRates present = HDB_TRY(run_gets(run, KeyKind::kPresent));
  const GetRates absent = HDB_TRY(run_gets(run, KeyKind::kAbsent));
  run.measured.figures.given("readers", run.options.readers)
      .given("queries", run.options.queries)
      .rate("gets_per_s", present.per_s)
      .cost("p50_us", present.latencies.percentile_us(50))
      .cost("p99_us", present.latencies.percentile_us(99))
      .cost("p999_us", present.latencies.percentile_us(99.9))
      .cost("max_us", present.latencies.percentile_us(100))
      .rate("absent_gets_per_s", absent.per_s)
      .cost("absent_p50_us", absent.latencies.percentile_us(50))
      .cost("absent_p99_us", absent.latencies.percentile_us(99));
  Courses& courses = run.measured.courses;
  courses.add({"gets of existing keys", "a get of an existing key", present.timeline, latencies_us(present.latencies)});
  courses.add({"gets of absent keys", "a get of an absent key", absent.timeline, latencies_us(absent.latencies)});
  return {};
}

// Entries per s.
Result<double> run_scan(ReadRun& run, bool is_backward) {
  const std::uint64_t events = run.options.events;
  std::uint64_t fold = 0;
  std::uint64_t entries = 0;
  const std::unique_ptr<PeerReader> reader = HDB_TRY(run.peer.make_reader());
  Course course;
  course.done = is_backward ? "entries scanned backward" : "entries scanned forward";
  const Clock::time_point begin = Clock::now();
  HDB_TRY(reader->scan(is_backward, [&](ByteView, ByteView value) -> Status {
    fold = fold_all(fold, value);
    if (++entries % kEntriesPerLook == 0) course.timeline.add(ns_since(begin), kEntriesPerLook);
    return {};
  }));
  const double seconds = seconds_since(begin);
  course.timeline.add(ns_since(begin), entries % kEntriesPerLook);
  run.measured.courses.add(course);
  std::uint64_t expected = 0;
  for (std::uint64_t index = 0; index < events; ++index) {
    expected = fold_all(expected, run.maker.value(is_backward ? events - 1 - index : index));
  }
  if (entries != events || fold != expected) {
    run.check(Status::corruption(std::string(is_backward ? "the backward" : "the forward") +
                                 " scan returned other values than were written"));
  }
  return static_cast<double>(events) / seconds;
}

Status measure_scans(ReadRun& run) {
  run.measured.figures.rate("entries_per_s", HDB_TRY(run_scan(run, false)));
  run.measured.figures.rate("backward_entries_per_s", HDB_TRY(run_scan(run, true)));
  return {};
}

Status run_reads(const BenchOptions& options, Measure measure) {
  FigureRounds rounds = HDB_TRY(pair_rounds(options, kPairEngines));
  rounds.measure = [&options, measure](const std::string& engine, const PeerSettings& settings) {
    const auto maker = std::make_shared<const PairMaker>(options.seed, options.value_bytes);
    return measure_reads(options, pair_run(options, engine, settings, maker), *maker, measure);
  };
  return run_figure_rounds(options, rounds);
}

}  // namespace

Status run_kv_get(const BenchOptions& options) {
  return run_reads(options, &measure_gets);
}

Status run_kv_scan(const BenchOptions& options) {
  return run_reads(options, &measure_scans);
}

}  // namespace hdb::bench
