// recover, open: how long it takes from opening a store until it has answered its first get.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "bench/machine.h"
#include "bench/measurement.h"
#include "bench/pair_maker.h"
#include "bench/random.h"
#include "bench/statistics.h"
#include "bench/threads.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::uint64_t kRecoverBytes = 1ull << 30;       // of pairs, so that the log has no less
constexpr std::uint64_t kPairOverheadMax = 256;           // bytes that a pair takes in a memtable beside its own
constexpr std::uint64_t kMemtableBytesMax = 16ull << 30;  // the option's own bound
constexpr std::uint64_t kLevelBufferMax = 1ull << 30;     // LevelDB's bound on its write buffer
constexpr std::uint64_t kLevelOverhead = 64;              // as kPairOverheadMax, there
constexpr std::uint64_t kSmallTableBytes = 2ull << 20;
constexpr std::uint64_t kOpens = 5;

// An opened engine that has answered its first get.
struct Opened {
  std::unique_ptr<Peer> peer;
  double seconds = 0;
  Status checked;  // whether the get returned what was written
};

Result<Opened> open_timed(const IngestRun& run, const PairMaker& maker, std::uint64_t number) {
  const PairKey key(number);
  Opened opened;
  const Clock::time_point begin = Clock::now();
  opened.peer = HDB_TRY(open_peer(run.engine, run.settings));
  const std::unique_ptr<PeerReader> reader = HDB_TRY(opened.peer->make_reader());
  const auto value = HDB_TRY(reader->get(key.bytes()));
  opened.seconds = seconds_since(begin);
  if (!value || !equal_bytes(*value, maker.value(number))) {
    opened.checked = Status::corruption("pair " + std::to_string(number) + " is not what was written");
  }
  return opened;
}

// Bytes before the zeros at the end of the file, which space reserved ahead is read as.
Result<std::uint64_t> bytes_in_use(const std::filesystem::path& file) {
  constexpr std::uint64_t kPiece = 1u << 20;
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  if (!stream) return Status::io_error(file.string() + " cannot be read");
  auto end = static_cast<std::uint64_t>(stream.tellg());
  std::vector<char> piece;
  while (end > 0) {
    const std::uint64_t begin = end - std::min(end, kPiece);
    piece.resize(end - begin);
    stream.seekg(static_cast<std::streamoff>(begin));
    if (!stream.read(piece.data(), static_cast<std::streamsize>(piece.size()))) {
      return Status::io_error(file.string() + " cannot be read at byte " + std::to_string(begin));
    }
    const auto last = std::find_if(piece.rbegin(), piece.rend(), [](char byte) { return byte != 0; });
    if (last != piece.rend()) return begin + static_cast<std::uint64_t>(piece.rend() - last);
    end = begin;
  }
  return end;
}

// Of the files of the log: HDB's end in .wal, those of RocksDB and LevelDB in .log.
Result<std::uint64_t> log_bytes(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error)) {
    const std::filesystem::path suffix = entry.path().extension();
    if (entry.is_regular_file(error) && (suffix == ".wal" || suffix == ".log")) {
      bytes += HDB_TRY(bytes_in_use(entry.path()));
    }
  }
  if (error) return Status::io_error(directory.string() + ": " + error.message());
  return bytes;
}

// Fills the engine in a child that is killed when all is acknowledged.
Status fill_and_kill(const IngestRun& run) {
  std::unique_ptr<Peer> peer;  // the child dies with it open
  return run_in_killed_child([&]() -> Status {
    peer = HDB_TRY(fill_peer(run));
    return {};
  });
}

Result<FigureMeasurement> measure_recovery(const BenchOptions& options, const IngestRun& run, const PairMaker& maker) {
  const std::uint64_t replayed = HDB_TRY(log_bytes(run.settings.directory));
  const std::uint64_t written = options.events * options.value_bytes;
  if (replayed < written) {
    return Status::invalid_argument("the log held " + std::to_string(replayed) + " of " + std::to_string(written) +
                                    " bytes of values when the engine was killed; take fewer --events");
  }
  const ProcessCounters before = process_counters();
  const Opened opened = HDB_TRY(open_timed(run, maker, options.events - 1));
  const ProcessCounters after = process_counters();
  const Status verified = opened.checked.ok() ? run.verify(*opened.peer) : opened.checked;
  HDB_TRY(opened.peer->close());
  FigureMeasurement measured;
  measured.figures = asked_for(options);
  measured.figures.amount("log_bytes", replayed)
      .rate("bytes_per_s", static_cast<double>(replayed) / opened.seconds)
      .rate("events_per_s", static_cast<double>(options.events) / opened.seconds)
      .cost("open_ms", opened.seconds * 1e3)
      .amount("bytes_written", after.bytes_written - before.bytes_written)
      .amount("peak_rss_bytes", after.peak_rss_bytes)
      .cost("cpu_s", after.cpu_s - before.cpu_s);
  measured.is_verified = is_verified(run.engine, verified);
  return measured;
}

