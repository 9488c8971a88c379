#include <fmt/format.h>

#include <hdb/backup.h>

#include "tools/cli/verbs.h"

namespace hdb::cli {

namespace {

struct BackupArguments {
  StoreArguments store;
  std::string target;
  bool is_copied = false;
};

struct RestoreArguments {
  std::string source;
  std::string target;
};

void print(const BackupReport& report, const std::string& where) {
  const std::string replaced =
      report.tables_replaced > 0 ? fmt::format(", {} damaged there and copied again", report.tables_replaced) : "";
  fmt::print("{}: {} events; {} tables linked, {} copied ({} bytes), {} there already{}\n", where, report.events,
             report.tables_linked, report.tables_copied, report.bytes_copied, report.tables_kept, replaced);
}

Result<ExitCode> run_backup(const CLI::App& command, const BackupArguments& arguments) {
  const auto options = arguments.store.options();
  if (!options.ok()) return usage_error(command, options.status());
  const auto engine = HDB_TRY(open_store(arguments.store, options.value(), OpenMode::kOpen));
  const BackupReport report =
      HDB_TRY(engine->backup(arguments.target, arguments.is_copied ? BackupMode::kCopy : BackupMode::kLink));
  HDB_TRY(engine->close());
  print(report, arguments.target);
  return ExitCode::kOk;
}

}  // namespace

Run add_backup(CLI::App& command) {
  const auto arguments = std::make_shared<BackupArguments>();
  arguments->store.add_to(command);
  command.add_option("--to", arguments->target, "a new directory, or an earlier backup of the store")->required();
  command.add_flag("--copy", arguments->is_copied, "copy table files where hard links would do");
  command.footer(
      "The whole backup is read and checked, also what an earlier one left there. A store that a program has open is "
      "backed up by that program, with Engine::backup().");
  return [arguments, &command] { return run_backup(command, *arguments); };
}

Run add_restore(CLI::App& command) {
  const auto arguments = std::make_shared<RestoreArguments>();
  command.add_option("--from", arguments->source, "the backup")->required();
  command.add_option("-d,--dir", arguments->target, "a new directory, for the store")->required()->envname("HDB_DIR");
  return [arguments]() -> Result<ExitCode> {
    const BackupReport report = HDB_TRY(restore(arguments->source, arguments->target));
    print(report, arguments->target);
    return ExitCode::kOk;
  };
}

}  // namespace hdb::cli
