#include <fmt/format.h>

#include "tools/cli/verbs.h"

namespace hdb::cli {

Run add_compact(CLI::App& command) {
  const auto arguments = std::make_shared<StoreArguments>();
  arguments->add_to(command);
  return [arguments, &command]() -> Result<ExitCode> {
    const auto options = arguments->options();
    if (!options.ok()) return usage_error(command, options.status());
    const auto engine = HDB_TRY(open_store(*arguments, options.value(), OpenMode::kOpen));
    HDB_TRY(engine->flush());
    HDB_TRY(engine->compact());
    const Stats stats = engine->stats();
    HDB_TRY(engine->close());
    fmt::print("{} events in {} tables, {} bytes; {} compactions wrote {} bytes\n", stats.events,
               stats.event_tables + stats.keyspace_tables, stats.table_bytes_live, stats.compactions,
               stats.table_bytes_compacted);
    return ExitCode::kOk;
  };
}

}  // namespace hdb::cli
