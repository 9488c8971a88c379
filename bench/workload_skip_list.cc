// skip-list: the memtable's skip list alone, with ascending keys and the same in a random order, by one thread and by
// two. The batches are encoded before: what is timed is what a commit does after its log write.
#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench/encoded_pairs.h"
#include "bench/machine.h"
#include "bench/threads.h"
#include "bench/workload.h"
#include "memtable/memtable.h"

namespace hdb::bench {

namespace {

constexpr std::uint64_t kInserts = 500'000;  // of each run, unless told otherwise: random ones are slow

// One order of the keys and one number of threads.
struct SkipListRun {
  const char* rate;  // the name of its figure
  const char* done;  // of its course, as the next
  const char* one;
  std::uint64_t threads;
};
constexpr SkipListRun kAscendingRuns[] = {
    {"ascending_inserts_per_s", "ascending inserts by 1 thread", "a batch of ascending inserts, 1 thread", 1},
    {"ascending_2_threads_inserts_per_s", "ascending inserts by 2 threads", "a batch of ascending inserts, 2 threads",
     2},
};
constexpr SkipListRun kRandomRuns[] = {
    {"random_inserts_per_s", "random inserts by 1 thread", "a batch of random inserts, 1 thread", 1},
    {"random_2_threads_inserts_per_s", "random inserts by 2 threads", "a batch of random inserts, 2 threads", 2},
};

std::vector<EncodedBatch> encode_all(const BenchOptions& options, const PairMaker& maker,
                                     std::span<const std::uint64_t> numbers) {
  PairEncoder encoder(maker);
  std::vector<EncodedBatch> batches;
  for (std::uint64_t first = 0; first < options.events; first += options.batch) {
    encoder.prepare(numbers.subspan(first, std::min(options.batch, options.events - first)));
    batches.push_back(encoder.encode());
  }
  return batches;
}

// Fisher and Yates.
void shuffle(std::vector<std::uint64_t>& numbers, std::uint64_t seed) {
  Random random(seed);
  for (std::uint64_t left = numbers.size(); left > 1; --left) std::swap(numbers[left - 1], numbers[random.below(left)]);
}

// Whether every pair is there once, in order.
Status check_memtable(const MemTable& memtable, std::uint64_t events, const PairMaker& maker) {
  const std::unique_ptr<EntryIterator> entries = memtable.entries();
  std::uint64_t number = 0;
  for (bool is_there = entries->seek_to_first(); is_there; is_there = entries->next()) {
    if (number == events) return Status::corruption("more entries found than inserted");
    HDB_TRY(check_pair(maker, number++, entries->entry().key, entries->entry().value));
  }
  HDB_TRY(entries->status());
  if (number == events) return {};
  return Status::corruption(std::to_string(number) + " entries found, " + std::to_string(events) + " inserted");
}

// What one thread did.
struct Inserts {
  LatencyHistogram latencies;  // of a batch
  Timeline timeline;
};

// An error is of the threads; `checked` is whether all is there afterwards.
Status run_inserts(const BenchOptions& options, const SkipListRun& run, const std::vector<EncodedBatch>& batches,
                   const PairMaker& maker, FigureMeasurement& measured, Status& checked) {
  MemTable memtable(SequenceNumber(1), 0);
  std::atomic<std::size_t> next_batch = 0;  // to be taken; no other data depends on it
  std::vector<Inserts> inserts(run.threads);
  const auto work = [&](std::uint64_t index, Clock::time_point begin) -> Status {
    while (true) {
      const std::size_t number = next_batch.fetch_add(1, std::memory_order_relaxed);
      if (number >= batches.size()) return {};
      // Without an owner: `batches` outlive the memtable.
      EncodedBatch batch = EncodedBatch::view_of(batches[number].bytes(), nullptr);
      const std::uint64_t changes = batch.change_count();
      const Clock::time_point called = Clock::now();
      memtable.add(std::move(batch), SequenceNumber(1 + number * options.batch), 0, Timestamp());
      inserts[index].latencies.add(ns_since(called));
      inserts[index].timeline.add(ns_since(begin), changes);
    }
  };
  const ThreadKind kinds[] = {{"thread", run.threads, work}};
  const double seconds = HDB_TRY(run_threads(kinds));
  Inserts all;
  for (const Inserts& thread : inserts) {
    all.latencies.add_all(thread.latencies);
    all.timeline.add_all(thread.timeline);
  }
  measured.figures.rate(run.rate, static_cast<double>(options.events) / seconds);
  measured.courses.add({run.done, run.one, all.timeline, latencies_us(all.latencies)});
  if (checked.ok()) checked = check_memtable(memtable, options.events, maker);
  return {};
}

Result<FigureMeasurement> measure_inserts(const BenchOptions& options, const PeerSettings&) {
  const PairMaker maker(options.seed, options.value_bytes);
  FigureMeasurement measured;
  measured.figures = pairs_asked_for(options);
  Status checked;
  std::vector<std::uint64_t> numbers = numbers_from(0, options.events);
  for (const std::span<const SkipListRun> runs : {std::span(kAscendingRuns), std::span(kRandomRuns)}) {
    const std::vector<EncodedBatch> batches = encode_all(options, maker, numbers);
    for (const SkipListRun& run : runs) HDB_TRY(run_inserts(options, run, batches, maker, measured, checked));
    shuffle(numbers, options.seed);
  }
  measured.figures.amount("peak_rss_bytes", process_counters().peak_rss_bytes);
  measured.is_verified = is_verified("hdb", checked);
  return measured;
}

}  // namespace

Status run_skip_list(const BenchOptions& given) {
  BenchOptions options = given;
  if (options.events == 0) options.events = kInserts;
  return run_part(options, &measure_inserts);
}

}  // namespace hdb::bench
