// ingest: real events with type, entity, host, tags and payload, every index of the preset on. A peer stores the same
// records as bare values; encoding them is part of its time, as it is of HDB's.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/mutex.h"
#include "base/record.h"
#include "bench/event_source.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::string_view kPreset = "throughput";
constexpr std::uint64_t kVerifyBatch = 1024;

// Which events a store has under which numbers: writers race, so batches come to lie in any order. Thread-safe.
class Placements {
 public:
  struct Placement {
    std::uint64_t stored_first;
    std::uint64_t event_first;
    std::uint64_t count;
  };

  void add(Placement placement) HDB_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    placements_.push_back(placement);
  }

  std::vector<Placement> sorted() HDB_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    std::vector<Placement> result = placements_;
    std::sort(result.begin(), result.end(),
              [](const Placement& a, const Placement& b) { return a.stored_first < b.stored_first; });
    return result;
  }

 private:
  Mutex mutex_;
  std::vector<Placement> placements_ HDB_GUARDED_BY(mutex_);
};

class EventWriter : public Writer {
 public:
  EventWriter(const EventSource& source, Placements& placements) : source_(source), placements_(placements) {}

  void prepare(std::uint64_t first, std::uint64_t count) override {
    first_ = first;
    events_ = source_.make(first, count, scratch_);
  }

  Status write(Peer& peer) override {
    const std::uint64_t stored_first = HDB_TRY(peer.append(events_, first_));
    placements_.add({stored_first, first_, events_.size()});
    return {};
  }

  std::uint64_t batch_bytes() const override {
    std::uint64_t bytes = 0;
    for (const Event& event : events_) bytes += sizeof(Position) + record_bytes(event);
    return bytes;
  }

 private:
  const EventSource& source_;
  Placements& placements_;
  EventScratch scratch_;
  std::uint64_t first_ = 0;
  std::span<const Event> events_;
};

// Walks the given events in the order in which the store has them. Single-owner.
class Expected {
 public:
  Expected(const EventSource& source, std::vector<Placements::Placement> placements)
      : source_(source), placements_(std::move(placements)) {}

  Status check_next(const StoredEvent& stored) {
    while (batch_ < placements_.size() && offset_ == placements_[batch_].count) {
      ++batch_;
      offset_ = 0;
    }
    if (batch_ == placements_.size()) return Status::corruption("more events found than written");
    const Placements::Placement& placement = placements_[batch_];
    const std::uint64_t in_piece = offset_ % kVerifyBatch;
    if (in_piece == 0) {
      piece_ =
          source_.make(placement.event_first + offset_, std::min(kVerifyBatch, placement.count - offset_), scratch_);
    }
    if (stored.position() != placement.stored_first + offset_ || !holds(stored, piece_[in_piece])) {
      return Status::corruption("event " + std::to_string(placement.event_first + offset_) + " at " +
                                std::to_string(stored.position()) + " is not what was written");
    }
    ++offset_;
    ++checked_;
    return {};
  }

  std::uint64_t checked() const { return checked_; }

 private:
  const EventSource& source_;
  std::vector<Placements::Placement> placements_;
  std::size_t batch_ = 0;
  std::uint64_t offset_ = 0;  // in the batch
  std::uint64_t checked_ = 0;
  EventScratch scratch_;
  std::span<const Event> piece_;
};

Status verify_events(const EventSource& source, Placements& placements, std::uint64_t events, Peer& peer) {
  Expected expected(source, placements.sorted());
  HDB_TRY(peer.read_events([&](const StoredEvent& stored) { return expected.check_next(stored); }));
  if (expected.checked() == events) return {};
  return Status::corruption(std::to_string(expected.checked()) + " events found, " + std::to_string(events) +
                            " written");
}

}  // namespace

Status run_ingest(const BenchOptions& given) {
  if (given.in_flight > 1) return Status::invalid_argument("--in-flight: ingest waits for its events; leave it out");
  BenchOptions options = given;
  FigureRounds rounds;
  rounds.engines = HDB_TRY(engines_of(options, {"hdb"}, kPairEngines));
  rounds.run_options = HDB_TRY(run_options(options, kPreset));
  rounds.takes_every_variant = true;

  const std::vector<InputFile> files = HDB_TRY(load_input_files(options.inputs));
  std::vector<InputLine> lines;
  std::unique_ptr<const EventSource> source = std::make_unique<GeneratedSource>(options.seed);
  if (!files.empty()) {
    lines = HDB_TRY(parse_input_lines(files));
    source = std::make_unique<InputSource>(lines);
    if (options.events == 0) options.events = lines.size();
  }
  rounds.measure = [&](const std::string& engine, const PeerSettings& settings) -> Result<FigureMeasurement> {
    Placements placements;
    IngestRun run = ingest_run(options, engine, settings);
    run.make_writer = [&]() -> std::unique_ptr<Writer> { return std::make_unique<EventWriter>(*source, placements); };
    run.verify = [&](Peer& peer) { return verify_events(*source, placements, options.events, peer); };
    FigureMeasurement measured;
    measured.figures.given("events", options.events).given("batch", options.batch).given("writers", options.writers);
    add_ingest(measured, HDB_TRY(measure_ingest(run)));
    return measured;
  };
  return run_figure_rounds(options, rounds);
}

}  // namespace hdb::bench
