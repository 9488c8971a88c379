// log-append, log-sync: the log's writer alone, one thread, each group one batch. The first syncs nothing until its
// end; the second makes each group durable, in the way that the writer found the fastest here: what a commit by a
// single writer cannot do without. Encoding the batches is not timed.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "bench/encoded_pairs.h"
#include "bench/machine.h"
#include "bench/threads.h"
#include "bench/workload.h"
#include "io/env.h"
#include "io/file_name.h"
#include "wal/reader.h"
#include "wal/writer.h"

namespace hdb::bench {

namespace {

constexpr StoreId kStoreId = {'h', 'd', 'b', '-', 'b', 'e', 'n', 'c', 'h'};
constexpr Epoch kEpoch{1};
constexpr SegmentNumber kFirstSegment{1};
constexpr std::uint64_t kSyncedGroups = 20'000;

// The pairs of one group.
std::vector<std::uint64_t> numbers_of(const BenchOptions& options, std::uint64_t group) {
  const std::uint64_t first = group * options.batch;
  return numbers_from(first, std::min(options.batch, options.events - first));
}

std::uint64_t groups_of(const BenchOptions& options) {
  return (options.events + options.batch - 1) / options.batch;
}

// Whether the log, read as an open does, gives back every group.
Status check_log(const BenchOptions& options, const std::string& store, const PairMaker& maker) {
  const wal::ReplayStart start{kStoreId, kEpoch, {kFirstSegment, wal::kSegmentHeaderBytes}, SequenceNumber(1), 0};
  std::uint64_t groups = 0;
  const auto visit = [&](const wal::Group& group) -> Status {
    if (groups == groups_of(options) || group.batches.size() != 1) {
      return Status::corruption(group.place(store) + ": more was read than written");
    }
    return check_batch(maker, numbers_of(options, groups++), group.batches.front()).in_context(group.place(store));
  };
  HDB_TRY(wal::replay(posix_env(), store, start, visit));
  if (groups == groups_of(options)) return {};
  return Status::corruption(std::to_string(groups) + " groups read, " + std::to_string(groups_of(options)) +
                            " written");
}

// What the appends of one run showed.
struct Appends {
  std::uint64_t group_bytes = 0;  // of all groups, headers too
  std::uint64_t ns = 0;           // in the writer
  LatencyHistogram latencies;     // of one append
  Timeline timeline;              // of bytes, or of groups if they are durable; by time in the writer
};

Result<Appends> append_all(const BenchOptions& options, const PairMaker& maker, wal::Writer& writer, bool is_durable) {
  PairEncoder encoder(maker);
  Appends appends;
  for (std::uint64_t group = 0; group < groups_of(options); ++group) {
    encoder.prepare(numbers_of(options, group));
    const EncodedBatch batch = encoder.encode();
    const std::array<ByteView, 1> batches = {batch.bytes()};
    const std::uint64_t bytes = wal::kGroupHeaderBytes + batch.bytes().size();
    if (is_durable && bytes > wal::kBlockBytes) {
      return Status::invalid_argument(options.workload + ": a group of " + std::to_string(bytes) +
                                      " bytes is over one block of 4096; take a smaller --batch or --value-bytes");
    }
    const wal::GroupInput input{SequenceNumber(1 + group * options.batch), 0, Timestamp(), batches, batch.block()};
    const Clock::time_point called = Clock::now();
    HDB_TRY(writer.prepare(batch.bytes().size(), is_durable));
    HDB_TRY(writer.append(input, is_durable));
    const std::uint64_t latency_ns = ns_since(called);
    appends.latencies.add(latency_ns);
    appends.ns += latency_ns;
    appends.group_bytes += bytes;
    appends.timeline.add(appends.ns, is_durable ? 1 : bytes);
  }
  return appends;
}

Result<FigureMeasurement> measure_log(const BenchOptions& options, const PeerSettings& settings) {
  const bool is_durable = settings.options.durability == Durability::kSync;
  const PairMaker maker(options.seed, options.value_bytes);
  HDB_TRY(posix_env().create_directory(log_directory(settings.directory)));
  const wal::WriterStart start{.store_id = kStoreId,
                               .epoch = kEpoch,
                               .segment = kFirstSegment,
                               .recovered_end = {},
                               .next_sequence = SequenceNumber(1),
                               .next_position = 0,
                               .segment_bytes = settings.options.log_segment_bytes,
                               .writes = settings.options.log_writes};
  const ProcessCounters before = process_counters();
  const std::unique_ptr<wal::Writer> writer = HDB_TRY(wal::Writer::create(posix_env(), settings.directory, start));
  const Appends appends = HDB_TRY(append_all(options, maker, *writer, is_durable));
  const Clock::time_point appended = Clock::now();
  HDB_TRY(writer->close());
  const double appends_s = static_cast<double>(appends.ns) * 1e-9;
  const double settled_s = appends_s + seconds_since(appended);
  const ProcessCounters after = process_counters();

  const auto groups = static_cast<double>(groups_of(options));
  const auto bytes = static_cast<double>(appends.group_bytes);
  FigureMeasurement measured;
  measured.figures = pairs_asked_for(options);
  measured.figures.amount("groups", groups_of(options)).amount("group_bytes", appends.group_bytes);
  if (is_durable) measured.figures.rate("syncs_per_s", groups / appends_s);
  measured.figures.rate("bytes_per_s", bytes / appends_s)
      .rate("settled_bytes_per_s", bytes / settled_s)
      .cost("p50_us", appends.latencies.percentile_us(50))
      .cost("p99_us", appends.latencies.percentile_us(99))
      .cost("p999_us", appends.latencies.percentile_us(99.9))
      .cost("max_us", appends.latencies.percentile_us(100))
      .amount("bytes_written", after.bytes_written - before.bytes_written)
      .amount("peak_rss_bytes", after.peak_rss_bytes);
  measured.courses.add({is_durable ? "groups made durable, by time in the writer" : "bytes, by time in the writer",
                        is_durable ? "a group made durable" : "a group", appends.timeline,
                        latencies_us(appends.latencies)});
  measured.is_verified = is_verified("hdb", check_log(options, settings.directory, maker));
  return measured;
}

Status run_log(const BenchOptions& options, Durability durability) {
  if (options.durability && *options.durability != durability) {
    return Status::invalid_argument("--durability: " + options.workload + " writes with " +
                                    std::string(durability_name(durability)));
  }
  return run_part(options, &measure_log, [durability](Options& engine) { engine.durability = durability; });
}

}  // namespace

Status run_log_append(const BenchOptions& options) {
  return run_log(options, Durability::kNone);
}

Status run_log_sync(const BenchOptions& given) {
  BenchOptions options = given;
  if (options.events == 0) options.events = kSyncedGroups * options.batch;
  return run_log(options, Durability::kSync);
}

}  // namespace hdb::bench
