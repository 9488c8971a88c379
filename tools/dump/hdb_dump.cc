// hdb-dump: shows what is in a store's files, and checks whole stores. Reads only.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <new>
#include <string>

#include "io/file_name.h"
#include "tools/dump/dump.h"
#include "tools/dump/salvage.h"
#include "tools/program/program.h"

namespace {

using namespace hdb;

enum ExitCode : int { kAllWell = 0, kDamage = 1, kCannotTell = 2 };

void print_line(std::string_view line) {
  std::fwrite(line.data(), 1, line.size(), stdout);
  std::fputc('\n', stdout);
}

int fail(std::string_view message, ExitCode code) {
  std::fprintf(stderr, "hdb-dump: %.*s\n", static_cast<int>(message.size()), message.data());
  return code;
}

int fail(const Status& status) {
  return fail(status.message(), status.code() == StatusCode::kCorruption ? kDamage : kCannotTell);
}

int dump(const std::string& path, bool is_json) {
  if (posix_env().list(path).ok()) {
    return fail(path + ": is a directory; give a file of it, or check the store with: hdb-dump verify " + path,
                kCannotTell);
  }
  const dump::DumpOptions options{.form = is_json ? dump::Form::kJsonLines : dump::Form::kAnnotated};
  const Status status = dump::dump_file(posix_env(), path, options, print_line);
  std::fflush(stdout);
  if (status.code() == StatusCode::kNotFound)
    return fail(std::string(status.message()) + "; check the name", kCannotTell);
  return status.ok() ? kAllWell : fail(status);
}

std::string count_of(std::uint64_t count, const std::string& what) {
  return std::to_string(count) + (count == 1 ? " file " : " files ") + what;
}

// What to do about the errors.
std::string summary_of(const dump::VerifyResult& result) {
  std::string text;
  const auto add = [&text](std::uint64_t count, const std::string& what) {
    if (count > 0) text += (text.empty() ? "" : "; ") + count_of(count, what);
  };
  add(result.damaged(), "damaged or missing; restore from a backup");
  add(result.newer, "of a newer version; check with a newer hdb-dump");
  add(result.unreadable, "not readable; check owner and permissions, and run this again");
  if (result.unfinished > 0) text += "is no store yet; run the backup, restore or repair into it again";
  return text;
}

int verify(const std::string& store) {
  if (const auto names = posix_env().list(store); !names.ok()) {
    return fail(std::string(names.status().message()) + "; give the directory of a store", kCannotTell);
  }
  const Result<dump::VerifyResult> result = dump::verify_store(posix_env(), store, print_line);
  if (!result.ok()) {
    std::fflush(stdout);
    return fail(result.status());
  }
  print_line(std::to_string(result->files) + " files checked, " + std::to_string(result->errors) + " errors, " +
             std::to_string(result->orphans) + " orphans, " + std::to_string(result->torn_bytes) +
             " bytes of torn tail");
  std::fflush(stdout);
  if (result->errors == 0) return kAllWell;
  const bool is_damaged = result->damaged() > 0;
  const std::string remedy =
      is_damaged ? ", or make a store of what is intact with: hdb repair --dir " + store + " --to NEW" : "";
  return fail(store + ": " + summary_of(result.value()) + remedy, is_damaged ? kDamage : kCannotTell);
}

int salvage(const std::string& store, bool takes_unproved_keys) {
  const dump::SalvageOptions options{.target = {}, .takes_unproved_keys = takes_unproved_keys};
  const auto report = dump::salvage_store(posix_env(), store, options, print_line);
  if (!report.ok()) {
    std::fflush(stdout);
    return fail(report.status());
  }
  print_line(dump::summary_of(report.value()));
  std::fflush(stdout);
  if (report->is_whole()) return kAllWell;
  return fail(store + ": is damaged; make a store of what is intact with: hdb repair --dir " + store + " --to NEW",
              kDamage);
}

int run(int argc, char** argv) {
  CLI::App app(
      "Shows the files of an HDB store byte by byte, and checks whole stores. Reads only.\n"
      "Exit codes: 0 all is well, 1 damage, 2 wrong arguments, or files that cannot be judged: not readable, of a "
      "newer\n"
      "version, or of a copy that has not ended.",
      "hdb-dump");
  std::string file;
  std::string store;
  bool is_json = false;
  app.add_option("FILE", file, "a log segment, table, manifest or CURRENT; its kind is found by name or magic");
  app.set_version_flag("--version", "hdb-dump " HDB_VERSION, "print the version");
  app.add_flag("--json", is_json, "one JSON object a line instead of annotated bytes");
  CLI::App* verify_command = app.add_subcommand("verify", "checks every file of a store against its manifest");
  verify_command->add_option("DIR", store, "the store's directory")->required();
  CLI::App* salvage_command =
      app.add_subcommand("salvage", "tells what of a damaged store is intact, and exactly what is lost");
  bool takes_unproved_keys = false;
  salvage_command->add_option("DIR", store, "the store's directory")->required();
  salvage_command->add_flag("--unproved-keys", takes_unproved_keys,
                            "count as intact what may be older than it was, or erased since");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return fail(std::string(error.what()) + "; see hdb-dump --help", kCannotTell);
  }
  if (verify_command->parsed()) {
    if (!file.empty() || is_json)
      return fail("verify takes a directory and nothing else; see hdb-dump --help", kCannotTell);
    return verify(without_trailing_slashes(store));
  }
  if (salvage_command->parsed()) {
    if (!file.empty() || is_json) return fail("salvage takes a directory; see hdb-dump --help", kCannotTell);
    return salvage(without_trailing_slashes(store), takes_unproved_keys);
  }
  if (file.empty()) return fail("no FILE given; see hdb-dump --help", kCannotTell);
  return dump(without_trailing_slashes(file), is_json);
}

}  // namespace

int main(int argc, char** argv) {
  prepare_program();
  try {
    const int code = run(argc, argv);
    const Status finished = finish_output();
    return finished.ok() ? code : fail(finished.message(), kCannotTell);
  } catch (const std::bad_alloc&) {
    return fail("out of memory", kCannotTell);
  }
}
