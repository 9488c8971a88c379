#include "tools/cli/mapping.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/record.h"
#include "base/toml.h"
#include "tools/cli/embedded_mappings.h"
#include "tools/cli/input_stream.h"
#include "tools/cli/time_text.h"

namespace hdb::cli {

namespace {

constexpr std::size_t kFileBytesMax = 1u << 20;  // of a mapping file

struct NamedRule {
  std::string_view name;
  AttributeRule Mapping::*rule;
};
constexpr NamedRule kRules[] = {
    {"time", &Mapping::time},     {"id", &Mapping::id},
    {"type", &Mapping::type},     {"entity", &Mapping::entity},
    {"host", &Mapping::host},     {"stream", &Mapping::stream},
    {"source", &Mapping::source}, {"collector", &Mapping::collector},
    {"format", &Mapping::format}, {"content_type", &Mapping::content_type},
    {"schema", &Mapping::schema},
};

constexpr std::string_view kAttributes =
    "time, id, type, entity, host, stream, source, collector, format, content_type, schema and tags";

Status at_line(std::string_view file, const toml::source_region& place, std::string_view message) {
  return Status::invalid_argument(fmt::format("{}:{}: {}", file, place.begin.line, message));
}

// ["a", "b.c"]
Result<std::vector<FieldName>> parse_fields(std::string_view file, std::string_view attribute, const toml::node& node) {
  std::vector<FieldName> fields;
  const toml::array* const names = node.as_array();
  if (names == nullptr) {
    return at_line(file, node.source(),
                   fmt::format("{} takes a list of field names, as [\"ts\", \"time\"]", attribute));
  }
  for (const toml::node& name : *names) {
    const auto text = name.value_exact<std::string_view>();
    if (!text || text->empty()) {
      return at_line(file, name.source(), fmt::format("{}: a field name is a text in quotes", attribute));
    }
    fields.emplace_back(std::string(*text));
  }
  return fields;
}

Result<AttributeRule> parse_rule(std::string_view file, std::string_view attribute, const toml::node& node) {
  AttributeRule rule;
  const toml::table* const table = node.as_table();
  if (table == nullptr) {
    rule.fields = HDB_TRY(parse_fields(file, attribute, node));
    return rule;
  }
  for (const auto& [key, value] : *table) {
    if (key.str() == "fields") {
      rule.fields = HDB_TRY(parse_fields(file, attribute, value));
    } else if (key.str() == "constant" && value.is_string()) {
      rule.constant = *value.value_exact<std::string>();
    } else if (key.str() == "file_name" && value.is_boolean()) {
      rule.falls_back_to_file_name = *value.value_exact<bool>();
    } else {
      return at_line(file, value.source(),
                     fmt::format("{}: \"{}\" is not known here; allowed are fields = [...], constant = \"text\" and "
                                 "file_name = true",
                                 attribute, key.str()));
    }
  }
  return rule;
}

Result<std::vector<TagRule>> parse_tags(std::string_view file, const toml::node& node) {
  constexpr std::string_view kForm = "tags takes a list, as [{ prefix = \"ip:\", fields = [\"src_ip\"] }]";
  std::vector<TagRule> rules;
  const toml::array* const list = node.as_array();
  if (list == nullptr) return at_line(file, node.source(), kForm);
  for (const toml::node& element : *list) {
    const toml::table* const table = element.as_table();
    if (table == nullptr) return at_line(file, element.source(), kForm);
    TagRule rule;
    for (const auto& [key, value] : *table) {
      if (key.str() == "fields") {
        rule.fields = HDB_TRY(parse_fields(file, "tags", value));
      } else if (key.str() == "prefix" && value.is_string()) {
        rule.prefix = *value.value_exact<std::string>();
      } else {
        return at_line(file, value.source(), kForm);
      }
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::optional<EventId> id_of(std::string_view text, std::string_view source) {
  if (text.empty()) return std::nullopt;
  const auto id = EventId::parse(text);
  return id.ok() ? id.value() : EventId::from_name(source, text);
}

}  // namespace

std::string_view zeek_mapping() noexcept {
  return kZeekMapping;
}
std::string_view ndjson_mapping() noexcept {
  return kNdjsonMapping;
}

Result<Mapping> Mapping::parse(std::string_view toml, std::string_view name) {
  const toml::parse_result parsed = toml::parse(toml, name);
  if (!parsed) return at_line(name, parsed.error().source(), std::string(parsed.error().description()));
  Mapping mapping;
  mapping.text = toml;
  for (const auto& [key, value] : parsed.table()) {
    const std::string_view attribute = key.str();
    if (attribute == "tags") {
      mapping.tags = HDB_TRY(parse_tags(name, value));
      continue;
    }
    const auto* const known = std::find_if(std::begin(kRules), std::end(kRules),
                                           [attribute](const NamedRule& rule) { return rule.name == attribute; });
    if (known == std::end(kRules)) {
      return at_line(name, value.source(),
                     fmt::format("\"{}\" is not an attribute; they are {}", attribute, kAttributes));
    }
    AttributeRule rule = HDB_TRY(parse_rule(name, attribute, value));
    const bool is_of_fields_only = attribute == "time" || attribute == "id";
    if (is_of_fields_only && (rule.falls_back_to_file_name || !rule.constant.empty())) {
      return at_line(name, value.source(), fmt::format("{} comes from fields only: {} = [...]", attribute, attribute));
    }
    mapping.*(known->rule) = std::move(rule);
  }
  return mapping;
}

Result<Mapping> Mapping::load(const std::filesystem::path& file) {
  const auto stream = HDB_TRY(InputStream::open(file.string()));
  Buffer content(kFileBytesMax + 1);
  std::size_t bytes = 0;
  while (bytes < content.size()) {
    const std::size_t count = HDB_TRY(stream->read(MutableBytes(content).subspan(bytes)));
    if (count == 0) break;
    bytes += count;
  }
  if (bytes > kFileBytesMax) return Status::invalid_argument(file.string() + ": larger than 1 MiB; not a mapping file");
  return parse(as_text(ByteView(content).first(bytes)), file.string());
}

void EventMapper::begin_file(std::string_view path) {
  const std::string_view base = path.substr(path.find_last_of('/') + 1);
  file_name_ = path == "-" ? std::string_view() : base.substr(0, base.find('.'));
}

std::string_view EventMapper::first_text(const AttributeRule& rule, Fields& fields) {
  for (const FieldName& name : rule.fields) {
    found_.clear();
    fields.find(name, found_);
    if (!found_.empty()) return found_.front();
  }
  if (rule.falls_back_to_file_name && !file_name_.empty()) return file_name_;
  return rule.constant;
}

// A field that holds no time is passed over if a later one does.
Result<std::optional<Timestamp>> EventMapper::time_of(Fields& fields) {
  Status failure;
  for (const FieldName& name : mapping_.time.fields) {
    found_.clear();
    fields.find(name, found_);
    if (found_.empty()) continue;
    const auto time = parse_time(found_.front());
    if (time.ok()) return std::optional<Timestamp>(time.value());
    if (failure.ok()) failure = time.status().in_context(name.key);
  }
  if (!failure.ok()) return failure;
  return std::optional<Timestamp>();
}

void EventMapper::find_tags(Fields& fields) {
  tags_.clear();
  made_tags_.clear();
  for (const TagRule& rule : mapping_.tags) {
    for (const FieldName& name : rule.fields) {
      found_.clear();
      fields.find(name, found_);
      for (const std::string_view text : found_) {
        made_tags_.push_back(rule.prefix + std::string(text));
        const std::string_view tag = made_tags_.back();
        if (std::find(tags_.begin(), tags_.end(), tag) == tags_.end()) tags_.push_back(tag);
      }
    }
  }
}

Result<Event> EventMapper::map(std::string_view line, Fields& fields) {
  Event event;
  event.time = HDB_TRY(time_of(fields));
  event.type = first_text(mapping_.type, fields);
  event.entity = first_text(mapping_.entity, fields);
  event.host = first_text(mapping_.host, fields);
  event.stream = first_text(mapping_.stream, fields);
  event.source = first_text(mapping_.source, fields);
  event.collector = first_text(mapping_.collector, fields);
  event.format = first_text(mapping_.format, fields);
  event.content_type = first_text(mapping_.content_type, fields);
  event.schema = first_text(mapping_.schema, fields);
  event.id = id_of(first_text(mapping_.id, fields), event.source);
  find_tags(fields);
  event.tags = tags_;
  event.payload = as_bytes(line);
  HDB_TRY(validate_event(event));
  return event;
}

}  // namespace hdb::cli
