#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "tools/cli/ingest_job.h"
#include "tools/cli/progress_meter.h"
#include "tools/cli/verbs.h"

namespace hdb::cli {

namespace {

constexpr std::uint64_t kReportsMax = 20;  // bad lines shown; further ones are counted

struct IngestArguments {
  StoreArguments store;
  IngestSettings settings;
  std::string mapping;
  std::string id_field;
  std::string acks;
  std::vector<std::string> files;
};

// kInvalidArgument, a usage error, if the mapping is none or does not go with the format.
Result<Mapping> make_mapping(const IngestArguments& arguments) {
  const bool is_raw = arguments.settings.format == InputFormat::kLines;
  if (is_raw && (!arguments.mapping.empty() || !arguments.id_field.empty())) {
    return Status::invalid_argument("--format lines has no fields for --mapping or --id-field; use zeek or ndjson");
  }
  if (is_raw) return Mapping{};
  Mapping mapping =
      HDB_TRY(!arguments.mapping.empty()                        ? Mapping::load(arguments.mapping)
              : arguments.settings.format == InputFormat::kZeek ? Mapping::parse(zeek_mapping(), "zeek.toml")
                                                                : Mapping::parse(ndjson_mapping(), "ndjson.toml"));
  if (!arguments.id_field.empty()) {
    mapping.id.fields.clear();
    mapping.id.fields.emplace_back(arguments.id_field);
  }
  return mapping;
}

// What makes other events of the same file: then its place under other settings says nothing.
std::string settings_text(const IngestArguments& arguments, const Mapping& mapping) {
  return fmt::format("{}\n{}\n{}\n{}", static_cast<int>(arguments.settings.format), arguments.settings.has_content_ids,
                     arguments.id_field, mapping.text);
}

using AcksFile = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

Result<AcksFile> open_acks(const std::string& path) {
  if (path.empty()) return AcksFile(nullptr, &std::fclose);
  AcksFile file(std::fopen(path.c_str(), "a"), &std::fclose);
  if (file == nullptr) {
    return Status::io_error(fmt::format("{}: cannot open for appending: {}; give --acks a file that can be written",
                                        path, std::strerror(errno)));
  }
  return file;
}

// All inputs exist and can be read, before anything is written. Returns the sum of their sizes.
Result<std::uint64_t> check_files(const std::vector<std::string>& files) {
  std::uint64_t bytes = 0;
  for (const std::string& file : files) {
    HDB_TRY(check_readable(file));
    bytes += HDB_TRY(stamp_of(file)).bytes;
  }
  return bytes;
}

std::string summary(const IngestTotals& totals, double seconds) {
  std::string line = fmt::format("{} events, {} bad lines, {} duplicates, {} files, {:.1f} s, {:.0f} events/s",
                                 totals.events, totals.bad_lines, totals.duplicates, totals.files, seconds,
                                 static_cast<double>(totals.events) / std::max(seconds, 1e-3));
  if (totals.without_id > 0) {
    line += fmt::format("; {} events have nothing in the field of their id, and were given ids of their own",
                        totals.without_id);
  }
  if (totals.files_done_before > 0) {
    line += fmt::format("; {} of the files were taken in before and are unchanged", totals.files_done_before);
  }
  return line;
}

// Runs the job over the files and prints the summary, whether or not it failed.
Result<ExitCode> ingest_files(Engine& engine, const IngestArguments& arguments, const Mapping& mapping, std::FILE* acks,
                              std::uint64_t bytes_total) {
  const auto begin = std::chrono::steady_clock::now();
  IngestProgress progress = HDB_TRY(IngestProgress::load(engine, settings_text(arguments, mapping)));
  ProgressMeter meter(bytes_total);
  std::uint64_t reports = 0;
  IngestHooks hooks;
  hooks.on_bad_line = [&meter, &reports](std::string_view report) {
    if (++reports > kReportsMax + 1) return;
    meter.clear();
    if (reports <= kReportsMax) {
      fmt::print(stderr, "hdb ingest: {}\n", report);
    } else {
      fmt::print(stderr, "hdb ingest: further bad lines are counted, not shown\n");
    }
  };
  hooks.on_remark = [&meter](std::string_view remark) {
    meter.clear();
    fmt::print(stderr, "hdb ingest: {}\n", remark);
  };
  hooks.on_acknowledged = [acks](Position first, std::uint64_t count) {
    if (acks == nullptr) return;
    fmt::print(acks, "{} {}\n", first, count);
    std::fflush(acks);
  };
  hooks.on_batch = [&meter](const IngestTotals& totals, std::uint64_t file_bytes) {
    meter.update(totals.file_bytes + file_bytes, totals.events);
  };
  catch_interrupts();
  IngestJob job(engine, mapping, progress, arguments.settings, std::move(hooks));
  Status failure;
  for (const std::string& file : arguments.files) {
    failure = job.take_file(file);
    if (!failure.ok()) break;
  }
  meter.clear();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  fmt::print("{}\n", summary(job.totals(), elapsed.count()));
  if (!failure.ok()) return failure;
  const IngestTotals& totals = job.totals();
  const bool has_nothing_good = totals.bad_lines > 0 && totals.events == 0 && totals.duplicates == 0;
  return has_nothing_good || totals.conflicts > 0 ? ExitCode::kFailed : ExitCode::kOk;
}

Result<ExitCode> run_ingest(const CLI::App& command, const IngestArguments& arguments) {
  const auto options = arguments.store.options();
  if (!options.ok()) return usage_error(command, options.status());
  const auto mapping = make_mapping(arguments);
  if (!mapping.ok()) return usage_error(command, mapping.status());
  const std::uint64_t bytes_total = HDB_TRY(check_files(arguments.files));
  const AcksFile acks = HDB_TRY(open_acks(arguments.acks));
  const auto engine = HDB_TRY(open_store(arguments.store, options.value(), OpenMode::kOpenOrCreate));
  auto code = ingest_files(*engine, arguments, mapping.value(), acks.get(), bytes_total);
  const Status closed = engine->close();
  if (!code.ok()) return code;
  HDB_TRY(Status(closed));
  if (acks != nullptr && std::ferror(acks.get()) != 0) {
    return Status::io_error(arguments.acks + ": not all acknowledgements could be written; free space there");
  }
  return code;
}

}  // namespace

Run add_ingest(CLI::App& command) {
  const auto arguments = std::make_shared<IngestArguments>();
  arguments->store.add_to(command);
  add_choice(command, "--format", arguments->settings.format,
             {{"zeek", InputFormat::kZeek}, {"ndjson", InputFormat::kNdjson}, {"lines", InputFormat::kLines}},
             "zeek (JSON or tab-separated), ndjson (a JSON object a line) or lines (any bytes, no attributes)")
      ->required();
  command.add_option("--mapping", arguments->mapping,
                     "a TOML file that names the fields of each attribute [presets/mappings/zeek.toml or ndjson.toml]");
  auto* const id_field = command.add_option(
      "--id-field", arguments->id_field, "the field that is the event's id: appending the same again changes nothing");
  add_choice(
      command, "--id-from", arguments->settings.has_content_ids, {{"content", true}},
      "content: the id is made of the line's bytes, so that a replay is no duplicate; equal lines, also within a "
      "file, become one event")
      ->excludes(id_field);
  add_choice(command, "--durability", arguments->settings.durability,
             {{"none", Durability::kNone}, {"interval", Durability::kInterval}, {"sync", Durability::kSync}},
             "none, interval or sync [as the options say]");
  command.add_option("--batch", arguments->settings.batch_events, "events committed at once [2000]")
      ->check(CLI::Range(1, 1'000'000));
  command.add_option("--acks", arguments->acks, "appends 'FIRST COUNT' for each range of positions acknowledged");
  add_choice(
      command, "--on-error", arguments->settings.stops_at_bad_line, {{"skip", false}, {"stop", true}},
      "at a bad line, skip: go on (exit 0; 1 if there was nothing else, or if an id is stored with other content), "
      "stop: keep what is before it (exit 1) [skip]");
  command.add_flag("--restart", arguments->settings.starts_anew, "take every file from its beginning");
  command
      .add_option("files", arguments->files,
                  "plain, .gz or .zst; - is standard input, which, as pipes and devices, cannot be resumed")
      ->required();
  command.footer(
      "The last line of a file is taken in even if no newline ends it, unless it is a bad line. If the file has grown "
      "by the next time, what was added to that line becomes an event of its own, and a message says so; rotate logs "
      "at line ends, or take a log in when its writer is between lines.");
  return [arguments, &command] {
    arguments->settings.expects_id = !arguments->id_field.empty();
    return run_ingest(command, *arguments);
  };
}

}  // namespace hdb::cli
