// bench/workload.h: the workloads, and what those that fill engines share.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/figures.h"
#include "bench/ingest_run.h"
#include "bench/options.h"
#include "bench/result.h"

namespace hdb::bench {

struct Workload {
  std::string_view name;
  std::string_view summary;  // one line
  Status (*run)(const BenchOptions& options);
};
std::span<const Workload> all_workloads();

Status run_kv_ingest(const BenchOptions& options);
Status run_ingest(const BenchOptions& options);
Status run_space(const BenchOptions& options);
Status run_kv_get(const BenchOptions& options);
Status run_kv_scan(const BenchOptions& options);
Status run_recover(const BenchOptions& options);
Status run_open(const BenchOptions& options);
Status run_mixed(const BenchOptions& options);
Status run_skip_list(const BenchOptions& options);
Status run_batch_encode(const BenchOptions& options);
Status run_checksum(const BenchOptions& options);
Status run_log_append(const BenchOptions& options);
Status run_log_sync(const BenchOptions& options);

// Where the stores of a run go: --dir, or a new temporary directory.
Result<std::filesystem::path> scratch_parent(const BenchOptions& options);

// The engines asked for, or `fallback`; kInvalidArgument names one that is not built in or not for this workload.
Result<std::vector<std::string>> engines_of(const BenchOptions& options, std::vector<std::string> fallback,
                                            std::span<const std::string_view> supported);

// What all results of a run have in common; engine and round are left to be said.
Result<RunLabel> label_of(const BenchOptions& options, const RunOptions& run);

// Progress, on standard error and only if that is a terminal.
void report_progress(const RunLabel& label, std::uint64_t rounds);

// Every engine in turn, each round, each in a child of its own; prints results and ratios, and writes the report.
struct FigureRounds {
  std::vector<std::string> engines;
  RunOptions run_options;
  bool takes_every_variant = false;  // the one with the better first rate counts; else each engine's first is the only
  // In this process, before `measure`, which finds what it made. May be empty.
  std::function<Status(const std::string& engine, const PeerSettings& settings)> prepare;
  // In the child.
  std::function<Result<FigureMeasurement>(const std::string& engine, const PeerSettings& settings)> measure;
};
Status run_figure_rounds(const BenchOptions& options, const FigureRounds& rounds);

// The rounds of a workload of generated pairs, but for `measure`: under the preset `throughput` unless told otherwise,
// HDB alone unless others of `supported` are asked for. kInvalidArgument if the options have an --input.
Result<FigureRounds> pair_rounds(const BenchOptions& options, std::span<const std::string_view> supported,
                                 const std::function<void(Options& engine)>& adjust = {});
inline constexpr std::string_view kPairEngines[] = {"hdb", "rocksdb", "leveldb", "lmdb"};

// A part of HDB alone, without peers: `measure` in rounds, in the child.
Status run_part(const BenchOptions& options,
                Result<FigureMeasurement> (*measure)(const BenchOptions& options, const PeerSettings& settings),
                const std::function<void(Options& engine)>& adjust = {});

// The figures that workloads of pairs begin with: what was asked for.
Figures asked_for(const BenchOptions& options);
// The same, of one thread.
Figures pairs_asked_for(const BenchOptions& options);

}  // namespace hdb::bench