// The log keeps what is in memory: nothing is flushed before all is written.
void keep_all_in_log(const BenchOptions& options, Options& engine) {
  const std::uint64_t bytes = options.events * (kKeyBytes + options.value_bytes + kPairOverheadMax);
  engine.memtable_bytes = std::min(kMemtableBytesMax, std::max(engine.memtable_bytes, bytes));
  engine.log_bytes_max = std::max(engine.log_bytes_max, 2 * engine.memtable_bytes);
  engine.durability = Durability::kNone;
}

Status check_recover(const BenchOptions& options, const std::vector<std::string>& engines) {
  if (options.durability && *options.durability != Durability::kNone) {
    return Status::invalid_argument("--durability: recover writes with none, which outlives a killed process");
  }
  const std::uint64_t level_events = kLevelBufferMax / (kKeyBytes + options.value_bytes + kLevelOverhead);
  if (options.events <= level_events || std::find(engines.begin(), engines.end(), "leveldb") == engines.end())
    return {};
  return Status::invalid_argument(
      "--engine leveldb: its write buffer is 1 GiB at most, and flushing it would empty the log: take at most "
      "--events " +
      std::to_string(level_events));
}

std::uint64_t files_below(const std::filesystem::path& directory) {
  std::uint64_t files = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error)) {
    if (entry.is_regular_file(error)) ++files;
  }
  return files;
}

Result<FigureMeasurement> measure_opens(const BenchOptions& options, const IngestRun& run, const PairMaker& maker) {
  HDB_TRY(fill_and_close(run));
  FigureMeasurement measured;
  measured.figures = asked_for(options);
  measured.figures.given("opens", kOpens)
      .amount("files", files_below(run.settings.directory))
      .amount("directory_bytes", directory_bytes(run.settings.directory));
  Random random(options.seed);
  Status verified;
  std::vector<double> opens_ms;
  for (std::uint64_t open = 0; open < kOpens; ++open) {
    const Opened opened = HDB_TRY(open_timed(run, maker, random.below(options.events)));
    opens_ms.push_back(opened.seconds * 1e3);
    if (verified.ok()) verified = opened.checked;
    if (open + 1 == kOpens && verified.ok()) verified = run.verify(*opened.peer);
    HDB_TRY(opened.peer->close());
  }
  std::sort(opens_ms.begin(), opens_ms.end());
  measured.figures.cost("p50_ms", median(opens_ms)).cost("max_ms", opens_ms.back());
  Course course;
  course.one = "an open";
  for (std::size_t index = 0; index < kPercentiles.size(); ++index) {
    course.latency_us[index] = percentile(opens_ms, kPercentiles[index]) * 1e3;
  }
  measured.courses.add(course);
  measured.is_verified = is_verified(run.engine, verified);
  return measured;
}

// Every flush makes a small table, and merging makes them no larger.
void keep_tables_small(Options& engine) {
  engine.memtable_bytes = 2 * kSmallTableBytes;  // a full one makes two tables
  engine.table_bytes_target = kSmallTableBytes;
}

}  // namespace

Status run_recover(const BenchOptions& given) {
  BenchOptions options = given;
  const std::uint64_t pair_bytes = kKeyBytes + options.value_bytes;
  if (options.events == 0) options.events = (kRecoverBytes + pair_bytes - 1) / pair_bytes;
  constexpr std::string_view kSupported[] = {"hdb", "rocksdb", "leveldb"};
  FigureRounds rounds =
      HDB_TRY(pair_rounds(options, kSupported, [&options](Options& engine) { keep_all_in_log(options, engine); }));
  HDB_TRY(check_recover(options, rounds.engines));
  const auto maker = std::make_shared<const PairMaker>(options.seed, options.value_bytes);
  rounds.prepare = [&](const std::string& engine, const PeerSettings& settings) {
    return fill_and_kill(pair_run(options, engine, settings, maker));
  };
  rounds.measure = [&](const std::string& engine, const PeerSettings& settings) {
    return measure_recovery(options, pair_run(options, engine, settings, maker), *maker);
  };
  return run_figure_rounds(options, rounds);
}

Status run_open(const BenchOptions& options) {
  FigureRounds rounds = HDB_TRY(pair_rounds(options, kPairEngines, &keep_tables_small));
  rounds.measure = [&](const std::string& engine, const PeerSettings& settings) {
    const auto maker = std::make_shared<const PairMaker>(options.seed, options.value_bytes);
    return measure_opens(options, pair_run(options, engine, settings, maker), *maker);
  };
  return run_figure_rounds(options, rounds);
}

}  // namespace hdb::bench
