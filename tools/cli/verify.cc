#include <fmt/format.h>

#include <string_view>

#include "tools/cli/verbs.h"
#include "tools/dump/dump.h"

namespace hdb::cli {

namespace {

constexpr Position kLookUpEvery = 64;  // events found again by their id: each costs a read of its own

struct VerifyArguments {
  StoreArguments store;
  bool is_quiet = false;
};

struct EventCounts {
  std::uint64_t read = 0;
  std::uint64_t lost = 0;  // when the store was repaired
};

// Adds the positions in [begin, end), which a scan left out, to those that are lost.
Status count_lost(const Engine& engine, Position begin, Position end, EventCounts& counts) {
  for (Position position = begin; position < end; ++position) {
    const auto found = engine.get(position);
    if (found.status().code() == StatusCode::kLost) {
      ++counts.lost;
      continue;
    }
    HDB_TRY(found.status());
    return Status::corruption(fmt::format("event {} is missing: a scan of all events left it out", position));
  }
  return {};
}

// Every event can be read, positions leave no gap, and look-ups find what the scan found.
Result<EventCounts> read_events(const Engine& engine) {
  EventCursor cursor = HDB_TRY(engine.query(Query{}));
  EventCounts counts;
  Position expected = 0;
  while (const auto event = HDB_TRY(cursor.next())) {
    HDB_TRY(count_lost(engine, expected, event->position(), counts));
    expected = event->position();
    if (expected % kLookUpEvery == 0) {
      const auto found = HDB_TRY(engine.get(event->id()));
      if (!found || found->position() != expected) {
        return Status::corruption(fmt::format("event {} is not found by its id {}", expected, event->id().to_string()));
      }
    }
    ++expected;
    ++counts.read;
  }
  HDB_TRY(count_lost(engine, expected, engine.stats().events, counts));
  return counts;
}

// Keys can be read, and ascend.
Result<std::uint64_t> read_keys(const Engine& engine) {
  std::uint64_t keys = 0;
  for (const auto& entry : engine.keyspaces()) {
    KeyCursor cursor = HDB_TRY(engine.scan(entry.second, KeyRange{}));
    std::string last;
    bool is_first = true;
    while (const auto pair = HDB_TRY(cursor.next())) {
      const std::string_view key = as_text(pair->key);
      if (!is_first && key <= last) return Status::corruption("keyspace " + entry.first + ": keys do not ascend");
      last = key;
      is_first = false;
      ++keys;
    }
  }
  return keys;
}

// A store that another process has open changes under the reader: it is not read then (kBusy).
Result<dump::VerifyResult> verify_files(const std::string& store, const dump::Sink& sink) {
  const std::string lock_path = store + "/LOCK";
  std::unique_ptr<FileLock> lock;
  if (HDB_TRY(posix_env().exists(lock_path))) lock = HDB_TRY(posix_env().lock_read_only(lock_path));
  return dump::verify_store(posix_env(), store, sink);
}

struct Verdict {
  StatusCode code;
  std::string_view what;
};

// Of files with errors. Only what is damaged is to be repaired, which kCorruption says.
Verdict verdict_of(const dump::VerifyResult& files) {
  if (files.damaged() > 0) return {StatusCode::kCorruption, "damaged, missing or not readable"};
  if (files.unfinished > 0) return {StatusCode::kInvalidArgument, "of a copy that has not ended"};
  if (files.newer == 0) return {StatusCode::kIoError, "not readable"};
  return {StatusCode::kUnsupported,
          files.unreadable > 0 ? "of a newer version, or not readable" : "of a newer version"};
}

Result<ExitCode> run_verify(const CLI::App& command, const VerifyArguments& arguments) {
  const auto options = arguments.store.options();
  if (!options.ok()) return usage_error(command, options.status());
  const dump::Sink sink = [&arguments](std::string_view line) {
    if (!arguments.is_quiet) fmt::print("{}\n", line);
  };
  const auto files = HDB_TRY(verify_files(arguments.store.directory, sink));
  if (files.errors > 0) {
    const Verdict verdict = verdict_of(files);
    return Status::error(verdict.code, fmt::format("{}: {} of {} files are {}; 'hdb-dump verify {}' tells each",
                                                   arguments.store.directory, files.errors, files.files, verdict.what,
                                                   arguments.store.directory));
  }
  const auto engine = HDB_TRY(open_store_read_only(arguments.store, options.value()));
  const auto counted = read_events(*engine);
  HDB_TRY(counted.status().in_context(arguments.store.directory));
  const EventCounts& events = counted.value();
  const auto keys = read_keys(*engine);
  HDB_TRY(keys.status().in_context(arguments.store.directory));
  HDB_TRY(engine->close());
  const std::string lost = events.lost > 0 ? fmt::format("; {} events were lost before a repair", events.lost) : "";
  fmt::print("{} files, {} events and {} keys are whole{}\n", files.files, events.read, keys.value(), lost);
  return ExitCode::kOk;
}

}  // namespace

Run add_verify(CLI::App& command) {
  const auto arguments = std::make_shared<VerifyArguments>();
  arguments->store.add_to(command);
  command.add_flag("-q,--quiet", arguments->is_quiet, "only the last line");
  return [arguments, &command] { return run_verify(command, *arguments); };
}

}  // namespace hdb::cli
