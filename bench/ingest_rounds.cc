#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "bench/machine.h"
#include "bench/report_html.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

// One engine, one round: each variant in a child and a directory of its own; the one with the better rate counts.
Result<IngestResult> run_once(const BenchOptions& options, const IngestRounds& rounds, const RunLabel& label) {
  std::optional<IngestResult> best;
  for (const std::string& variant : peer_variants(label.engine)) {
    const ScratchDirectory scratch = HDB_TRY(ScratchDirectory::create(scratch_parent(options), label.engine + variant));
    const std::function<Result<IngestMeasurement>()> work = [&] {
      IngestRun run;
      run.engine = label.engine;
      run.settings = {(scratch.path() / "store").string(), label.options, variant};
      run.events = options.events;
      run.batch = options.batch;
      run.writers = options.writers;
      rounds.complete(run);
      return measure_ingest(run);
    };
    IngestResult result{label, rounds.value_bytes, options.batch, options.writers,
                        HDB_TRY(measure_in_child<IngestMeasurement>(work))};
    result.label.variant = variant;
    if (!best || result.measured.events_per_s > best->measured.events_per_s) best = std::move(result);
  }
  return *std::move(best);
}

template <typename T>
Status print(const BenchOptions& options, const T& thing) {
  return print_line(options.output == OutputForm::kJson ? to_json(thing) : to_text(thing));
}

}  // namespace

std::filesystem::path scratch_parent(const BenchOptions& options) {
  return options.directory.empty() ? std::filesystem::temp_directory_path() : options.directory;
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
  }
  return options.engines.empty() ? std::move(fallback) : options.engines;
}

void report_progress(const std::string& line) {
  if (::isatty(STDERR_FILENO) == 1) std::fprintf(stderr, "%s\n", line.c_str());
}

Status run_ingest_rounds(const BenchOptions& options, const IngestRounds& rounds) {
  if (!options.report.empty()) HDB_TRY(check_report(options.report));
  RunLabel label;
  label.workload = rounds.workload;
  label.preset = rounds.run_options.preset;
  label.options = rounds.run_options.options;
  label.cpu_model = cpu_model();
  label.device_sync_p50_us = HDB_TRY(device_sync_p50_us(scratch_parent(options)));

  std::vector<IngestResult> results;
  for (label.round = 0; label.round < options.rounds; ++label.round) {
    for (const std::string& engine : rounds.engines) {
      label.engine = engine;
      report_progress(label.workload + ": " + engine + ", round " + std::to_string(label.round + 1) + " of " +
                      std::to_string(options.rounds));
      auto result = run_once(options, rounds, label);
      if (!result.ok()) return result.status().in_context(engine);
      HDB_TRY(print(options, *result.operator->()));
      results.push_back(std::move(result).value());
    }
  }
  for (const Ratio& ratio : ratios_of(results)) HDB_TRY(print(options, ratio));
  if (!options.report.empty()) HDB_TRY(write_report(options.report, results));
  const bool is_verified =
      std::all_of(results.begin(), results.end(), [](const IngestResult& r) { return r.measured.is_verified; });
  return is_verified ? Status() : Status::corruption("an engine did not return what was written; see above");
}

}  // namespace hdb::bench
