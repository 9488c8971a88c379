#include "bench/ingest_run.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "bench/machine.h"
#include "bench/statistics.h"

namespace hdb::bench {

namespace {

constexpr std::uint64_t kSmallBatch = 64;

void fill_course(const std::vector<Acknowledged>& batches, IngestMeasurement& measured) {
  std::vector<double> sorted;
  for (const Acknowledged& batch : batches) sorted.push_back(batch.latency_us);
  std::sort(sorted.begin(), sorted.end());
  measured.p50_us = percentile(sorted, 50);
  measured.p99_us = percentile(sorted, 99);
  measured.p999_us = percentile(sorted, 99.9);
  measured.max_us = sorted.back();
  measured.course.done = "events acknowledged";
  measured.course.one = "a batch";
  for (std::size_t index = 0; index < kPercentiles.size(); ++index) {
    measured.course.latency_us[index] = percentile(sorted, kPercentiles[index]);
  }
  for (const Acknowledged& batch : batches) {
    measured.course.timeline.add(static_cast<std::uint64_t>(batch.at_s * 1e9), batch.events);
  }
}

Status verify_reopened(const IngestRun& run) {
  const std::unique_ptr<Peer> peer = HDB_TRY(open_peer(run.engine, run.settings));
  HDB_TRY(run.verify(*peer));
  return peer->close();
}

}  // namespace

Result<AppendTicket> Writer::submit(Peer&) {
  return Status::unsupported("--in-flight: events are waited for; choose a workload of pairs");
}

IngestRun ingest_run(const BenchOptions& options, const std::string& engine, const PeerSettings& settings) {
  IngestRun run;
  run.engine = engine;
  run.settings = settings;
  run.events = options.events;
  run.batch = options.batch;
  run.writers = options.writers;
  run.in_flight = options.in_flight;
  return run;
}

WriterTeam::WriterTeam(const IngestRun& run, Peer& peer)
    : run_(run), peer_(peer), members_(run.writers), working_(run.writers) {}

ThreadKind WriterTeam::threads() {
  return {"writer", run_.writers, [this](std::uint64_t index, Clock::time_point begin) {
            Status status = write_batches(members_[index], begin);
            if (!status.ok()) stop();
            working_.fetch_sub(1, std::memory_order_release);
            return status;
          }};
}

Status WriterTeam::write_batches(Member& member, Clock::time_point begin) {
  const std::unique_ptr<Writer> writer = run_.make_writer();
  const std::uint64_t end = batches_in_run();
  std::deque<Submitted> under_way;
  // Asking for a thread's processor time takes as long as preparing a small batch.
  const std::uint64_t batches_per_sample = run_.batch < kSmallBatch ? kSmallBatch : 1;
  while (true) {
    const std::uint64_t number = std::min(end, next_batch_.fetch_add(1, std::memory_order_relaxed));
    if (under_way.empty()) member.batch.store(number, std::memory_order_release);
    if (number == end) break;
    const std::uint64_t first = number * run_.batch;
    const std::uint64_t count = std::min(run_.batch, run_.events - first);
    if (number % batches_per_sample == 0) {
      const double cpu_before_s = thread_cpu_s();
      writer->prepare(first, count);
      member.generator_cpu_s += (thread_cpu_s() - cpu_before_s) * static_cast<double>(batches_per_sample);
    } else {
      writer->prepare(first, count);
    }
    member.user_bytes += writer->batch_bytes();

    const Clock::time_point called = Clock::now();
    if (run_.in_flight == 1) {
      HDB_TRY(writer->write(peer_));
      member.batches.push_back({seconds_since(begin), seconds_since(called) * 1e6, count});
      continue;
    }
    if (under_way.size() == run_.in_flight) HDB_TRY(take_submitted(under_way, member, begin));
    under_way.push_back({HDB_TRY(writer->submit(peer_)), called, number, count});
  }
  while (!under_way.empty()) HDB_TRY(take_submitted(under_way, member, begin));
  member.batch.store(end, std::memory_order_release);
  return {};
}

Status WriterTeam::take_submitted(std::deque<Submitted>& under_way, Member& member, Clock::time_point begin) {
  const Submitted first = std::move(under_way.front());
  under_way.pop_front();
  HDB_TRY(Status(first.ticket.wait().status()));
  member.batches.push_back({seconds_since(begin), seconds_since(first.called) * 1e6, first.events});
  if (!under_way.empty()) member.batch.store(under_way.front().number, std::memory_order_release);
  return {};
}

// Leaves the others none to take.
void WriterTeam::stop() noexcept {
  next_batch_.store(batches_in_run(), std::memory_order_relaxed);
}

// Batches are taken in ascending order, so what a writer takes next is not below what it published last.
std::uint64_t WriterTeam::events_below() const noexcept {
  std::uint64_t batch = batches_in_run();
  for (const Member& member : members_) batch = std::min(batch, member.batch.load(std::memory_order_acquire));
  return std::min(run_.events, batch * run_.batch);
}

std::vector<Acknowledged> WriterTeam::batches() const {
  std::vector<Acknowledged> all;
  for (const Member& member : members_) all.insert(all.end(), member.batches.begin(), member.batches.end());
  std::sort(all.begin(), all.end(), [](const Acknowledged& a, const Acknowledged& b) { return a.at_s < b.at_s; });
  return all;
}

std::uint64_t WriterTeam::user_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const Member& member : members_) bytes += member.user_bytes;
  return bytes;
}

