// batch-encode: what an append does first, in its caller's thread: pairs become the bytes of a batch, with its
// checksum.
#include <algorithm>
#include <vector>

#include "bench/encoded_pairs.h"
#include "bench/machine.h"
#include "bench/threads.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

Result<FigureMeasurement> measure_encoding(const BenchOptions& options, const PeerSettings&) {
  const PairMaker maker(options.seed, options.value_bytes);
  PairEncoder encoder(maker);
  Course course;
  course.done = "pairs encoded, by the encoder's time";
  course.one = "a batch";
  LatencyHistogram latencies;
  std::uint64_t encoding_ns = 0;
  std::uint64_t encoded_bytes = 0;
  Status checked;
  for (std::uint64_t first = 0; first < options.events; first += options.batch) {
    const std::vector<std::uint64_t> numbers = numbers_from(first, std::min(options.batch, options.events - first));
    encoder.prepare(numbers);
    const Clock::time_point called = Clock::now();
    const EncodedBatch batch = encoder.encode();
    const std::uint64_t latency_ns = ns_since(called);
    latencies.add(latency_ns);
    encoding_ns += latency_ns;
    encoded_bytes += batch.bytes().size();
    course.timeline.add(encoding_ns, numbers.size());
    const Result<BatchView> decoded = BatchView::decode(batch.bytes());
    if (checked.ok()) checked = decoded.ok() ? check_batch(maker, numbers, decoded.value()) : decoded.status();
  }
  course.latency_us = latencies_us(latencies);
  const double seconds = static_cast<double>(encoding_ns) * 1e-9;
  FigureMeasurement measured;
  measured.figures = pairs_asked_for(options);
  measured.figures.amount("encoded_bytes", encoded_bytes)
      .rate("pairs_per_s", static_cast<double>(options.events) / seconds)
      .rate("bytes_per_s", static_cast<double>(encoded_bytes) / seconds)
      .cost("p50_us", latencies.percentile_us(50))
      .cost("p99_us", latencies.percentile_us(99))
      .amount("peak_rss_bytes", process_counters().peak_rss_bytes);
  measured.courses.add(course);
  measured.is_verified = is_verified("hdb", checked);
  return measured;
}

}  // namespace

Status run_batch_encode(const BenchOptions& options) {
  return run_part(options, &measure_encoding);
}

}  // namespace hdb::bench
