// bench/report_html.h: results as one HTML page with plots, readable offline: no scripts, no links.
#pragma once

#include <filesystem>
#include <span>

#include <hdb/status.h>

#include "bench/figures.h"

namespace hdb::bench {

// kInvalidArgument if the report could not be written there: asked before anything is measured for it.
Status check_report(const std::filesystem::path& file);

// Throughput over time and latency percentiles, as far as the results have courses, and the engines side by side; plots
// show each engine's round of median headline, the table all rounds.
Status write_report(const std::filesystem::path& file, std::span<const FigureResult> results,
                    std::span<const Ratio> ratios);

}  // namespace hdb::bench
