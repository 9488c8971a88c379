#include <optional>

#include <fmt/format.h>

#include "tools/cli/output.h"
#include "tools/cli/time_text.h"
#include "tools/cli/verbs.h"

namespace hdb::cli {

namespace {

struct QueryArguments {
  StoreArguments store;
  Query query;  // the lists, the order, the token
  std::vector<std::string> where;
  std::string from, to, commit_from, commit_to;
  std::optional<std::uint64_t> limit;
  OutputForm form = OutputForm::kRaw;
};

Result<std::optional<Timestamp>> parse_bound(std::string_view option, const std::string& text, Timestamp at) {
  if (text.empty()) return std::optional<Timestamp>();
  const auto time = parse_time(text, at);
  if (!time.ok()) return time.status().in_context(option);
  return std::optional<Timestamp>(time.value());
}

// kInvalidArgument, a usage error, names the option.
Result<Query> make_query(const QueryArguments& arguments) {
  Query query = arguments.query;
  const Timestamp at = now();
  query.time.from = HDB_TRY(parse_bound("--from", arguments.from, at));
  query.time.to = HDB_TRY(parse_bound("--to", arguments.to, at));
  query.commit_time.from = HDB_TRY(parse_bound("--commit-from", arguments.commit_from, at));
  query.commit_time.to = HDB_TRY(parse_bound("--commit-to", arguments.commit_to, at));
  for (const std::string& text : arguments.where) {
    auto condition = Condition::parse(text);
    if (!condition.ok()) return condition.status().in_context("--where");
    query.where.push_back(std::move(condition).value());
  }
  // One more than asked for tells whether there is more.
  if (arguments.limit) query.limit = *arguments.limit + 1;
  return query;
}

// Prints what the cursor walks over. Returns the token to go on with, if the limit left something out.
Result<std::optional<std::string>> print_events(EventCursor& cursor, std::optional<std::uint64_t> limit,
                                                EventPrinter& printer, const Output& output) {
  const std::optional<std::string> all;
  if (limit == 0) return all;
  for (std::uint64_t printed = 1; !output.is_closed(); ++printed) {
    const auto event = HDB_TRY(cursor.next());
    if (!event) return all;
    HDB_TRY(printer.print(*event));
    if (printed != limit) continue;
    std::string token = HDB_TRY(cursor.resume_token());
    if (!HDB_TRY(cursor.next())) return all;
    return std::optional<std::string>(std::move(token));
  }
  return all;
}

Result<ExitCode> run_query(const CLI::App& command, const QueryArguments& arguments) {
  const auto options = arguments.store.options();
  if (!options.ok()) return usage_error(command, options.status());
  const auto query = make_query(arguments);
  if (!query.ok()) return usage_error(command, query.status());
  const auto engine = HDB_TRY(open_store_read_only(arguments.store, options.value()));
  std::optional<std::string> token;
  {
    EventCursor cursor = HDB_TRY(engine->query(query.value()));
    Output output;
    EventPrinter printer(output, arguments.form);
    token = HDB_TRY(print_events(cursor, arguments.limit, printer, output));
    HDB_TRY(printer.finish());
  }
  if (token && arguments.form != OutputForm::kCount) {
    fmt::print(stderr, "more events match: go on with --resume {}\n", *token);
  }
  HDB_TRY(engine->close());
  return ExitCode::kOk;
}

void add_filters(CLI::App& command, QueryArguments& arguments) {
  const auto add_list = [&command](const char* name, std::vector<std::string>& values, const char* purpose) {
    command.add_option(name, values, std::string(purpose) + "; may be given more than once")->allow_extra_args(false);
  };
  add_list("--type", arguments.query.types, "events of any of these types");
  add_list("--entity", arguments.query.entities, "about any of these");
  add_list("--host", arguments.query.hosts, "from any of these hosts");
  add_list("--tag", arguments.query.tags_any, "with any of these tags, as ip:10.1.2.3");
  add_list("--tag-all", arguments.query.tags_all, "with all of these tags");
  add_list("--where", arguments.where,
           "condition on a field of a JSON payload, or of the metadata: rcode_name=NXDOMAIN, 'port != 53', "
           "'answers exists'; values are literal, without quotes around them; a tab-separated Zeek line has no fields; "
           "all must hold");
  command.add_option("--from", arguments.from, "happened at this time or later (2018-03-24T17:15:20Z, epoch, -15m)");
  command.add_option("--to", arguments.to, "happened before this time");
  command.add_option("--commit-from", arguments.commit_from, "stored at this time or later");
  command.add_option("--commit-to", arguments.commit_to, "stored before this time");
}

}  // namespace

Run add_query(CLI::App& command) {
  const auto arguments = std::make_shared<QueryArguments>();
  arguments->store.add_to(command);
  add_filters(command, *arguments);
  add_choice(command, "--order", arguments->query.order,
             {{"position", Order::kPosition},
              {"-position", Order::kPositionDescending},
              {"position-desc", Order::kPositionDescending},
              {"time", Order::kTime},
              {"-time", Order::kTimeDescending},
              {"time-desc", Order::kTimeDescending}},
             "position, time, or backward: -position, -time (also position-desc, time-desc) [position]");
  command.add_option("--limit", arguments->limit, "at most this many events")
      ->check(CLI::Range(std::uint64_t{0}, std::uint64_t{1} << 62));
  command.add_option("--resume", arguments->query.resume_token, "go on behind an earlier query with --limit");
  add_choice(command, "--output", arguments->form,
             {{"raw", OutputForm::kRaw},
              {"ndjson", OutputForm::kNdjson},
              {"table", OutputForm::kTable},
              {"count", OutputForm::kCount}},
             "raw (payloads as they came, one a line), ndjson (with all attributes), table or count [raw]");
  return [arguments, &command] { return run_query(command, *arguments); };
}

}  // namespace hdb::cli
