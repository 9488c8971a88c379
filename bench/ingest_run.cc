#include "bench/ingest_run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "bench/machine.h"

namespace hdb::bench {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Acknowledged {
  double at_s;        // since the run began
  double latency_us;  // of the batch
  std::uint64_t events;
};

// What one writer saw.
struct WriterLog {
  std::vector<Acknowledged> batches;
  std::uint64_t user_bytes = 0;
  double generator_cpu_s = 0;
  Status status;
};

// The next batch to write. Thread-safe: one atomic, no other data depends on it.
class BatchCounter {
 public:
  std::uint64_t take() { return next_.fetch_add(1, std::memory_order_relaxed); }
  // None below `end` is left to take.
  void stop(std::uint64_t end) { next_.store(end, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> next_{0};
};

std::uint64_t batches_of(const IngestRun& run) {
  return (run.events + run.batch - 1) / run.batch;
}

void write_batches(const IngestRun& run, Peer& peer, Clock::time_point begin, BatchCounter& counter, WriterLog& log) {
  const std::unique_ptr<Writer> writer = run.make_writer();
  const std::uint64_t batches = batches_of(run);
  for (std::uint64_t number = counter.take(); number < batches; number = counter.take()) {
    const std::uint64_t first = number * run.batch;
    const std::uint64_t count = std::min(run.batch, run.events - first);
    const double cpu_before_s = thread_cpu_s();
    writer->prepare(first, count);
    log.generator_cpu_s += thread_cpu_s() - cpu_before_s;
    log.user_bytes += writer->batch_bytes();

    const Clock::time_point called = Clock::now();
    log.status = writer->write(peer);
    if (!log.status.ok()) {
      counter.stop(batches);
      return;
    }
    log.batches.push_back({seconds_since(begin), seconds_since(called) * 1e6, count});
  }
}

double percentile(const std::vector<double>& sorted, double percent) {
  const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size())));
  return sorted[std::min(sorted.size() - 1, rank == 0 ? 0 : rank - 1)];
}

void fill_latencies(const std::vector<Acknowledged>& batches, IngestMeasurement& measured) {
  std::vector<double> sorted;
  for (const Acknowledged& batch : batches) sorted.push_back(batch.latency_us);
  std::sort(sorted.begin(), sorted.end());
  measured.p50_us = percentile(sorted, 50);
  measured.p99_us = percentile(sorted, 99);
  measured.p999_us = percentile(sorted, 99.9);
  measured.max_us = sorted.back();
  for (std::size_t index = 0; index < kPercentiles.size(); ++index) {
    measured.latency_us[index] = percentile(sorted, kPercentiles[index]);
  }
}

void fill_series(const std::vector<Acknowledged>& batches, double end_s, IngestMeasurement& measured) {
  measured.series_step_s = end_s / kSeriesPoints;
  for (const Acknowledged& batch : batches) {
    const auto point = std::min(kSeriesPoints - 1, static_cast<std::size_t>(batch.at_s / measured.series_step_s));
    measured.series[point] += static_cast<double>(batch.events) / measured.series_step_s;
  }
}

Result<std::vector<Acknowledged>> run_writers(const IngestRun& run, Peer& peer, Clock::time_point begin,
                                              IngestMeasurement& measured) {
  std::vector<WriterLog> logs(run.writers);
  BatchCounter counter;
  Status started;
  std::vector<std::thread> threads;
  threads.reserve(logs.size());
  try {
    for (WriterLog& log : logs) {
      threads.emplace_back([&run, &peer, begin, &counter, &log] { write_batches(run, peer, begin, counter, log); });
    }
  } catch (const std::system_error& error) {
    started = Status::error(StatusCode::kBusy,
                            "writer " + std::to_string(threads.size() + 1) + " of " + std::to_string(logs.size()) +
                                " cannot be started: " + error.code().message() +
                                "; raise the limits on processes or memory, or take fewer --writers");
    counter.stop(batches_of(run));
  }
  for (std::thread& thread : threads) thread.join();
  HDB_TRY(std::move(started));

  std::vector<Acknowledged> batches;
  for (WriterLog& log : logs) {
    HDB_TRY(log.status);
    batches.insert(batches.end(), log.batches.begin(), log.batches.end());
    measured.user_bytes += log.user_bytes;
    measured.generator_cpu_s += log.generator_cpu_s;
  }
  return batches;
}

Status verify_reopened(const IngestRun& run) {
  const std::unique_ptr<Peer> peer = HDB_TRY(open_peer(run.engine, run.settings));
  HDB_TRY(run.verify(*peer));
  return peer->close();
}

}  // namespace

Result<IngestMeasurement> measure_ingest(const IngestRun& run) {
  IngestMeasurement measured;
  measured.events = run.events;
  std::unique_ptr<Peer> peer = HDB_TRY(open_peer(run.engine, run.settings));
  const ProcessCounters before = process_counters();
  const Clock::time_point begin = Clock::now();
  const std::vector<Acknowledged> batches = HDB_TRY(run_writers(run, *peer, begin, measured));
  const double acknowledged_s = seconds_since(begin);
  HDB_TRY(peer->close());
  const double settled_s = seconds_since(begin);
  peer.reset();
  const ProcessCounters after = process_counters();

  measured.events_per_s = static_cast<double>(run.events) / acknowledged_s;
  measured.settled_events_per_s = static_cast<double>(run.events) / settled_s;
  fill_latencies(batches, measured);
  fill_series(batches, acknowledged_s, measured);
  measured.cpu_s = after.cpu_s - before.cpu_s;
  measured.bytes_written = after.bytes_written - before.bytes_written;
  measured.peak_rss_bytes = after.peak_rss_bytes;
  measured.directory_bytes = directory_bytes(run.settings.directory);

  const Status verified = verify_reopened(run);
  measured.is_verified = verified.ok();
  if (!verified.ok()) {
    std::fprintf(stderr, "hdb-bench: %s: the read-back failed: %s\n", run.engine.c_str(),
                 std::string(verified.message()).c_str());
  }
  return measured;
}

}  // namespace hdb::bench
