#include "engine/where.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include <simdjson.h>

#include "base/json_number.h"

namespace hdb {

namespace {

namespace dom = simdjson::dom;

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

Status malformed_condition(std::string_view text) {
  return Status::invalid_argument("condition \"" + std::string(text) +
                                  "\" is not FIELD OP VALUE, with OP one of = != < <= > >=, nor FIELD exists");
}

Status invalid(std::string_view text, const std::string& what) {
  return Status::invalid_argument("condition \"" + std::string(text) + "\": " + what);
}

// A path has a name before, between and after its dots.
bool has_empty_part(std::string_view field) noexcept {
  return field.starts_with('.') || field.ends_with('.') || field.find("..") != std::string_view::npos;
}

struct Operator {
  std::size_t begin;
  std::size_t end;
  Comparison comparison;
};

std::optional<Operator> find_operator(std::string_view text) noexcept {
  const std::size_t at = text.find_first_of("=<>");
  if (at == std::string_view::npos) return std::nullopt;
  const bool has_equals = text.substr(at + 1).starts_with('=');
  const std::size_t end = at + (has_equals ? 2 : 1);
  if (text[at] == '<') return Operator{at, end, has_equals ? Comparison::kLessOrEqual : Comparison::kLess};
  if (text[at] == '>') return Operator{at, end, has_equals ? Comparison::kGreaterOrEqual : Comparison::kGreater};
  if (at > 0 && text[at - 1] == '!') return Operator{at - 1, at + 1, Comparison::kNotEqual};
  return Operator{at, at + 1, Comparison::kEqual};
}

bool has_order(Comparison comparison, int order) noexcept {
  switch (comparison) {
    case Comparison::kEqual:
    case Comparison::kNotEqual:
      return order == 0;
    case Comparison::kLess:
      return order < 0;
    case Comparison::kLessOrEqual:
      return order <= 0;
    case Comparison::kGreater:
      return order > 0;
    case Comparison::kGreaterOrEqual:
      return order >= 0;
    case Comparison::kExists:
      return true;
  }
  return false;
}

constexpr std::string_view kMetadataPrefix = "metadata.";
constexpr std::string_view kPayloadPrefix = "payload.";

// A condition, prepared.
struct Test {
  Condition condition;
  std::string field;               // without the prefix that forces a part
  std::vector<std::string> steps;  // of the nested look-up; empty if the field has no dot
  bool looks_in_metadata = true;
  bool looks_in_payload = true;
  std::optional<Number> number;  // of condition.value
  // The value stands in a matching record as it is, unless a string there has escapes.
  bool value_is_literal;

  explicit Test(Condition given) : condition(std::move(given)), field(condition.field) {
    if (field.starts_with(kMetadataPrefix)) {
      field.erase(0, kMetadataPrefix.size());
      looks_in_payload = false;
    } else if (field.starts_with(kPayloadPrefix)) {
      field.erase(0, kPayloadPrefix.size());
      looks_in_metadata = false;
    }
    if (field.find('.') != std::string::npos) {
      for (std::size_t begin = 0; begin <= field.size();) {
        const std::size_t end = std::min(field.find('.', begin), field.size());
        steps.push_back(field.substr(begin, end - begin));
        begin = end + 1;
      }
    }
    if (condition.comparison != Comparison::kExists) number = Number::parse(condition.value);
    value_is_literal = condition.comparison == Comparison::kEqual && !number;
  }

  // Of a record without the field.
  bool holds_without() const noexcept { return condition.comparison == Comparison::kNotEqual; }

  bool holds(const dom::element& found) const {
    if (condition.comparison == Comparison::kExists) return true;
    return has_element(found) == (condition.comparison != Comparison::kNotEqual);
  }

