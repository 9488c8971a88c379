#include <functional>
#include <optional>

#include "bench/machine.h"
#include "bench/measurement.h"
#include "bench/report_html.h"
#include "bench/turns.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

// One engine, one round: each variant in a child and a directory of its own.
Result<FigureResult> run_once(const BenchOptions& options, const FigureRounds& rounds, const RunLabel& label) {
  std::optional<FigureResult> best;
  std::vector<std::string> variants = peer_variants(label.engine);
  if (!rounds.takes_every_variant) variants.resize(1);
  for (const std::string& variant : variants) {
    const std::filesystem::path parent = HDB_TRY(scratch_parent(options));
    const ScratchDirectory scratch = HDB_TRY(ScratchDirectory::create(parent, label.engine + variant));
    const PeerSettings settings{(scratch.path() / "store").string(), label.options, variant};
    if (rounds.prepare) HDB_TRY(rounds.prepare(label.engine, settings));
    const std::function<Result<FigureMeasurement>()> work = [&] { return rounds.measure(label.engine, settings); };
    FigureResult result{label, HDB_TRY(measure_in_child<FigureMeasurement>(work))};
    if (rounds.takes_every_variant) result.label.variant = variant;
    if (!best || result.measured.figures.first_rate() > best->measured.figures.first_rate()) best = std::move(result);
  }
  return *std::move(best);
}

}  // namespace

Status run_figure_rounds(const BenchOptions& options, const FigureRounds& rounds) {
  if (!options.report.empty()) HDB_TRY(check_report(options.report));
  const std::function<Result<FigureResult>(const RunLabel&)> once = [&](const RunLabel& label) {
    return run_once(options, rounds, label);
  };
  const std::vector<FigureResult> results = HDB_TRY(take_turns(options, rounds.engines, rounds.run_options, once));
  const std::vector<Ratio> ratios = ratios_of(results);
  for (const Ratio& ratio : ratios) HDB_TRY(print_as(options.output, ratio));
  if (!options.report.empty()) HDB_TRY(write_report(options.report, results, ratios));
  return check_verified(results);
}

}  // namespace hdb::bench
