// bench/options.h: hdb-bench's command line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <hdb/options.h>

namespace hdb::bench {

enum class OutputForm : std::uint8_t { kText, kJson };

struct BenchOptions {
  std::string workload;
  std::vector<std::string> engines;   // in the order they take turns; empty: the workload's default
  std::string preset;                 // empty: the workload's default
  std::filesystem::path config;       // a TOML file of engine options; excludes `preset`
  std::vector<std::string> settings;  // KEY=VALUE engine options, applied last
  std::filesystem::path directory;    // where the stores are made and removed again
  std::uint64_t events = 0;           // 0: every line of the inputs, once; of some workloads: what they need
  std::uint64_t value_bytes = 200;
  std::uint64_t batch = 2000;  // of log-sync: 1
  std::uint64_t writers = 4;
  std::uint64_t in_flight = 1;  // batches of each writer under way at a time
  std::uint64_t readers = 2;
  std::uint64_t queries = 1'000'000;     // by each reader
  std::optional<Durability> durability;  // absent: the preset's
  std::uint64_t rounds = 1;
  std::uint64_t seed = 42;
  std::vector<std::filesystem::path> inputs;
  OutputForm output = OutputForm::kText;
  std::filesystem::path report;  // empty: none
};

// The command line, checked. An error is one line. kNotFound: `--help` was asked for, and its text is the message.
Result<BenchOptions> parse_options(int argc, char** argv);

// The engine's options of a run, and what to call them in its results.
struct RunOptions {
  Options options;
  std::string preset;
};

// The preset (or `default_preset`), or --config, with --durability and then --set applied, validated. Under the preset
// `throughput`, which is for bulk load, write buffers are 256 MiB and caches 2 GiB in every engine unless --set says
// otherwise; else every engine gets the preset's. `adjust`, which may be empty, is what a workload needs, applied
// before --set.
Result<RunOptions> run_options(const BenchOptions& bench, std::string_view default_preset,
                               const std::function<void(Options& options)>& adjust = {});

std::string_view durability_name(Durability durability);

}  // namespace hdb::bench
