// hdb: the command line of an HDB store. Each verb is a file of its own; here they are only told apart.
//
// A failure is one line on standard error; kExitCodes says which number the program ends with.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <new>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "tools/cli/verbs.h"
#include "tools/program/program.h"

namespace hdb::cli {

namespace {

constexpr std::string_view kVersion = HDB_VERSION;

// As enum ExitCode.
constexpr std::string_view kExitCodes =
    "Exit codes: 0 done; 1 failed, and one line on standard error says why; 2 the arguments make no sense; 3 a store "
    "was repaired, and some of it is lost or in doubt.";

struct Verb {
  std::string_view name;
  std::string_view purpose;
  Run (*add)(CLI::App& command);
};
constexpr Verb kVerbs[] = {
    {"init", "make a new, empty store", &add_init},
    {"ingest", "append the lines of log files as events; goes on where it was after a kill", &add_ingest},
    {"get", "print events by position or id", &add_get},
    {"query", "print or count the events that match", &add_query},
    {"stats", "print sizes and counters", &add_stats},
    {"compact", "merge table files until there is nothing left to merge", &add_compact},
    {"verify", "check every file and read every event", &add_verify},
    {"backup", "make a directory a copy of the store, or bring it up to date", &add_backup},
    {"restore", "make a store of a backup, and check every byte of it", &add_restore},
    {"repair", "make a new store of what is intact in a damaged one", &add_repair},
};

// The message of a command line error, which may be of several lines, as one.
std::string one_line(std::string text) {
  for (char& letter : text) {
    if (letter == '\n') letter = ' ';
  }
  return text;
}

// Whether the first argument is meant as a verb but is none.
bool is_unknown_verb(std::string_view word) {
  if (word.starts_with('-')) return false;
  return std::none_of(std::begin(kVerbs), std::end(kVerbs), [word](const Verb& verb) { return verb.name == word; });
}

std::string verb_names() {
  std::string names;
  for (const Verb& verb : kVerbs) names += fmt::format("{}{}", names.empty() ? "" : ", ", verb.name);
  return names;
}

// An option that is given nothing, as an unset variable of a script gives it, must not mean that it was not given.
void refuse_empty_values(CLI::App& command) {
  const auto check = [](const std::string& value) { return std::string(value.empty() ? "is given no value" : ""); };
  for (CLI::Option* const option : command.get_options([](const CLI::Option*) { return true; })) {
    if (option->get_items_expected_max() > 0) option->check(check);
  }
}

constexpr std::string_view kMoreMemory = "give it more, or use --preset small";

// The store that a verb reads: that of --dir, and of a restore the backup, as what it was making is gone by then. Empty
// for repair, which is a remedy itself.
std::string store_of(const CLI::App& command) {
  std::string store;
  if (command.get_name() == "restore") {
    store = command.get_option("--from")->as<std::string>();
  } else if (command.get_option_no_throw("--preset") != nullptr) {
    store = command.get_option("--dir")->as<std::string>();
  }
  while (store.size() > 1 && store.back() == '/') store.pop_back();  // as messages have it
  return store;
}

// Whether the message tells of the store or a file in it: what is damaged may be another, as an earlier backup.
bool is_of_store(std::string_view message, std::string_view store) {
  for (std::size_t at = message.find(store); at != std::string_view::npos; at = message.find(store, at + 1)) {
    const std::string_view behind = message.substr(at + store.size());
    const bool begins = at == 0 || message[at - 1] == ' ' || message[at - 1] == '(';
    if (begins && (behind.starts_with('/') || behind.starts_with(':'))) return true;
  }
  return false;
}

// What a failure is told as: with its remedy, wherever in the store it was met.
std::string told(const CLI::App& command, const Status& failure) {
  std::string text = one_line(std::string(failure.message()));
  if (failure.code() == StatusCode::kOutOfMemory) return text + "; " + std::string(kMoreMemory);
  if (failure.code() != StatusCode::kCorruption) return text;
  const std::string store = store_of(command);
  if (store.empty() || !is_of_store(text, store)) return text;
  text.resize(std::min(text.size(), text.find("; run 'hdb-dump verify")));
  const bool names_verify = text.find("hdb-dump verify") != std::string::npos;
  text += names_verify ? "," : fmt::format("; 'hdb-dump verify {}' tells what is damaged,", store);
  return text + fmt::format(" and 'hdb repair --dir {} --to NEW' saves what is intact into a new store", store);
}

int run(int argc, char** argv) {
  if (argc > 1 && is_unknown_verb(argv[1])) {
    fmt::print(stderr, "hdb: \"{}\" is not a verb; the verbs are {}\n", argv[1], verb_names());
    return static_cast<int>(ExitCode::kUsage);
  }
  CLI::App app("An embedded, durable, ordered store of events.", "hdb");
  app.require_subcommand(1);
  app.set_version_flag("--version", fmt::format("hdb {}", kVersion), "print the version");
  app.footer(
      fmt::format("Times are 2018-03-24T17:15:20Z, epoch numbers, or relative (-15m). hdb VERB --help tells more.\n{}",
                  kExitCodes));
  std::vector<std::pair<CLI::App*, Run>> runs;
  for (const Verb& verb : kVerbs) {
    CLI::App* const command = app.add_subcommand(std::string(verb.name), std::string(verb.purpose));
    runs.emplace_back(command, verb.add(*command));
    refuse_empty_values(*command);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    const auto chosen = app.get_subcommands();
    const std::string command = chosen.empty() ? "hdb" : "hdb " + chosen.front()->get_name();
    fmt::print(stderr, "{}: {}; see {} --help\n", command, one_line(error.what()), command);
    return static_cast<int>(ExitCode::kUsage);
  }
  for (const auto& [command, verb] : runs) {
    if (!command->parsed()) continue;
    const auto code = verb();
    if (code.ok()) return static_cast<int>(code.value());
    fmt::print(stderr, "hdb {}: {}\n", command->get_name(), told(*command, code.status()));
    return static_cast<int>(ExitCode::kFailed);
  }
  return static_cast<int>(ExitCode::kUsage);
}

}  // namespace

}  // namespace hdb::cli

int main(int argc, char** argv) {
  hdb::prepare_program();
  try {
    const int code = hdb::cli::run(argc, argv);
    const hdb::Status finished = hdb::finish_output();
    if (finished.ok()) return code;
    fmt::print(stderr, "hdb: {}\n", finished.message());
    return static_cast<int>(hdb::cli::ExitCode::kFailed);
  } catch (const std::system_error& error) {  // fmt's, where a stream takes no more
    std::fprintf(stderr, "hdb: standard output cannot be written: %s\n", error.code().message().c_str());
    return static_cast<int>(hdb::cli::ExitCode::kFailed);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "hdb: out of memory; {}\n", hdb::cli::kMoreMemory);
    return static_cast<int>(hdb::cli::ExitCode::kFailed);
  }
}
