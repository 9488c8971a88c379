// bench/ingest_run.h: several writers fill one engine, each taking the next batch; then it is settled, reopened and
// read back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bench/measurement.h"
#include "bench/peer.h"

namespace hdb::bench {

// One thread's side of a workload. Single-owner.
class Writer {
 public:
  virtual ~Writer() = default;
  virtual void prepare(std::uint64_t first, std::uint64_t count) = 0;  // makes the batch: the generator's time
  virtual Status write(Peer& peer) = 0;                                // commits it: the engine's time
  virtual std::uint64_t batch_bytes() const = 0;                       // keys and values (records) in it
};

struct IngestRun {
  std::string engine;
  PeerSettings settings;
  std::uint64_t events = 0;
  std::uint64_t batch = 0;
  std::uint64_t writers = 0;
  std::function<std::unique_ptr<Writer>()> make_writer;
  std::function<Status(Peer& reopened)> verify;  // an error says what differs
};

// Runs it in this process; best in a forked child (measure_in_child).
Result<IngestMeasurement> measure_ingest(const IngestRun& run);

}  // namespace hdb::bench
