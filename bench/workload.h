// bench/workload.h: the workloads, and what those that fill engines share.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

// Where the stores of a run go: --dir, or a new temporary directory.
std::filesystem::path scratch_parent(const BenchOptions& options);

// The engines asked for, or `fallback`; kInvalidArgument names one that is not built in or not for this workload.
Result<std::vector<std::string>> engines_of(const BenchOptions& options, std::vector<std::string> fallback,
                                            std::span<const std::string_view> supported);

// Progress, on standard error and only if that is a terminal.
void report_progress(const std::string& line);

// Every engine in turn, each round, each in a child of its own; prints results and ratios, and writes the report.
// `complete` adds the workload's writers and read-back to a run, in the child.
struct IngestRounds {
  std::string workload;
  std::vector<std::string> engines;
  RunOptions run_options;
  std::uint64_t value_bytes = 0;
  std::function<void(IngestRun& run)> complete;
};
Status run_ingest_rounds(const BenchOptions& options, const IngestRounds& rounds);

}  // namespace hdb::bench
