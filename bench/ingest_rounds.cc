#include <functional>
#include <optional>

#include "bench/machine.h"
#include "bench/report_html.h"
#include "bench/turns.h"
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

}  // namespace

Status run_ingest_rounds(const BenchOptions& options, const IngestRounds& rounds) {
  if (!options.report.empty()) HDB_TRY(check_report(options.report));
  const std::function<Result<IngestResult>(const RunLabel&)> once = [&](const RunLabel& label) {
    return run_once(options, rounds, label);
  };
  const std::vector<IngestResult> results = HDB_TRY(take_turns(options, rounds.engines, rounds.run_options, once));
  for (const Ratio& ratio : ratios_of(results)) HDB_TRY(print_as(options.output, ratio));
  if (!options.report.empty()) HDB_TRY(write_report(options.report, results));
  return check_verified(results);
}

}  // namespace hdb::bench
