#include <fmt/format.h>

#include <algorithm>

#include "tools/cli/ingest_progress.h"
#include "tools/cli/verbs.h"
#include "tools/dump/salvage.h"

namespace hdb::cli {

namespace {

struct RepairArguments {
  std::string source;
  std::string target;
  bool takes_unproved_keys = false;
};

bool may_have_lost_progress(const dump::SalvageReport& report) {
  const auto& names = report.doubtful_keyspaces;
  return report.is_every_keyspace_doubtful || std::find(names.begin(), names.end(), kProgressKeyspace) != names.end();
}

Result<ExitCode> run_repair(const RepairArguments& arguments) {
  const dump::Sink sink = [](std::string_view line) { fmt::print("{}\n", line); };
  const dump::SalvageOptions options{.target = arguments.target, .takes_unproved_keys = arguments.takes_unproved_keys};
  const dump::SalvageReport report = HDB_TRY(dump::salvage_store(posix_env(), arguments.source, options, sink));
  // What was written was read back and checked; that it opens is what the user wants to know.
  const auto engine = HDB_TRY(Engine::open(arguments.target, presets::durable(), OpenMode::kOpen));
  const std::uint64_t positions = engine->stats().events;
  HDB_TRY(engine->close());
  if (positions != report.events + report.lost_events()) {
    return Status::corruption(fmt::format("{}: opens with {} positions, but {} were written", arguments.target,
                                          positions, report.events + report.lost_events()));
  }
  if (may_have_lost_progress(report)) {
    fmt::print(
        "note    how far 'hdb ingest' was in each file (keyspace {}) is lost, or may be: a file that is ingested again "
        "adds its events a second time, but for those with ids of their own\n",
        kProgressKeyspace);
  }
  fmt::print("{}: {}\n", arguments.target, dump::summary_of(report));
  return report.is_whole() ? ExitCode::kOk : ExitCode::kFoundDamage;
}

}  // namespace

Run add_repair(CLI::App& command) {
  const auto arguments = std::make_shared<RepairArguments>();
  command.add_option("-d,--dir", arguments->source, "the damaged store; nothing in it is changed")
      ->required()
      ->envname("HDB_DIR");
  command.add_option("--to", arguments->target, "a new directory, for the repaired store")->required();
  command.add_flag("--unproved-keys", arguments->takes_unproved_keys,
                   "also take values of keys that may be older than they were, or erased since");
  command.footer(
      "Events keep their positions. What is lost is told line by line, and 'hdb get' says so of each lost position. "
      "'hdb-dump salvage' tells the same without writing. A repair that was interrupted is run again as it was. Where "
      "keys of the keyspace hdb.ingest are lost, which is told, a file that is ingested again adds its events a second "
      "time, but for those with ids of their own.\n"
      "Exit codes: 0 the store had no damage, and the new one has all of it; 1 failed, and one line on standard error "
      "says why; 2 the arguments make no sense; 3 the store had damage, and the new one has what is intact.");
  return [arguments] { return run_repair(*arguments); };
}

}  // namespace hdb::cli
