// bench/turns.h: engines take turns, round after round, and what each showed is printed at once.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bench/workload.h"

namespace hdb::bench {

// `run_once` is one engine's part of one round. All results, in order; the first error ends it.
template <typename Measured>
Result<std::vector<Measured>> take_turns(const BenchOptions& options, const std::vector<std::string>& engines,
                                         const RunOptions& run_options,
                                         const std::function<Result<Measured>(const RunLabel& label)>& run_once) {
  RunLabel label = HDB_TRY(label_of(options, run_options));
  if (options.output == OutputForm::kText) HDB_TRY(print_line(label.workload + ": " + circumstances(label)));
  std::vector<Measured> results;
  for (label.round = 0; label.round < options.rounds; ++label.round) {
    for (const std::string& engine : engines) {
      label.engine = engine;
      report_progress(label, options.rounds);
      auto result = run_once(label);
      if (!result.ok()) return result.status().in_context(engine);
      results.push_back(std::move(result).value());
      HDB_TRY(print_as(options.output, results.back()));
    }
  }
  return results;
}

template <typename Measured>
Status check_verified(const std::vector<Measured>& results) {
  const bool is_verified =
      std::all_of(results.begin(), results.end(), [](const Measured& result) { return result.measured.is_verified; });
  return is_verified ? Status() : Status::corruption("an engine did not return what was written; see above");
}

}  // namespace hdb::bench
