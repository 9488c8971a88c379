// bench/ingest_run.h: several writers fill one engine, each taking the next batch; then it is settled, reopened and
// read back.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "bench/figures.h"
#include "bench/options.h"
#include "bench/peer.h"
#include "bench/threads.h"

namespace hdb::bench {

// One thread's side of a workload. Single-owner.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void prepare(std::uint64_t first, std::uint64_t count) = 0;  // makes the batch: the generator's time
  virtual Status write(Peer& peer) = 0;                                // commits it: the engine's time
  virtual Result<AppendTicket> submit(Peer& peer);                     // begins to: also the engine's
  virtual std::uint64_t batch_bytes() const = 0;                       // keys and values (records) in it
};

struct Acknowledged {
  double at_s;        // since the run began
  double latency_us;  // of the batch
  std::uint64_t events;
};

class WriterTeam;

struct IngestRun {
  std::string engine;
  PeerSettings settings;
  std::uint64_t events = 0;
  std::uint64_t batch = 0;
  std::uint64_t writers = 0;
  std::uint64_t in_flight = 1;  // batches of one writer under way at a time; above 1 they are submitted
  std::function<std::unique_ptr<Writer>()> make_writer;
  std::function<Status(Peer& reopened)> verify;  // an error says what differs

  // Threads beside the writers, which end soon after the team is done. May be empty.
  std::function<ThreadKind(Peer& peer, const WriterTeam& team)> beside;
  // Sees every batch, in the order of acknowledgement. May be empty.
  std::function<void(std::span<const Acknowledged> batches)> observe;
};

// Events, batch and writers as asked for.
IngestRun ingest_run(const BenchOptions& options, const std::string& engine, const PeerSettings& settings);

// What one run showed.
struct IngestMeasurement {
  std::uint64_t events = 0;
  double events_per_s = 0;          // until the last acknowledgement
  double settled_events_per_s = 0;  // until all is flushed and the store is closed
  double max_us = 0;                // of one batch, as the percentiles
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  std::uint64_t user_bytes = 0;       // keys and values (records) as handed over
  std::uint64_t bytes_written = 0;    // to the device, until closed: write_bytes of /proc/self/io
  std::uint64_t directory_bytes = 0;  // of the closed store
  std::uint64_t peak_rss_bytes = 0;   // of the process, before the read-back
  double cpu_s = 0;                   // user and system, of all threads, the generator's too
  double generator_cpu_s = 0;         // the part of cpu_s that made the events
  Course course;                      // of the batches
  bool is_verified = false;           // all read back, byte for byte, after a reopen
};

// The writers of one run. The const methods may be called by any thread, the others by one.
class WriterTeam {
 public:
  // Both must outlive the team.
  WriterTeam(const IngestRun& run, Peer& peer);

  ThreadKind threads();

  // All events with lower numbers are acknowledged.
  std::uint64_t events_below() const noexcept;
  bool is_done() const noexcept { return working_.load(std::memory_order_acquire) == 0; }

  // When it is done: every batch, in the order of acknowledgement.
  std::vector<Acknowledged> batches() const;
  std::uint64_t user_bytes() const noexcept;
  double generator_cpu_s() const noexcept;

 private:
  // One writer's, on cache lines of its own.
  struct alignas(64) Member {
    // What this writer took is acknowledged below this batch, which it may be writing. Published by release.
    std::atomic<std::uint64_t> batch{0};
    std::vector<Acknowledged> batches;
    std::uint64_t user_bytes = 0;
    double generator_cpu_s = 0;
  };

  std::uint64_t batches_in_run() const noexcept { return (run_.events + run_.batch - 1) / run_.batch; }
  struct Submitted {
    AppendTicket ticket;
    Clock::time_point called;
    std::uint64_t number;
    std::uint64_t events;
  };

  Status write_batches(Member& member, Clock::time_point begin);
  // Waits for the first of them.
  Status take_submitted(std::deque<Submitted>& under_way, Member& member, Clock::time_point begin);
  void stop() noexcept;

  const IngestRun& run_;
  Peer& peer_;
  std::vector<Member> members_;
  std::atomic<std::uint64_t> next_batch_{0};  // to be taken; no other data depends on it
  std::atomic<std::uint64_t> working_;        // writers that have not ended
};

// Opens the run's engine and lets the writers fill it; it is neither settled nor closed.
Result<std::unique_ptr<Peer>> fill_peer(const IngestRun& run);
// The same, settled and closed.
Status fill_and_close(const IngestRun& run);

// Whether the read-back was `status`; says on standard error how not.
bool is_verified(const std::string& engine, const Status& status);

// Runs it in this process; best in a forked child (measure_in_child).
Result<IngestMeasurement> measure_ingest(const IngestRun& run);

// As figures, behind those that are there; with the course.
void add_ingest(FigureMeasurement& measured, const IngestMeasurement& ingested);

}  // namespace hdb::bench
