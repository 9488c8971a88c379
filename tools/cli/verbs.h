// tools/cli/verbs.h: what hdb can be told to do; each verb is a file of its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <hdb/engine.h>

namespace hdb::cli {

enum class ExitCode : int { kOk = 0, kFailed = 1, kUsage = 2 };

// Runs a verb after its arguments were read. An error is printed as one line and is kFailed.
using Run = std::function<Result<ExitCode>()>;

Run add_init(CLI::App& command);
Run add_ingest(CLI::App& command);
Run add_get(CLI::App& command);
Run add_query(CLI::App& command);
Run add_stats(CLI::App& command);
Run add_compact(CLI::App& command);
Run add_verify(CLI::App& command);

// Prints the error as one line, with the command that explains the arguments.
ExitCode usage_error(const CLI::App& command, const Status& error);

// The store and the options to open it with, as every verb takes them.
struct StoreArguments {
  std::string directory;
  std::string preset;
  std::string config;
  std::vector<std::string> settings;  // key=value

  void add_to(CLI::App& command);
  // kInvalidArgument, a usage error, if they make no valid options.
  Result<Options> options() const;
};

// Opens the store and reports what the engine has to say (a torn log tail) to standard error.
Result<std::unique_ptr<Engine>> open_store(const StoreArguments& arguments, const Options& options, OpenMode mode);

}  // namespace hdb::cli