double WriterTeam::generator_cpu_s() const noexcept {
  double seconds = 0;
  for (const Member& member : members_) seconds += member.generator_cpu_s;
  return seconds;
}

Result<std::unique_ptr<Peer>> fill_peer(const IngestRun& run) {
  std::unique_ptr<Peer> peer = HDB_TRY(open_peer(run.engine, run.settings));
  WriterTeam team(run, *peer);
  const ThreadKind kinds[] = {team.threads()};
  HDB_TRY(run_threads(kinds));
  return peer;
}

Status fill_and_close(const IngestRun& run) {
  const std::unique_ptr<Peer> peer = HDB_TRY(fill_peer(run));
  return peer->close();
}

bool is_verified(const std::string& engine, const Status& status) {
  if (status.ok()) return true;
  std::fprintf(stderr, "hdb-bench: %s: the read-back failed: %s\n", engine.c_str(),
               std::string(status.message()).c_str());
  return false;
}

Result<IngestMeasurement> measure_ingest(const IngestRun& run) {
  IngestMeasurement measured;
  measured.events = run.events;
  std::unique_ptr<Peer> peer = HDB_TRY(open_peer(run.engine, run.settings));
  WriterTeam team(run, *peer);
  std::vector<ThreadKind> kinds = {team.threads()};
  if (run.beside) kinds.push_back(run.beside(*peer, team));
  const ProcessCounters before = process_counters();
  const double worked_s = HDB_TRY(run_threads(kinds));
  const Clock::time_point worked = Clock::now();
  HDB_TRY(peer->close());
  const double settled_s = worked_s + seconds_since(worked);
  peer.reset();
  const ProcessCounters after = process_counters();

  const std::vector<Acknowledged> batches = team.batches();
  const double acknowledged_s = batches.back().at_s;
  measured.user_bytes = team.user_bytes();
  measured.generator_cpu_s = team.generator_cpu_s();
  measured.events_per_s = static_cast<double>(run.events) / acknowledged_s;
  measured.settled_events_per_s = static_cast<double>(run.events) / settled_s;
  fill_course(batches, measured);
  measured.cpu_s = after.cpu_s - before.cpu_s;
  measured.bytes_written = after.bytes_written - before.bytes_written;
  measured.peak_rss_bytes = after.peak_rss_bytes;
  measured.directory_bytes = directory_bytes(run.settings.directory);
  if (run.observe) run.observe(batches);
  measured.is_verified = is_verified(run.engine, verify_reopened(run));
  return measured;
}

void add_ingest(FigureMeasurement& measured, const IngestMeasurement& ingested) {
  measured.figures.rate("events_per_s", ingested.events_per_s)
      .rate("settled_events_per_s", ingested.settled_events_per_s)
      .cost("p50_us", ingested.p50_us)
      .cost("p99_us", ingested.p99_us)
      .cost("p999_us", ingested.p999_us)
      .cost("max_us", ingested.max_us)
      .amount("bytes_written", ingested.bytes_written)
      .cost("write_amplification",
            static_cast<double>(ingested.bytes_written) / static_cast<double>(ingested.user_bytes))
      .amount("directory_bytes", ingested.directory_bytes)
      .cost("bytes_per_event", static_cast<double>(ingested.directory_bytes) / static_cast<double>(ingested.events))
      .amount("peak_rss_bytes", ingested.peak_rss_bytes)
      .cost("cpu_s", ingested.cpu_s)
      .part("generator_cpu_s", ingested.generator_cpu_s);
  measured.courses.add(ingested.course);
  measured.is_verified = ingested.is_verified;
}

}  // namespace hdb::bench