  // Whether the value, or any element of an array, compares as asked; kNotEqual asks as kEqual.
  bool has_element(const dom::element& value) const {
    switch (value.type()) {
      case dom::element_type::ARRAY:
        for (const dom::element element : dom::array(value.get_array().value_unsafe())) {
          if (has_element(element)) return true;
        }
        return false;
      case dom::element_type::STRING:
        return is_text(value.get_string().value_unsafe());
      case dom::element_type::BOOL:
        return is_text(value.get_bool().value_unsafe() ? "true" : "false");
      case dom::element_type::INT64:
        return is_number(Number(value.get_int64().value_unsafe()));
      case dom::element_type::UINT64:
        return is_number(Number(value.get_uint64().value_unsafe()));
      case dom::element_type::DOUBLE:
        return is_number(Number(value.get_double().value_unsafe()));
      case dom::element_type::OBJECT:
      case dom::element_type::NULL_VALUE:
        return false;
    }
    return false;
  }

  bool is_text(std::string_view text) const noexcept {
    return has_order(condition.comparison, compare_bytes(as_bytes(text), as_bytes(condition.value)));
  }
  bool is_number(const Number& value) const noexcept {
    return number && has_order(condition.comparison, compare_numbers(value, *number));
  }
};

std::optional<dom::element> look_up(const dom::object& root, const Test& test) {
  dom::element found;
  if (root.at_key(test.field).get(found) == simdjson::SUCCESS) return found;
  if (test.steps.empty()) return std::nullopt;
  dom::object object = root;
  for (std::size_t step = 0; step < test.steps.size(); ++step) {
    if (step > 0 && found.get(object) != simdjson::SUCCESS) return std::nullopt;
    if (object.at_key(test.steps[step]).get(found) != simdjson::SUCCESS) return std::nullopt;
  }
  return found;
}

bool has_part(std::string_view text, std::string_view part) noexcept {
  return ::memmem(text.data(), text.size(), part.data(), part.size()) != nullptr;
}

// Whether a string in this JSON text can be `value`.
bool may_hold(std::string_view json, std::string_view value) noexcept {
  if (json.empty()) return false;
  return value.empty() || has_part(json, value) || std::memchr(json.data(), '\\', json.size()) != nullptr;
}

}  // namespace

Result<Condition> Condition::parse(std::string_view text) {
  const std::optional<Operator> found = find_operator(text);
  Condition condition;
  if (found) {
    const bool is_equality = found->comparison == Comparison::kEqual || found->comparison == Comparison::kNotEqual;
    if (is_equality && text.substr(found->end).starts_with('=')) {
      return invalid(text, found->comparison == Comparison::kEqual ? "use = instead of ==" : "use != instead of !==");
    }
    condition.field = trimmed(text.substr(0, found->begin));
    condition.comparison = found->comparison;
    condition.value = trimmed(text.substr(found->end));
    if (!is_equality && condition.value.empty()) return invalid(text, "there is no value to compare with");
  } else {
    constexpr std::string_view kExistsWord = "exists";
    std::string_view field = trimmed(text);
    if (!field.ends_with(kExistsWord)) return malformed_condition(text);
    field.remove_suffix(kExistsWord.size());
    if (trimmed(field) == field && !field.empty() && field.back() != ' ' && field.back() != '\t') {
      return malformed_condition(text);  // a word that ends in "exists"
    }
    condition.field = trimmed(field);
    condition.comparison = Comparison::kExists;
  }
  if (condition.field.empty()) return malformed_condition(text);
  if (has_empty_part(condition.field)) {
    return invalid(text, "the field \"" + condition.field + "\" has an empty part; name one on each side of a dot");
  }
  return condition;
}

class WhereFilter::Impl {
 public:
  explicit Impl(std::vector<Condition> conditions) {
    for (Condition& condition : conditions) tests_.push_back(Test(std::move(condition)));
    is_open_.resize(tests_.size());
  }

  bool is_empty() const noexcept { return tests_.empty(); }

