#include <fmt/format.h>

#include "tools/cli/verbs.h"

namespace hdb::cli {

Run add_init(CLI::App& command) {
  const auto arguments = std::make_shared<StoreArguments>();
  arguments->add_to(command);
  return [arguments, &command]() -> Result<ExitCode> {
    const auto options = arguments->options();
    if (!options.ok()) return usage_error(command, options.status());
    const auto engine = HDB_TRY(open_store(*arguments, options.value(), OpenMode::kCreate));
    const std::string store_id = engine->store_id();
    HDB_TRY(engine->close());
    fmt::print("{}: new store {}\n", arguments->directory, store_id);
    return ExitCode::kOk;
  };
}

}  // namespace hdb::cli
