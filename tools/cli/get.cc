#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "tools/cli/output.h"
#include "tools/cli/verbs.h"

namespace hdb::cli {

namespace {

struct GetArguments {
  StoreArguments store;
  std::vector<std::string> keys;  // positions or ids
  OutputForm form = OutputForm::kRaw;
};

// What a key means: one of the two is set.
struct EventKey {
  std::string text;
  std::optional<Position> position;
  std::optional<EventId> id;
};

Result<EventKey> parse_key(const std::string& text) {
  EventKey key;
  key.text = text;
  Position position = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), position);
  if (error == std::errc() && end == text.data() + text.size()) {
    key.position = position;
    return key;
  }
  const auto id = EventId::parse(text);
  if (!id.ok()) return Status::invalid_argument("\"" + text + "\" is neither a position nor an event id");
  key.id = id.value();
  return key;
}

Result<StoredEvent> find(const Engine& engine, const EventKey& key) {
  auto event = HDB_TRY(key.position ? engine.get(*key.position) : engine.get(*key.id));
  if (event) return std::move(*event);
  const std::uint64_t events = engine.stats().events;
  return Status::not_found(fmt::format("no event {}; the store has {}", key.text,
                                       events == 0 ? "none" : fmt::format("positions 0 to {}", events - 1)));
}

Result<ExitCode> run_get(const CLI::App& command, const GetArguments& arguments) {
  const auto options = arguments.store.options();
  if (!options.ok()) return usage_error(command, options.status());
  std::vector<EventKey> keys;
  for (const std::string& text : arguments.keys) {
    auto key = parse_key(text);
    if (!key.ok()) return usage_error(command, key.status());
    keys.push_back(std::move(key).value());
  }
  const auto engine = HDB_TRY(open_store_read_only(arguments.store, options.value()));
  std::vector<std::string> missing;
  {
    Output output;
    EventPrinter printer(output, arguments.form);
    for (const EventKey& key : keys) {
      const auto event = find(*engine, key);
      if (event.ok()) {
        HDB_TRY(printer.print(event.value()));
      } else if (event.status().code() == StatusCode::kNotFound || event.status().code() == StatusCode::kLost) {
        missing.push_back(std::string(event.status().message()));
      } else {
        return event.status();
      }
    }
    HDB_TRY(printer.finish());
  }
  HDB_TRY(engine->close());
  for (const std::string& message : missing) fmt::print(stderr, "hdb get: {}\n", message);
  return missing.empty() ? ExitCode::kOk : ExitCode::kFailed;
}

}  // namespace

Run add_get(CLI::App& command) {
  const auto arguments = std::make_shared<GetArguments>();
  arguments->store.add_to(command);
  add_choice(command, "--output", arguments->form,
             {{"raw", OutputForm::kRaw}, {"ndjson", OutputForm::kNdjson}, {"table", OutputForm::kTable}},
             "raw (payloads), ndjson (with all attributes) or table [raw]");
  command.add_option("events", arguments->keys, "positions or ids")->required();
  return [arguments, &command] { return run_get(command, *arguments); };
}

}  // namespace hdb::cli
