#include <simdjson.h>

#include "base/json_number.h"
#include "tools/cli/fields.h"
#include "tools/cli/line_reader.h"

namespace hdb::cli {

namespace dom = simdjson::dom;

static_assert(LineReader::kSlackBytes >= simdjson::SIMDJSON_PADDING);

FieldName::FieldName(std::string name) : key(std::move(name)) {
  if (key.find('.') == std::string::npos) return;
  std::size_t begin = 0;
  for (std::size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', begin)) {
    path.push_back(key.substr(begin, dot - begin));
    begin = dot + 1;
  }
  path.push_back(key.substr(begin));
}

struct JsonFields::Parsers {
  dom::parser whole;                 // checks every byte of the line, and finds fields
  simdjson::ondemand::parser token;  // shows a number as it was written
  dom::element root;
};

namespace {

// The element a name means; false if there is none.
bool locate(dom::element root, const FieldName& name, dom::element& found) {
  if (root.at_key(name.key).get(found) == simdjson::SUCCESS) return true;
  if (name.path.empty()) return false;
  found = root;
  for (const std::string& key : name.path) {
    if (!found.is_object() || found.at_key(key).get(found) != simdjson::SUCCESS) return false;
  }
  return true;
}

// A decimal number of `line` as it was written: as a double it would lose digits. Empty if it is not found.
std::string number_text(simdjson::ondemand::parser& parser, std::string_view line, const FieldName& name) {
  const simdjson::padded_string_view padded(line.data(), line.size(), line.size() + simdjson::SIMDJSON_PADDING);
  const auto shown = [](simdjson::simdjson_result<simdjson::ondemand::value> value) {
    std::string_view text;
    if (value.raw_json_token().get(text) != simdjson::SUCCESS) return std::string();
    return std::string(text.substr(0, text.find_last_not_of(" \t\r\n") + 1));
  };
  simdjson::ondemand::document document;
  simdjson::ondemand::object object;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS) return {};
  if (document.get_object().get(object) != simdjson::SUCCESS) return {};
  std::string text = shown(object.find_field_unordered(name.key));
  for (std::size_t level = 0; text.empty() && level < name.path.size(); ++level) {
    if (level == 0 && parser.iterate(padded).get(document) != simdjson::SUCCESS) return {};
    if (level == 0 && document.get_object().get(object) != simdjson::SUCCESS) return {};
    auto value = object.find_field_unordered(name.path[level]);
    if (level + 1 == name.path.size()) return shown(std::move(value));
    simdjson::ondemand::object inner;
    if (value.get_object().get(inner) != simdjson::SUCCESS) return {};
    object = inner;
  }
  return text;
}

Status not_json(simdjson::error_code error) {
  if (error == simdjson::UTF8_ERROR)
    return Status::invalid_argument("not UTF-8; convert the line, or use --format lines");
  return Status::invalid_argument(std::string("not a JSON object: ") + simdjson::error_message(error));
}

}  // namespace

JsonFields::JsonFields() : parsers_(std::make_unique<Parsers>()) {}
JsonFields::~JsonFields() = default;

Status JsonFields::parse(std::string_view line) {
  line_ = line;
  numbers_.clear();
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(line.data());
  simdjson::error_code error = parsers_->whole.parse(bytes, line.size(), false).get(parsers_->root);
  if (error == simdjson::NUMBER_ERROR) {
    // Numbers are shown as they were written, in line_; which of them fit a double is no concern of the line.
    error = parsers_->whole.parse(with_numbers_in_range(line)).get(parsers_->root);
  }
  if (error != simdjson::SUCCESS) return not_json(error);
  if (!parsers_->root.is_object()) return Status::invalid_argument("not a JSON object, but another JSON value");
  return {};
}

void JsonFields::find(const FieldName& name, std::vector<std::string_view>& texts) {
  dom::element found;
  if (!locate(parsers_->root, name, found)) return;
  const auto add = [this, &texts](dom::element element, const FieldName* whole) {
    switch (element.type()) {
      case dom::element_type::STRING: {
        const std::string_view text = std::string_view(element.get_string().value_unsafe());
        if (!text.empty()) texts.push_back(text);
        return;
      }
      case dom::element_type::INT64:
        numbers_.push_back(std::to_string(element.get_int64().value_unsafe()));
        break;
      case dom::element_type::UINT64:
        numbers_.push_back(std::to_string(element.get_uint64().value_unsafe()));
        break;
      case dom::element_type::DOUBLE:
        numbers_.push_back(whole != nullptr ? number_text(parsers_->token, line_, *whole) : std::string());
        if (numbers_.back().empty()) numbers_.back() = simdjson::minify(element);
        break;
      case dom::element_type::BOOL:
        texts.push_back(element.get_bool().value_unsafe() ? "true" : "false");
        return;
      case dom::element_type::ARRAY:
      case dom::element_type::OBJECT:
      case dom::element_type::NULL_VALUE:
        return;
    }
    texts.push_back(numbers_.back());
  };
  dom::array elements;
  if (found.get(elements) != simdjson::SUCCESS) return add(found, &name);
  for (const dom::element element : elements) add(element, nullptr);
}

}  // namespace hdb::cli