  Result<bool> matches(const RecordView& record) {
    const std::string_view metadata = record.metadata();
    const std::string_view payload = as_text(record.payload());
    const auto may_match = [metadata, payload](const Test& test) {
      return !test.value_is_literal || (test.looks_in_metadata && may_hold(metadata, test.condition.value)) ||
             (test.looks_in_payload && may_hold(payload, test.condition.value));
    };
    if (!std::all_of(tests_.begin(), tests_.end(), may_match)) return false;  // spares the parsing of most records
    std::fill(is_open_.begin(), is_open_.end(), true);
    if (!HDB_TRY(test_part(metadata, &Test::looks_in_metadata))) return false;
    if (!HDB_TRY(test_part(payload, &Test::looks_in_payload))) return false;
    for (std::size_t index = 0; index < tests_.size(); ++index) {
      if (is_open_[index] && !tests_[index].holds_without()) return false;
    }
    return true;
  }

 private:
  // Makes the open tests that look in this part and find their field there. False once one of them fails.
  Result<bool> test_part(std::string_view json, bool Test::*looks_here) {
    const auto is_wanted = [this, looks_here](std::size_t index) {
      return is_open_[index] && tests_[index].*looks_here;
    };
    bool is_any_wanted = false;
    for (std::size_t index = 0; index < tests_.size(); ++index) is_any_wanted = is_any_wanted || is_wanted(index);
    if (!is_any_wanted) return true;
    const std::optional<dom::object> root = HDB_TRY(parse(json));
    if (!root) return true;
    for (std::size_t index = 0; index < tests_.size(); ++index) {
      if (!is_wanted(index)) continue;
      const std::optional<dom::element> found = look_up(*root, tests_[index]);
      if (!found) continue;
      is_open_[index] = false;
      if (!tests_[index].holds(*found)) return false;
    }
    return true;
  }

  // Empty if the text is not one JSON object. Valid until the next call.
  Result<std::optional<dom::object>> parse(std::string_view json) {
    // Nothing but an object begins with a brace, after white space: spares the parsing of other payloads.
    const std::size_t begin = json.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos || json[begin] != '{') return std::optional<dom::object>();
    dom::element root;
    simdjson::error_code error = parse_copy(json, root);
    if (error == simdjson::NUMBER_ERROR) error = parse_copy(with_numbers_in_range(json), root);
    if (error == simdjson::MEMALLOC) {
      return Status::error(StatusCode::kOutOfMemory,
                           "no memory to parse " + std::to_string(json.size()) + " bytes of JSON for a condition");
    }
    dom::object object;
    if (error != simdjson::SUCCESS || root.get(object) != simdjson::SUCCESS) return std::optional<dom::object>();
    return std::optional<dom::object>(object);
  }

  // simdjson reads up to SIMDJSON_PADDING bytes past the text, so it is given a copy with room behind.
  simdjson::error_code parse_copy(std::string_view json, dom::element& root) {
    if (padded_.size() < json.size() + simdjson::SIMDJSON_PADDING) {
      padded_.resize(2 * json.size() + simdjson::SIMDJSON_PADDING);
    }
    std::memcpy(padded_.data(), json.data(), json.size());
    return parser_.parse(padded_.data(), json.size(), false).get(root);
  }

  std::vector<Test> tests_;
  std::vector<bool> is_open_;  // by test: its field was not found yet
  dom::parser parser_;
  std::string padded_;
};

WhereFilter::WhereFilter() noexcept = default;
WhereFilter::WhereFilter(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
WhereFilter::WhereFilter(WhereFilter&&) noexcept = default;
WhereFilter& WhereFilter::operator=(WhereFilter&&) noexcept = default;
WhereFilter::~WhereFilter() = default;

Result<WhereFilter> WhereFilter::make(std::vector<Condition> conditions) {
  for (const Condition& condition : conditions) {
    if (condition.field.empty()) return Status::invalid_argument("a condition names no field");
  }
  return WhereFilter(std::make_unique<Impl>(std::move(conditions)));
}

bool WhereFilter::is_empty() const noexcept {
  return impl_ == nullptr || impl_->is_empty();
}

Result<bool> WhereFilter::matches(const RecordView& record) {
  if (is_empty()) return true;
  return impl_->matches(record);
}

}  // namespace hdb
