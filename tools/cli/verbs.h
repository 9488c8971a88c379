// tools/cli/verbs.h: what hdb can be told to do; each verb is a file of its own.
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <hdb/engine.h>

namespace hdb::cli {

enum class ExitCode : int { kOk = 0, kFailed = 1, kUsage = 2, kFoundDamage = 3 };

// Runs a verb after its arguments were read. An error is printed as one line and is kFailed.
using Run = std::function<Result<ExitCode>()>;

Run add_init(CLI::App& command);
Run add_ingest(CLI::App& command);
Run add_get(CLI::App& command);
Run add_query(CLI::App& command);
Run add_stats(CLI::App& command);
Run add_compact(CLI::App& command);
Run add_verify(CLI::App& command);
Run add_backup(CLI::App& command);
Run add_restore(CLI::App& command);
Run add_repair(CLI::App& command);

// Prints the error as one line, with the command that explains the arguments.
ExitCode usage_error(const CLI::App& command, const Status& error);

// An option that takes one of a few words. Another word is a usage error that lists them.
template <typename T>
CLI::Option* add_choice(CLI::App& command, const std::string& name, T& target,
                        const std::vector<std::pair<std::string, typename std::type_identity_t<T>>>& choices,
                        const std::string& purpose) {
  std::string words;
  for (const auto& choice : choices) words += (words.empty() ? "" : ",") + choice.first;
  const auto check = [choices, words](const std::string& word) {
    for (const auto& choice : choices) {
      if (choice.first == word) return std::string();
    }
    return "\"" + word + "\" is not one of " + words;
  };
  const auto take = [choices, &target](const std::string& word) {
    for (const auto& choice : choices) {
      if (choice.first == word) target = choice.second;
    }
  };
  return command.add_option_function<std::string>(name, take, purpose)->check(check)->type_name("{" + words + "}");
}

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
Result<std::unique_ptr<Engine>> open_store_read_only(const StoreArguments& arguments, const Options& options);

}  // namespace hdb::cli
