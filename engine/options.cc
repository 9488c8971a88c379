// The options, described once: the table below drives validation, setting by name, reading and writing TOML.

#include <hdb/options.h>

#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <variant>

#include "base/bytes.h"
#include "base/toml.h"
#include "io/env.h"

namespace hdb {

namespace {

constexpr std::uint64_t KiB = 1ull << 10;
constexpr std::uint64_t MiB = 1ull << 20;
constexpr std::uint64_t GiB = 1ull << 30;
constexpr std::uint64_t TiB = 1ull << 40;

using Member = std::variant<std::uint32_t Options::*, std::uint64_t Options::*, Durability Options::*,
                            Compression Options::*, FileWrites Options::*, LogWrites Options::*, bool Options::*>;

enum class Unit : std::uint8_t { kCount, kBytes, kChoice };

struct OptionField {
  std::string_view name;
  Member member;
  Unit unit;
  std::uint64_t min;  // of a choice: its first and last index
  std::uint64_t max;
};

// In the order of include/hdb/options.h.
constexpr OptionField kFields[] = {
    {"durability", &Options::durability, Unit::kChoice, 0, 2},
    {"sync_interval_ms", &Options::sync_interval_ms, Unit::kCount, 1, 60'000},
    {"memtable_bytes", &Options::memtable_bytes, Unit::kBytes, 64 * KiB, 16 * GiB},
    {"sealed_memtables_max", &Options::sealed_memtables_max, Unit::kCount, 1, 64},
    {"log_bytes_max", &Options::log_bytes_max, Unit::kBytes, 1 * MiB, 1 * TiB},
    {"log_segment_bytes", &Options::log_segment_bytes, Unit::kBytes, 256 * KiB, 4 * GiB},
    {"log_writes", &Options::log_writes, Unit::kChoice, 0, 2},
    {"leaf_hashes", &Options::leaf_hashes, Unit::kChoice, 0, 1},
    {"block_cache_bytes", &Options::block_cache_bytes, Unit::kBytes, 1 * MiB, 1 * TiB},
    {"open_tables_max", &Options::open_tables_max, Unit::kCount, 16, 1'000'000},
    {"block_bytes", &Options::block_bytes, Unit::kBytes, 1 * KiB, 4 * MiB},
    {"compression", &Options::compression, Unit::kChoice, 0, 1},
    {"compression_level", &Options::compression_level, Unit::kCount, 1, 19},
    {"filter_bits_per_key", &Options::filter_bits_per_key, Unit::kCount, 0, 32},
    {"table_writes", &Options::table_writes, Unit::kChoice, 0, 1},
    {"table_bytes_target", &Options::table_bytes_target, Unit::kBytes, 64 * KiB, 64 * GiB},
    {"event_merge_width", &Options::event_merge_width, Unit::kCount, 2, 64},
    {"level0_compaction_trigger", &Options::level0_compaction_trigger, Unit::kCount, 2, 64},
    {"level0_stop_trigger", &Options::level0_stop_trigger, Unit::kCount, 4, 1024},
    {"level_size_ratio", &Options::level_size_ratio, Unit::kCount, 2, 100},
    {"background_threads", &Options::background_threads, Unit::kCount, 1, 64},
    {"reserve_bytes", &Options::reserve_bytes, Unit::kBytes, 0, 64 * GiB},
    {"compaction_bytes_per_s", &Options::compaction_bytes_per_s, Unit::kBytes, 0, 1 * TiB},
};

constexpr std::uint64_t kFileBytesMax = 1 * MiB;  // of a configuration file

// The words of a choice, by the value of its enum.
constexpr std::array<std::string_view, 3> kDurabilities = {"none", "interval", "sync"};
constexpr std::array<std::string_view, 2> kCompressions = {"none", "zstd"};
constexpr std::array<std::string_view, 2> kFileWrites = {"cached", "direct"};
constexpr std::array<std::string_view, 2> kSwitch = {"off", "on"};
constexpr std::array<std::string_view, 3> kLogWrites = {"auto", "pwrite", "io_uring"};

std::span<const std::string_view> words_of(const OptionField& field) noexcept {
  if (std::holds_alternative<Durability Options::*>(field.member)) return kDurabilities;
  if (std::holds_alternative<FileWrites Options::*>(field.member)) return kFileWrites;
  if (std::holds_alternative<LogWrites Options::*>(field.member)) return kLogWrites;
  if (std::holds_alternative<bool Options::*>(field.member)) return kSwitch;
  return kCompressions;
}

std::uint64_t option_value(const Options& options, const OptionField& field) {
  return std::visit([&options](auto member) { return static_cast<std::uint64_t>(options.*member); }, field.member);
}

// False if the option's type cannot hold the value.
bool set_value(Options& options, const OptionField& field, std::uint64_t value) {
  return std::visit(
      [&options, value](auto member) {
        using Value = std::remove_reference_t<decltype(options.*member)>;
        const auto narrowed = static_cast<Value>(value);
        if (static_cast<std::uint64_t>(narrowed) != value) return false;
        options.*member = narrowed;
        return true;
      },
      field.member);
}

struct Suffix {
  std::string_view text;
  std::uint64_t factor;
};
constexpr std::array<Suffix, 3> kSuffixes = {{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}};

// "64MiB", or in bytes where no suffix divides.
std::string size_text(std::uint64_t bytes) {
  for (const Suffix& suffix : kSuffixes) {
    if (bytes != 0 && bytes % suffix.factor == 0) {
      return std::to_string(bytes / suffix.factor) + std::string(suffix.text);
    }
  }
  return std::to_string(bytes);
}

std::string value_text(const OptionField& field, std::uint64_t value) {
  switch (field.unit) {
    case Unit::kBytes:
      return size_text(value);
    case Unit::kCount:
      return std::to_string(value);
    case Unit::kChoice:
      break;
  }
  const auto words = words_of(field);
  return value < words.size() ? std::string(words[value]) : std::to_string(value);
}

// "a size from 64KiB to 16GiB": the end of messages.
std::string what_it_takes(const OptionField& field) {
  if (field.unit == Unit::kChoice) {
    std::string text = "one of";
    for (const std::string_view word : words_of(field)) text += " \"" + std::string(word) + "\"";
    return text;
  }
  return std::string(field.unit == Unit::kBytes ? "a size" : "a whole number") + " from " +
         value_text(field, field.min) + " to " + value_text(field, field.max) +
         (field.unit == Unit::kBytes ? ", in bytes or with KiB, MiB or GiB" : "");
}

Status out_of_place(const OptionField& field, std::string_view value) {
  return Status::invalid_argument("option " + std::string(field.name) + " is " + std::string(value) + "; it takes " +
                                  what_it_takes(field));
}

const OptionField* field_named(std::string_view name) noexcept {
  for (const OptionField& field : kFields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

Status unknown_option(std::string_view name) {
  std::string known;
  for (const OptionField& field : kFields) known += (known.empty() ? "" : ", ") + std::string(field.name);
  return Status::invalid_argument("there is no option \"" + std::string(name) + "\"; the options are " + known);
}

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
  std::uint64_t factor = 1;
  for (const Suffix& suffix : kSuffixes) {
    if (!text.ends_with(suffix.text)) continue;
    factor = suffix.factor;
    text.remove_suffix(suffix.text.size());
    while (text.ends_with(' ')) text.remove_suffix(1);
    break;
  }
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  if (number > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
  return number * factor;
}

std::optional<std::uint64_t> parse_value(const OptionField& field, std::string_view text) noexcept {
  if (field.unit == Unit::kBytes) return parse_size(text);
  if (field.unit == Unit::kChoice) {
    const auto words = words_of(field);
    for (std::size_t index = 0; index < words.size(); ++index) {
      if (words[index] == text) return index;
    }
    return std::nullopt;
  }
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

Status set_from_toml(Options& options, std::string_view name, const toml::node& value) {
  const OptionField* const field = field_named(name);
  if (field == nullptr) return unknown_option(name);
  if (const auto* text = value.as_string()) return set_option(options, name, text->get());
  if (const auto* const boolean = value.as_boolean();
      boolean != nullptr && std::holds_alternative<bool Options::*>(field->member)) {
    return set_option(options, name, kSwitch[boolean->get() ? 1 : 0]);
  }
  const auto* const integer = value.as_integer();
  if (integer == nullptr || field->unit == Unit::kChoice) {
    return Status::invalid_argument("option " + std::string(name) + " takes " + what_it_takes(*field));
  }
  return set_option(options, name, std::to_string(integer->get()));
}

// "hdb.toml:12".
std::string place_in(const std::string& path, const toml::source_region& source) {
  return path + ":" + std::to_string(source.begin.line);
}

}  // namespace

Status validate(const Options& options) {
  for (const OptionField& field : kFields) {
    const std::uint64_t value = option_value(options, field);
    if (value < field.min || value > field.max) return out_of_place(field, value_text(field, value));
  }
  if (options.level0_stop_trigger <= options.level0_compaction_trigger) {
    return Status::invalid_argument("option level0_stop_trigger is " + std::to_string(options.level0_stop_trigger) +
                                    "; it takes more than level0_compaction_trigger, which is " +
                                    std::to_string(options.level0_compaction_trigger));
  }
  return {};
}

Status set_option(Options& options, std::string_view name, std::string_view value) {
  const OptionField* const field = field_named(name);
  if (field == nullptr) return unknown_option(name);
  const std::optional<std::uint64_t> parsed = parse_value(*field, value);
  if (!parsed || !set_value(options, *field, *parsed)) return out_of_place(*field, "\"" + std::string(value) + "\"");
  return {};
}

Result<Options> load_options(const std::filesystem::path& file) {
  const std::string path = file.string();
  const Buffer content = HDB_TRY(read_file(posix_env(), path, kFileBytesMax));
  const toml::parse_result parsed = toml::parse(as_text(bytes_of(content)), path);
  if (!parsed) {
    return Status::invalid_argument(place_in(path, parsed.error().source()) + ": " +
                                    std::string(parsed.error().description()));
  }
  const toml::table& table = parsed.table();
  Options options;
  if (const toml::node* const preset = table.get("preset")) {
    const std::string where = place_in(path, preset->source());
    const auto* const name = preset->as_string();
    if (name == nullptr) return Status::invalid_argument(where + ": preset takes a preset's name in quotes");
    auto named = preset_by_name(name->get());
    if (!named.ok()) return named.status().in_context(where);
    options = named.value();
  }
  for (auto entry = table.begin(); entry != table.end(); ++entry) {
    if (entry->first.str() == "preset") continue;
    const Status set = set_from_toml(options, entry->first.str(), entry->second);
    if (!set.ok()) return set.in_context(place_in(path, entry->first.source()));
  }
  return options;
}

std::string to_toml(const Options& options) {
  std::string text;
  for (const OptionField& field : kFields) {
    const std::string value = value_text(field, option_value(options, field));
    const bool is_number = value.find_first_not_of("0123456789") == std::string::npos;
    text += std::string(field.name) + " = " + (is_number ? value : "\"" + value + "\"") + "\n";
  }
  return text;
}

}  // namespace hdb
