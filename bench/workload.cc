#include "bench/workload.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "bench/machine.h"

namespace hdb::bench {

Result<std::filesystem::path> scratch_parent(const BenchOptions& options) {
  if (!options.directory.empty()) return options.directory;
  std::error_code error;
  std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
  if (error) {
    return Status::io_error("no directory for temporary files: " + error.message() +
                            "; set TMPDIR to one, or choose a writable --dir");
  }
  return temporary;
}

Result<std::vector<std::string>> engines_of(const BenchOptions& options, std::vector<std::string> fallback,
                                            std::span<const std::string_view> supported) {
  const std::vector<std::string> built_in = peer_names();
  for (const std::string& engine : options.engines) {
    if (std::find(supported.begin(), supported.end(), engine) == supported.end()) {
      std::string known;
      for (const std::string_view name : supported) known += (known.empty() ? "" : ", ") + std::string(name);
      return Status::invalid_argument("--engine " + engine + ": " + options.workload + " knows " + known);
    }
    if (std::find(built_in.begin(), built_in.end(), engine) == built_in.end()) {
      return Status::invalid_argument("--engine " + engine + " is not built in; install lib" + engine +
                                      "-dev and configure again");
    }
    if (options.in_flight > 1 && engine != "hdb") {
      return Status::invalid_argument("--in-flight: --engine " + engine +
                                      " has no way to submit without waiting; leave it out, or measure hdb alone");
    }
  }
  return options.engines.empty() ? std::move(fallback) : options.engines;
}

Result<FigureRounds> pair_rounds(const BenchOptions& options, std::span<const std::string_view> supported,
                                 const std::function<void(Options& engine)>& adjust) {
  if (!options.inputs.empty()) return Status::invalid_argument("--input: " + options.workload + " makes its own pairs");
  FigureRounds rounds;
  rounds.engines = HDB_TRY(engines_of(options, {"hdb"}, supported));
  rounds.run_options = HDB_TRY(run_options(options, "throughput", adjust));
  return rounds;
}

Status run_part(const BenchOptions& options,
                Result<FigureMeasurement> (*measure)(const BenchOptions& options, const PeerSettings& settings),
                const std::function<void(Options& engine)>& adjust) {
  constexpr std::string_view kSupported[] = {"hdb"};
  FigureRounds rounds = HDB_TRY(pair_rounds(options, kSupported, adjust));
  rounds.measure = [&options, measure](const std::string&, const PeerSettings& settings) {
    return measure(options, settings);
  };
  return run_figure_rounds(options, rounds);
}

Figures pairs_asked_for(const BenchOptions& options) {
  Figures figures;
  figures.given("events", options.events).given("value_bytes", options.value_bytes).given("batch", options.batch);
  return figures;
}

Figures asked_for(const BenchOptions& options) {
  Figures figures = pairs_asked_for(options).given("writers", options.writers);
  if (options.in_flight > 1) figures.given("in_flight", options.in_flight);
  return figures;
}

Result<RunLabel> label_of(const BenchOptions& options, const RunOptions& run) {
  RunLabel label;
  label.workload = options.workload;
  label.preset = run.preset;
  label.options = run.options;
  label.cpu_model = cpu_model();
  const std::filesystem::path parent = HDB_TRY(scratch_parent(options));
  label.device_sync_p50_us = HDB_TRY(device_sync_p50_us(parent));
  return label;
}

void report_progress(const RunLabel& label, std::uint64_t rounds) {
  if (::isatty(STDERR_FILENO) != 1) return;
  std::fprintf(stderr, "%s: %s, round %llu of %llu\n", label.workload.c_str(), label.engine.c_str(),
               static_cast<unsigned long long>(label.round + 1), static_cast<unsigned long long>(rounds));
}

}  // namespace hdb::bench
