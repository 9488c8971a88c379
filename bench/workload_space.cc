// space: real logs in, compacted, clean close: what the whole directory takes, by kind of file, against the raw logs,
// what gzip and zstd make of them, and RocksDB with zstd holding the same records.
#include <algorithm>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "bench/event_source.h"
#include "bench/machine.h"
#include "bench/measurement.h"
#include "bench/report_html.h"
#include "bench/statistics.h"
#include "bench/turns.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::string_view kPreset = "durable";

// The raw logs, whole and packed.
struct RawSizes {
  std::uint64_t raw_bytes = 0;
  std::uint64_t gzip6_bytes = 0;
  std::uint64_t zstd3_bytes = 0;
};

struct SpaceResult {
  RunLabel label;
  RawSizes raw;
  SpaceMeasurement measured;

  double share_of_raw() const {
    return static_cast<double>(measured.directory_bytes()) / static_cast<double>(raw.raw_bytes);
  }
};

RawSizes sizes_of(std::span<const InputFile> files) {
  RawSizes sizes;
  for (const InputFile& file : files) {
    sizes.raw_bytes += file.text.size();
    sizes.gzip6_bytes += gzip6_bytes(file.text);
    sizes.zstd3_bytes += zstd3_bytes(file.text);
  }
  return sizes;
}

bool is_log(const std::filesystem::path& file) {
  return file.extension() == ".wal" || file.extension() == ".log" || file.filename() == "LOG";
}

// Apparent sizes, the kind told by the name; HDB's and RocksDB's names are alike.
void add_sizes(const std::filesystem::path& directory, SpaceMeasurement& measured) {
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error)) {
    if (!entry.is_regular_file(error)) continue;
    const std::uint64_t bytes = entry.file_size(error);
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".sst") {
      measured.table_bytes += bytes;
    } else if (is_log(entry.path())) {
      measured.log_bytes += bytes;
    } else if (name.starts_with("MANIFEST") || name == "CURRENT") {
      measured.manifest_bytes += bytes;
    } else {
      measured.other_bytes += bytes;
    }
  }
}

Status verify(const EventSource& source, std::uint64_t events, Peer& peer) {
  std::uint64_t number = 0;
  EventScratch scratch;
  HDB_TRY(peer.read_events([&](const StoredEvent& stored) -> Status {
    if (number >= events || !holds(stored, source.make(number, 1, scratch).front())) {
      return Status::corruption("event " + std::to_string(number) + " is not what was written");
    }
    ++number;
    return {};
  }));
  if (number == events) return {};
  return Status::corruption(std::to_string(number) + " events found, " + std::to_string(events) + " written");
}

Result<SpaceMeasurement> measure_space(const std::string& engine, const PeerSettings& settings,
                                       const EventSource& source, std::uint64_t events, std::uint64_t batch) {
  SpaceMeasurement measured;
  measured.events = events;
  const ProcessCounters before = process_counters();
  std::unique_ptr<Peer> peer = HDB_TRY(open_peer(engine, settings));
  EventScratch scratch;
  for (std::uint64_t first = 0; first < events; first += batch) {
    HDB_TRY(peer->append(source.make(first, std::min(batch, events - first), scratch), first));
  }
  HDB_TRY(peer->compact());
  HDB_TRY(peer->close());
  const ProcessCounters after = process_counters();
  add_sizes(settings.directory, measured);
  measured.cpu_s = after.cpu_s - before.cpu_s;
  measured.peak_rss_bytes = after.peak_rss_bytes;

  peer = HDB_TRY(open_peer(engine, settings));
  HDB_TRY(verify(source, events, *peer).in_context("the read-back failed"));
  HDB_TRY(peer->close());
  measured.is_verified = true;
  return measured;
}

std::string to_json(const SpaceResult& result) {
  const SpaceMeasurement& measured = result.measured;
  JsonObject kinds;
  kinds.number("tables", measured.table_bytes)
      .number("log", measured.log_bytes)
      .number("manifest", measured.manifest_bytes)
      .number("other", measured.other_bytes);
  JsonObject json;
  add_label(json, result.label);
  json.number("events", measured.events)
      .number("directory_bytes", measured.directory_bytes())
      .object("bytes_by_kind", kinds)
      .number("raw_bytes", result.raw.raw_bytes)
      .number("gzip6_bytes", result.raw.gzip6_bytes)
      .number("zstd3_bytes", result.raw.zstd3_bytes)
      .number("share_of_raw", result.share_of_raw())
      .number("peak_rss_bytes", measured.peak_rss_bytes)
      .number("cpu_s", measured.cpu_s)
      .boolean("verified", measured.is_verified);
  return json.finish();
}

