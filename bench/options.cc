#include "bench/options.h"

#include <algorithm>
#include <map>

#include <CLI/CLI.hpp>

namespace hdb::bench {

namespace {

const std::map<std::string, Durability> kDurabilities = {
    {"none", Durability::kNone}, {"interval", Durability::kInterval}, {"sync", Durability::kSync}};
const std::map<std::string, OutputForm> kOutputForms = {{"text", OutputForm::kText}, {"json", OutputForm::kJson}};

void declare(CLI::App& app, BenchOptions& options, std::string& durability, std::string& output) {
  app.add_option("workload", options.workload, "what to run: `hdb-bench list` names them all")->required();
  app.add_option("--engine", options.engines,
                 "engines to compare, in turn: hdb,rocksdb,leveldb,lmdb [hdb; space: rocksdb too]")
      ->delimiter(',');
  const auto preset =
      app.add_option("--preset", options.preset, "preset of engine options [throughput; space: durable]");
  app.add_option("--config", options.config, "TOML file of engine options")->excludes(preset);
  app.add_option("--set", options.settings, "KEY=VALUE: one engine option, applied last")->allow_extra_args(false);
  app.add_option("--dir", options.directory, "where the stores are made, and removed again [a temporary directory]");
  app.add_option("--events", options.events,
                 "events or pairs to write [2000000; with --input: its lines; recover: 1 GiB; mixed: 10 memtables; "
                 "skip-list: 500000; log-sync: 20000 batches]")
      ->check(CLI::Range(1ull, 1ull << 40));
  app.add_option("--value-bytes", options.value_bytes, "bytes per value [200]")->check(CLI::Range(1, 1 << 20));
  app.add_option("--batch", options.batch, "events per atomic batch [2000; log-sync: 1]")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--writers", options.writers, "threads that write [4]")->check(CLI::Range(1, 1024));
  app.add_option("--in-flight", options.in_flight,
                 "batches each writer has under way, submitted without waiting for them; pairs in hdb [1]")
      ->check(CLI::Range(1, 65536));
  app.add_option("--readers", options.readers, "threads that read [2]")->check(CLI::Range(1, 1024));
  app.add_option("--queries", options.queries, "queries of each reader [1000000]")->check(CLI::Range(1, 100'000'000));
  app.add_option("--durability", durability, "none, interval or sync [the preset's]")
      ->check(CLI::IsMember(kDurabilities));
  app.add_option("--rounds", options.rounds, "times each engine runs [1]")->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed, "of the generated data [42]")->check(CLI::NonNegativeNumber);
  app.add_option("--input", options.inputs, "NDJSON files (.gz, .zst or plain) instead of generated events");
  app.add_option("--output", output, "text or json: one object a line [text]")->check(CLI::IsMember(kOutputForms));
  app.set_version_flag("--version", "hdb-bench " HDB_VERSION "\n", "print the version");
  app.add_option("--report", options.report, "also write a self-contained HTML page with plots");
}

// These know best how many events they take, by the bytes of each or the time.
bool chooses_events(std::string_view workload) {
  return workload == "recover" || workload == "mixed" || workload == "skip-list" || workload == "log-sync";
}

// What CLI11 has no check for.
Status check_given(const CLI::App& app, const BenchOptions& options) {
  std::vector<std::string> engines = options.engines;
  std::sort(engines.begin(), engines.end());
  const auto twice = std::adjacent_find(engines.begin(), engines.end());
  if (twice != engines.end()) {
    return Status::invalid_argument("--engine " + *twice + " is there twice; --rounds says how often each runs");
  }
  if (app.count("--dir") > 0 && options.directory.empty()) {
    return Status::invalid_argument("--dir is empty; name a directory, or leave it out for a temporary one");
  }
  if (app.count("--report") > 0 && options.report.empty()) {
    return Status::invalid_argument("--report is empty; name a file to write");
  }
  if (options.batch * options.value_bytes > (200u << 20)) {
    return Status::invalid_argument("--batch times --value-bytes is over 200 MiB; choose smaller batches");
  }
  return {};
}

// CLI11 may explain over several lines; the first says what is wrong.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

Result<BenchOptions> parse_options(int argc, char** argv) {
  BenchOptions options;
  std::string durability;
  std::string output;
  CLI::App app("Measures HDB, and peers beside it. Figures hold for one machine and one run: quote the ratios.",
               "hdb-bench");
  declare(app, options, durability, output);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return Status::not_found(app.help());
  } catch (const CLI::CallForVersion& version) {
    return Status::not_found(version.what());
  } catch (const CLI::ParseError& error) {
    return Status::invalid_argument(first_line(error.what()) + "; `hdb-bench --help` lists the options");
  }
  if (!durability.empty()) options.durability = kDurabilities.at(durability);
  if (!output.empty()) options.output = kOutputForms.at(output);
  if (options.events == 0 && options.inputs.empty() && !chooses_events(options.workload)) options.events = 2'000'000;
  if (app.count("--batch") == 0 && options.workload == "log-sync") options.batch = 1;
  HDB_TRY(check_given(app, options));
  return options;
}

Result<RunOptions> run_options(const BenchOptions& bench, std::string_view default_preset,
                               const std::function<void(Options& options)>& adjust) {
  RunOptions run;
  if (!bench.config.empty()) {
    run.options = HDB_TRY(load_options(bench.config));
    run.preset = bench.config.filename().string();
  } else {
    run.preset = bench.preset.empty() ? std::string(default_preset) : bench.preset;
    run.options = HDB_TRY(preset_by_name(run.preset));
    if (run.preset == "throughput") {
      run.options.memtable_bytes = 256ull << 20;
      run.options.block_cache_bytes = 2ull << 30;
    }
  }
  if (adjust) adjust(run.options);
  if (bench.durability) run.options.durability = *bench.durability;
  for (const std::string& setting : bench.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return Status::invalid_argument("--set " + setting + ": write it as KEY=VALUE");
    }
    HDB_TRY(set_option(run.options, setting.substr(0, equals), setting.substr(equals + 1)));
    run.preset += " " + setting;
  }
  HDB_TRY(validate(run.options));
  return run;
}

std::string_view durability_name(Durability durability) {
  switch (durability) {
    case Durability::kNone:
      return "none";
    case Durability::kInterval:
      return "interval";
    case Durability::kSync:
      return "sync";
  }
  return "unknown";
}

}  // namespace hdb::bench
