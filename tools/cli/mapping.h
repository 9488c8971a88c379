// tools/cli/mapping.h: which field of a log line is which attribute of an event. presets/mappings/zeek.toml shows the
// file's form.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/event.h>

#include "tools/cli/fields.h"

namespace hdb::cli {

// Where an attribute comes from: the first field that the line has, else the file's name, else the constant.
struct AttributeRule {
  std::vector<FieldName> fields;
  bool falls_back_to_file_name = false;
  std::string constant;
};

// Each of the fields that the line has gives tags: prefix and text.
struct TagRule {
  std::string prefix;
  std::vector<FieldName> fields;
};

// Immutable once made.
struct Mapping {
  AttributeRule time;
  AttributeRule id;  // a UUID is taken as it is, any other text through EventId::from_name(source, text)
  AttributeRule type;
  AttributeRule entity;
  AttributeRule host;
  AttributeRule stream;
  AttributeRule source;
  AttributeRule collector;
  AttributeRule format;
  AttributeRule content_type;
  AttributeRule schema;
  std::vector<TagRule> tags;
  std::string text;  // the file's content: another mapping makes other events of the same line

  // kInvalidArgument names `name`, the line and what is allowed there.
  static Result<Mapping> parse(std::string_view toml, std::string_view name);
  static Result<Mapping> load(const std::filesystem::path& file);
};

// The mappings in presets/mappings.
std::string_view zeek_mapping() noexcept;
std::string_view ndjson_mapping() noexcept;

// Turns lines into events. Single-owner.
class EventMapper {
 public:
  explicit EventMapper(const Mapping& mapping) : mapping_(mapping) {}

  // The file whose lines follow: its base name up to the first dot is what rules fall back to. "-": none.
  void begin_file(std::string_view path);

  // The event of a line; its texts are views into `line`, `fields`, the mapping and this mapper, valid until the next
  // call. kInvalidArgument names the attribute that cannot be made, or is over its limit.
  Result<Event> map(std::string_view line, Fields& fields);

 private:
  std::string_view first_text(const AttributeRule& rule, Fields& fields);
  Result<std::optional<Timestamp>> time_of(Fields& fields);
  void find_tags(Fields& fields);

  const Mapping& mapping_;
  std::string file_name_;
  std::vector<std::string_view> found_;
  std::deque<std::string> made_tags_;
  std::vector<std::string_view> tags_;
};

}  // namespace hdb::cli