std::string to_text(const SpaceResult& result) {
  const SpaceMeasurement& measured = result.measured;
  return fmt::format(
      "{:<8} {} events in {}, {:.3f} of the raw {} (gzip -6 {}, zstd -3 {}); tables {}, log {}, manifest {}, other {}; "
      "{}",
      result.label.engine, measured.events, human_bytes(measured.directory_bytes()), result.share_of_raw(),
      human_bytes(result.raw.raw_bytes), human_bytes(result.raw.gzip6_bytes), human_bytes(result.raw.zstd3_bytes),
      human_bytes(measured.table_bytes), human_bytes(measured.log_bytes), human_bytes(measured.manifest_bytes),
      human_bytes(measured.other_bytes), measured.is_verified ? "verified" : "NOT VERIFIED");
}

// For the report. Packing the raw logs is no engine's work: its sizes stand beside each.
FigureResult figures_of(const SpaceResult& result) {
  const SpaceMeasurement& measured = result.measured;
  FigureResult figures{result.label, {}};
  figures.measured.figures.given("events", measured.events)
      .cost("directory_bytes", static_cast<double>(measured.directory_bytes()))
      .amount("table_bytes", measured.table_bytes)
      .amount("log_bytes", measured.log_bytes)
      .amount("manifest_bytes", measured.manifest_bytes)
      .amount("other_bytes", measured.other_bytes)
      .amount("raw_bytes", result.raw.raw_bytes)
      .amount("gzip6_bytes", result.raw.gzip6_bytes)
      .amount("zstd3_bytes", result.raw.zstd3_bytes)
      .cost("share_of_raw", result.share_of_raw())
      .amount("peak_rss_bytes", measured.peak_rss_bytes)
      .cost("cpu_s", measured.cpu_s);
  figures.measured.is_verified = measured.is_verified;
  return figures;
}

double bytes_of(std::span<const SpaceResult> results, std::string_view engine) {
  std::vector<double> values;
  for (const SpaceResult& result : results) {
    if (result.label.engine == engine) values.push_back(static_cast<double>(result.measured.directory_bytes()));
  }
  return values.empty() ? 0 : median(std::move(values));
}

// HDB against each other engine, and against the packed raw logs.
std::vector<Ratio> space_ratios(std::span<const SpaceResult> results) {
  const double ours = bytes_of(results, "hdb");
  if (ours == 0) return {};
  const auto ratio_to = [&](const std::string& peer, double theirs) {
    return Ratio{results.front().label.workload, peer, {{"directory_bytes", theirs / ours}}};
  };
  std::vector<Ratio> ratios;
  const double rocksdb = bytes_of(results, "rocksdb");
  if (rocksdb > 0) ratios.push_back(ratio_to("rocksdb", rocksdb));
  ratios.push_back(ratio_to("gzip-6", static_cast<double>(results.front().raw.gzip6_bytes)));
  ratios.push_back(ratio_to("zstd-3", static_cast<double>(results.front().raw.zstd3_bytes)));
  return ratios;
}

std::vector<std::string> default_engines() {
  std::vector<std::string> engines = peer_names();
  std::erase(engines, "leveldb");
  std::erase(engines, "lmdb");
  return engines;
}

}  // namespace

Status run_space(const BenchOptions& options) {
  if (options.inputs.empty()) return Status::invalid_argument("space: give real logs with --input FILE...");
  if (!options.report.empty()) HDB_TRY(check_report(options.report));
  constexpr std::string_view kSupported[] = {"hdb", "rocksdb"};
  const std::vector<std::string> engines = HDB_TRY(engines_of(options, default_engines(), kSupported));
  const RunOptions run = HDB_TRY(run_options(options, kPreset));
  const std::vector<InputFile> files = HDB_TRY(load_input_files(options.inputs));
  const std::vector<InputLine> lines = HDB_TRY(parse_input_lines(files));
  const InputSource source(lines);
  const std::uint64_t events = options.events == 0 ? lines.size() : options.events;

  const RawSizes raw = sizes_of(files);
  const std::function<Result<SpaceResult>(const RunLabel&)> once = [&](const RunLabel& label) -> Result<SpaceResult> {
    const std::filesystem::path parent = HDB_TRY(scratch_parent(options));
    const ScratchDirectory scratch = HDB_TRY(ScratchDirectory::create(parent, "space-" + label.engine));
    const PeerSettings settings{(scratch.path() / "store").string(), run.options, peer_variants(label.engine).front()};
    const std::function<Result<SpaceMeasurement>()> work = [&] {
      return measure_space(label.engine, settings, source, events, options.batch);
    };
    return SpaceResult{label, raw, HDB_TRY(measure_in_child<SpaceMeasurement>(work))};
  };
  const std::vector<SpaceResult> results = HDB_TRY(take_turns(options, engines, run, once));
  const std::vector<Ratio> ratios = space_ratios(results);
  for (const Ratio& ratio : ratios) HDB_TRY(print_as(options.output, ratio));
  if (options.report.empty()) return {};
  std::vector<FigureResult> figures;
  for (const SpaceResult& result : results) figures.push_back(figures_of(result));
  return write_report(options.report, figures, ratios);
}

}  // namespace hdb::bench
