#include "tools/cli/verbs.h"

#include <fmt/format.h>

namespace hdb::cli {

namespace {

Hooks hooks() {
  Hooks hooks;
  hooks.listener = [](Notice notice, std::string_view text) {
    const bool is_for_users = notice == Notice::kTornTail || notice == Notice::kFallback || notice == Notice::kError;
    if (is_for_users) fmt::print(stderr, "hdb: {}\n", text);
  };
  return hooks;
}

}  // namespace

ExitCode usage_error(const CLI::App& command, const Status& error) {
  fmt::print(stderr, "hdb {}: {}; see hdb {} --help\n", command.get_name(), error.message(), command.get_name());
  return ExitCode::kUsage;
}

void StoreArguments::add_to(CLI::App& command) {
  command.add_option("-d,--dir", directory, "the store's directory")->required()->envname("HDB_DIR");
  std::string names;
  for (const Preset& known : all_presets()) {
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", known.name, known.purpose);
  }
  auto* const preset_option =
      command.add_option("--preset", preset, "options for a purpose, for this run only (a store keeps none): " + names);
  command.add_option("--config", config, "a TOML file of options, which may name a preset")->excludes(preset_option);
  command.add_option("--set", settings, "an option as key=value, for this run only; may be given more than once")
      ->allow_extra_args(false);
}

Result<Options> StoreArguments::options() const {
  Options options = presets::durable();
  if (!preset.empty()) options = HDB_TRY(preset_by_name(preset));
  if (!config.empty()) options = HDB_TRY(load_options(config));
  for (const std::string& setting : settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos) {
      return Status::invalid_argument(fmt::format("--set {}: write key=value, as memtable_bytes=128MiB", setting));
    }
    HDB_TRY(
        set_option(options, std::string_view(setting).substr(0, equals), std::string_view(setting).substr(equals + 1)));
  }
  HDB_TRY(validate(options));
  return options;
}

Result<std::unique_ptr<Engine>> open_store(const StoreArguments& arguments, const Options& options, OpenMode mode) {
  return Engine::open(arguments.directory, options, mode, hooks());
}

Result<std::unique_ptr<Engine>> open_store_read_only(const StoreArguments& arguments, const Options& options) {
  return Engine::open_read_only(arguments.directory, options, hooks());
}

}  // namespace hdb::cli
