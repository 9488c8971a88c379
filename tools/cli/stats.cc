#include <fmt/format.h>

#include "tools/cli/output.h"
#include "tools/cli/verbs.h"

namespace hdb::cli {

namespace {

struct StatsArguments {
  StoreArguments store;
  bool is_json = false;
};

struct Counter {
  std::string_view name;
  std::uint64_t Stats::*value;
};
// A process that only asks has done nothing yet: what matters is what the store holds, and what opening it took.
constexpr Counter kCounters[] = {
    {"events", &Stats::events},
    {"event_tables", &Stats::event_tables},
    {"keyspace_tables", &Stats::keyspace_tables},
    {"table_bytes_live", &Stats::table_bytes_live},
    {"log_bytes_live", &Stats::log_bytes_live},
    {"memtable_bytes", &Stats::memtable_bytes},
    {"sealed_memtables", &Stats::sealed_memtables},
    {"block_cache_bytes", &Stats::block_cache_bytes},
    {"recovered_groups", &Stats::recovered_groups},
    {"torn_tail_bytes_cut", &Stats::torn_tail_bytes_cut},
    {"log_bytes_written", &Stats::log_bytes_written},
    {"log_syncs", &Stats::log_syncs},
    {"manifest_bytes_written", &Stats::manifest_bytes_written},
    {"table_bytes_flushed", &Stats::table_bytes_flushed},
    {"table_bytes_compacted", &Stats::table_bytes_compacted},
    {"flushes", &Stats::flushes},
    {"compactions", &Stats::compactions},
    {"table_moves", &Stats::table_moves},
};

std::string as_lines(const Engine& engine, const Stats& stats) {
  std::string text = fmt::format("{:<24}{}\n", "store_id", engine.store_id());
  for (const Counter& counter : kCounters) text += fmt::format("{:<24}{}\n", counter.name, stats.*counter.value);
  for (std::size_t level = 0; level < stats.keyspace_tables_by_level.size(); ++level) {
    const std::uint64_t tables = stats.keyspace_tables_by_level[level];
    if (tables > 0) text += fmt::format("{:<24}{}\n", fmt::format("keyspace_tables_level_{}", level), tables);
  }
  std::string names;
  for (const auto& entry : engine.keyspaces()) names += (names.empty() ? "" : ", ") + entry.first;
  return text + fmt::format("{:<24}{}\n", "keyspaces", names.empty() ? "none" : names);
}

std::string as_json(const Engine& engine, const Stats& stats) {
  std::string text = fmt::format("{{\"store_id\":\"{}\"", engine.store_id());
  for (const Counter& counter : kCounters) text += fmt::format(",\"{}\":{}", counter.name, stats.*counter.value);
  text += fmt::format(",\"keyspace_tables_by_level\":[{}]", fmt::join(stats.keyspace_tables_by_level, ","));
  text += ",\"keyspaces\":[";
  bool is_first = true;
  for (const auto& entry : engine.keyspaces()) {
    if (!is_first) text.push_back(',');
    is_first = false;
    append_json_string(text, entry.first);
  }
  return text + "]}\n";
}

Result<ExitCode> run_stats(const CLI::App& command, const StatsArguments& arguments) {
  const auto options = arguments.store.options();
  if (!options.ok()) return usage_error(command, options.status());
  const auto engine = HDB_TRY(open_store_read_only(arguments.store, options.value()));
  const Stats stats = engine->stats();
  Output output;
  HDB_TRY(output.write(arguments.is_json ? as_json(*engine, stats) : as_lines(*engine, stats)));
  HDB_TRY(output.flush());
  HDB_TRY(engine->close());
  return ExitCode::kOk;
}

}  // namespace

Run add_stats(CLI::App& command) {
  const auto arguments = std::make_shared<StatsArguments>();
  arguments->store.add_to(command);
  add_choice(command, "--output", arguments->is_json, {{"table", false}, {"json", true}}, "table or json [table]");
  return [arguments, &command] { return run_stats(command, *arguments); };
}

}  // namespace hdb::cli
