// Conditions: how they are written, what they mean, and the filter against an evaluator without its short cuts.
#include "engine/where.h"

#include <doctest/doctest.h>

#include <random>

#include "base/json_number.h"

namespace hdb {
namespace {

Buffer record_of(std::string_view metadata, std::string_view payload) {
  Event event;
  event.metadata = metadata;
  event.payload = as_bytes(payload);
  Buffer record(record_bytes(event));
  encode_record(event, RecordStamp{}, record.data());
  return record;
}

bool matches(std::string_view condition, std::string_view metadata, std::string_view payload) {
  const auto parsed = Condition::parse(condition);
  REQUIRE_MESSAGE(parsed.ok(), parsed.status().message());
  auto filter = WhereFilter::make({parsed.value()});
  REQUIRE(filter.ok());
  const Buffer record = record_of(metadata, payload);
  const auto result = filter->matches(RecordView::trusted(bytes_of(record)));
  REQUIRE(result.ok());
  return result.value();
}

TEST_CASE("conditions are parsed from text") {
  struct Case {
    const char* text;
    const char* field;
    Comparison comparison;
    const char* value;
  };
  for (const Case& expected :
       {Case{"rcode_name=NXDOMAIN", "rcode_name", Comparison::kEqual, "NXDOMAIN"},
        Case{"port != 53", "port", Comparison::kNotEqual, "53"},
        Case{"bytes>=1000", "bytes", Comparison::kGreaterOrEqual, "1000"},
        Case{" a <= b c ", "a", Comparison::kLessOrEqual, "b c"}, Case{"a<1", "a", Comparison::kLess, "1"},
        Case{"a>1", "a", Comparison::kGreater, "1"}, Case{"a=", "a", Comparison::kEqual, ""},
        Case{"a != ", "a", Comparison::kNotEqual, ""}, Case{"a= =1", "a", Comparison::kEqual, "=1"},
        Case{"url=x=y>z", "url", Comparison::kEqual, "x=y>z"}, Case{"a=b exists", "a", Comparison::kEqual, "b exists"},
        Case{"answer exists", "answer", Comparison::kExists, ""},
        Case{"\tid.orig_h\texists ", "id.orig_h", Comparison::kExists, ""}}) {
    CAPTURE(expected.text);
    const auto parsed = Condition::parse(expected.text);
    REQUIRE(parsed.ok());
    CHECK(parsed->field == expected.field);
    CHECK(parsed->comparison == expected.comparison);
    CHECK(parsed->value == expected.value);
  }
  for (const char* wrong : {"", " ", "field", "=value", "!=1", " exists", "exists", "pre-exists", "a is b"}) {
    CAPTURE(wrong);
    CHECK(Condition::parse(wrong).status().code() == StatusCode::kInvalidArgument);
  }
}

TEST_CASE("a condition that cannot mean what it says is refused, with its text and the reason") {
  struct Case {
    const char* text;
    const char* reason;
  };
  for (const Case& wrong :
       {Case{"..=1", "empty part"}, Case{".=1", "empty part"}, Case{".a=1", "empty part"}, Case{"a.=1", "empty part"},
        Case{"a..b=1", "empty part"}, Case{"metadata.=1", "empty part"}, Case{"payload..a<1", "empty part"},
        Case{"a. exists", "empty part"}, Case{"port >", "no value"}, Case{"port>= ", "no value"},
        Case{"port<", "no value"}, Case{" port <=\t", "no value"}, Case{"a==1", "use ="}, Case{"a == 1", "use ="},
        Case{"a==", "use ="}, Case{"a!==1", "use !="}}) {
    CAPTURE(wrong.text);
    const Status status = Condition::parse(wrong.text).status();
    CHECK(status.code() == StatusCode::kInvalidArgument);
    CHECK(status.message().find('"' + std::string(wrong.text) + '"') != std::string_view::npos);
    CHECK(status.message().find(wrong.reason) != std::string_view::npos);
  }
}

TEST_CASE("a condition on a field means what hdb/query.h says") {
  struct Case {
    const char* condition;
    const char* metadata;
    const char* payload;
    bool is_match;
  };
  static constexpr Case kCases[] = {
      // Where a field is looked up.
      {"a=1", R"({"a":1})", R"({"a":2})", true},
      {"a=2", R"({"a":1})", R"({"a":2})", false},
      {"a=2", R"({"b":1})", R"({"a":2})", true},
      {"payload.a=2", R"({"a":1})", R"({"a":2})", true},
      {"metadata.a=2", R"({"b":1})", R"({"a":2})", false},
      {"metadata.a=1", R"({"a":1})", R"({"a":2})", true},
      {"payload.a!=2", R"({"a":2})", "", true},
      {"id.orig_h=x", "", R"({"id.orig_h":"x","id":{"orig_h":"y"}})", true},
      {"id.orig_h=y", "", R"({"id.orig_h":"x","id":{"orig_h":"y"}})", false},
      {"alert.signature=s", "", R"({"alert":{"signature":"s"}})", true},
      {"a.b.c=1", "", R"({"a":{"b":{"c":1}}})", true},
      {"a.b.c=1", "", R"({"a":{"b":1}})", false},
      {"a.b=1", "", R"({"a":[{"b":1}]})", false},
      {"payload.id.x=1", "", R"({"id.x":1})", true},
      // Presence.
      {"a exists", "", R"({"a":null})", true},
      {"a exists", "", R"({"a":[]})", true},
      {"a exists", "", R"({"b":{"a":1}})", false},
      {"a exists", R"({"a":{}})", "not json", true},
      // Absent, null, objects: equal to nothing.
      {"a=1", "", R"({"b":1})", false},
      {"a!=1", "", R"({"b":1})", true},
      {"a!=1", "", "", true},
      {"a<1", "", R"({"b":1})", false},
      {"a=null", "", R"({"a":null})", false},
      {"a!=null", "", R"({"a":null})", true},
      {"a=", "", R"({"a":{}})", false},
      // Text by bytes.
      {"a=", "", R"({"a":""})", true},
      {"a=53", "", R"({"a":"53"})", true},
      {"a=53.0", "", R"({"a":"53"})", false},
      {"a<9", "", R"({"a":"10"})", true},
      {"a>Z", "", R"({"a":"a"})", true},
      {"a=\xc3\xa9", "", R"({"a":"\u00e9"})", true},
      {"a=x/y", "", R"({"a":"x\/y"})", true},
      {"a=tab", "", R"({"a":"t\u0061b"})", true},
      {"a=true", "", R"({"a":true})", true},
      {"a=true", "", R"({"a":"true"})", true},
      {"a=1", "", R"({"a":true})", false},
      {"a!=false", "", R"({"a":true})", true},
      // Numbers.
      {"a=53", "", R"({"a":53})", true},
      {"a=53", "", R"({"a":53.0})", true},
      {"a=5.3e1", "", R"({"a":53})", true},
      {"a=text", "", R"({"a":53})", false},
      {"a!=text", "", R"({"a":53})", true},
      {"a<text", "", R"({"a":53})", false},
      {"a>=text", "", R"({"a":53})", false},
      {"a=053", "", R"({"a":53})", false},
      {"a=9007199254740993", "", R"({"a":9007199254740993})", true},
      {"a=9007199254740993", "", R"({"a":9007199254740992.0})", false},
      {"a>9007199254740992.0", "", R"({"a":9007199254740993})", true},
      {"a=18446744073709551615", "", R"({"a":18446744073709551615})", true},
      {"a=18446744073709551614", "", R"({"a":18446744073709551615})", false},
      {"a>-1", "", R"({"a":18446744073709551615})", true},
      {"a<9223372036854775808", "", R"({"a":9223372036854775807})", true},
      {"a=-9223372036854775808", "", R"({"a":-9223372036854775808})", true},
      {"a>1e300", "", R"({"a":1e999,"b":1})", true},
      {"b=1", "", R"({"a":1e999,"b":1})", true},
      {"b=1", "", R"({"a":-123456789012345678901234567890,"b":1,"c":"\"1e999\\"})", true},
      {"a=123456789012345678901234567890", "", R"({"a":123456789012345678901234567890})", true},
      {"a=0", "", R"({"a":1e-999})", true},
      {"b=1", "", R"({"a":01e999,"b":1})", false},
      // Arrays: any element.
      {"a=2", "", R"({"a":[1,2,3]})", true},
      {"a!=2", "", R"({"a":[1,2,3]})", false},
      {"a!=4", "", R"({"a":[1,2,3]})", true},
      {"a>2", "", R"({"a":[1,2,3]})", true},
      {"a>3", "", R"({"a":[1,2,3]})", false},
      {"a=x", "", R"({"a":[1,["y","x"]]})", true},
      {"a=x", "", R"({"a":[]})", false},
      // What is no JSON object has no fields.
      {"a=1", "", R"([{"a":1}])", false},
      {"a=1", "", R"({"a":1)", false},
      {"a=1", "", R"({"a":1} {"a":1})", false},
      {"a=1", "", R"({"a":1,"b":tru})", false},
      {"a=1", "", "\n {\"a\":1}\r\n", true},
      {"a!=1", "", "a=1", true},
  };
  for (const Case& expected : kCases) {
    CAPTURE(expected.condition);
    CAPTURE(expected.metadata);
    CAPTURE(expected.payload);
    CHECK(matches(expected.condition, expected.metadata, expected.payload) == expected.is_match);
  }
}

TEST_CASE("all conditions must hold, and none of them is no condition") {
  const Buffer record = record_of(R"({"a":1})", R"({"b":"x","c":[1,2]})");
  const RecordView view = RecordView::trusted(bytes_of(record));
  const auto holds = [&view](std::initializer_list<const char*> texts) {
    std::vector<Condition> conditions;
    for (const char* text : texts) conditions.push_back(Condition::parse(text).value());
    auto filter = WhereFilter::make(conditions);
    REQUIRE(filter.ok());
    return filter->matches(view).value();
  };
  CHECK(holds({}));
  CHECK(holds({"a=1", "b=x", "c=2", "d!=1"}));
  CHECK(!holds({"a=1", "b=x", "c=3"}));
  CHECK(!holds({"a=2", "b=x"}));
  CHECK(!holds({"a=1", "d exists"}));
  CHECK(WhereFilter().matches(view).value());
  CHECK(WhereFilter::make({Condition{}}).status().code() == StatusCode::kInvalidArgument);
}

TEST_CASE("numbers are compared by value, whatever their form") {
  static constexpr const char* kAscending[] = {"-1e999",
                                               "-1e300",
                                               "-18446744073709551616",
                                               "-9223372036854775809e0",
                                               "-9223372036854775807",
                                               "-9007199254740993",
                                               "-9007199254740992.0",
                                               "-1.5",
                                               "-1",
                                               "-0.5",
                                               "-1e-300",
                                               "0",
                                               "5e-324",
                                               "0.5",
                                               "1",
                                               "1.5",
                                               "2",
                                               "9007199254740992.0",
                                               "9007199254740993",
                                               "9223372036854775807",
                                               "9223372036854775808",
                                               "9223372036854775809",
                                               "18446744073709551615",
                                               "18446744073709551616",
                                               "1e300",
                                               "1e400"};
  for (std::size_t a = 0; a < std::size(kAscending); ++a) {
    for (std::size_t b = 0; b < std::size(kAscending); ++b) {
      CAPTURE(kAscending[a]);
      CAPTURE(kAscending[b]);
      const int order = compare_numbers(Number::parse(kAscending[a]).value(), Number::parse(kAscending[b]).value());
      CHECK((order > 0) == (a > b));
      CHECK((order < 0) == (a < b));
    }
  }
  for (const char* wrong : {"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1 ", " 1", "NaN", "inf", "1_0"}) {
    CAPTURE(wrong);
    CHECK(!Number::parse(wrong));
  }
}

// Random JSON whose values are known without parsing it.
struct Value {
  std::string json;
  std::vector<std::string> texts;  // of itself or its elements
  std::vector<std::int64_t> numbers;
};

Value random_scalar(std::mt19937_64& random) {
  switch (random() % 5) {
    case 0:
      return {"null", {}, {}};
    case 1:
      return {"true", {"true"}, {}};
    case 2: {
      const auto number = static_cast<std::int64_t>(random() % 7) - 3;
      const std::string text = std::to_string(number);
      return {random() % 2 == 0 ? text : text + ".0", {}, {number}};
    }
    default: {
      Value value{"\"", {""}, {}};
      for (std::size_t i = random() % 3; i > 0; --i) {
        const char letter = static_cast<char>('1' + random() % 3);
        value.texts[0] += letter;
        if (random() % 4 == 0) value.json += "\\u003";
        value.json += letter;  // '1' is U+0031
      }
      value.json += '"';
      return value;
    }
  }
}

Value random_value(std::mt19937_64& random) {
  if (random() % 4 != 0) return random_scalar(random);
  Value array{"[", {}, {}};
  for (std::size_t i = random() % 4; i > 0; --i) {
    const Value element = random_scalar(random);
    array.json += (array.json.size() > 1 ? "," : "") + element.json;
    array.texts.insert(array.texts.end(), element.texts.begin(), element.texts.end());
    array.numbers.insert(array.numbers.end(), element.numbers.begin(), element.numbers.end());
  }
  array.json += ']';
  return array;
}

struct Document {
  std::string json;
  std::vector<std::pair<std::string, Value>> fields;  // as a condition names them, the first one counts
};

Document random_document(std::mt19937_64& random) {
  Document document;
  if (random() % 5 == 0) return document;
  Value literal = random_value(random), nested = random_value(random), plain = random_value(random);
  document.json = "{";
  const auto add = [&document](const std::string& json) {
    document.json += (document.json.size() > 1 ? ", " : "") + json;
  };
  const bool has_nested = random() % 2 == 0;
  if (has_nested) add(R"("a":{"b":)" + nested.json + "}");
  if (random() % 2 == 0) {
    add(R"("a.b":)" + literal.json);
    document.fields.emplace_back("a.b", literal);
  }
  if (has_nested) document.fields.emplace_back("a.b", nested);
  if (random() % 2 == 0) {
    add(R"("c":)" + plain.json);
    document.fields.emplace_back("c", plain);
  }
  document.json += "}";
  return document;
}

const Value* field_of(const Document& document, std::string_view name) {
  for (const auto& field : document.fields) {
    if (field.first == name) return &field.second;
  }
  return nullptr;
}

bool has_order(Comparison comparison, int order) {
  switch (comparison) {
    case Comparison::kLess:
      return order < 0;
    case Comparison::kLessOrEqual:
      return order <= 0;
    case Comparison::kGreater:
      return order > 0;
    case Comparison::kGreaterOrEqual:
      return order >= 0;
    default:
      return order == 0;
  }
}

bool naive_match(const Condition& condition, const Document& metadata, const Document& payload) {
  std::string_view name = condition.field;
  const Value* value = nullptr;
  if (name.starts_with("metadata.")) {
    value = field_of(metadata, name.substr(9));
  } else if (name.starts_with("payload.")) {
    value = field_of(payload, name.substr(8));
  } else {
    value = field_of(metadata, name);
    if (value == nullptr) value = field_of(payload, name);
  }
  if (condition.comparison == Comparison::kExists) return value != nullptr;
  bool any = false;
  if (value != nullptr) {
    for (const std::string& text : value->texts)
      any = any || has_order(condition.comparison, text.compare(condition.value));
    const bool is_number =
        condition.value.find_first_not_of("-0123456789") == std::string::npos && !condition.value.empty();
    for (const std::int64_t number : value->numbers) {
      if (!is_number) continue;
      const std::int64_t other = std::stoll(condition.value);
      any = any || has_order(condition.comparison, number < other ? -1 : (number > other ? 1 : 0));
    }
  }
  return condition.comparison == Comparison::kNotEqual ? !any : any;
}

TEST_CASE("the filter agrees with an evaluator that knows the values without parsing") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    static constexpr const char* kFields[] = {"a.b",         "c",          "d",        "metadata.a.b",
                                              "payload.a.b", "metadata.c", "payload.c"};
    static constexpr const char* kValues[] = {"", "1", "2", "-3", "0", "12", "true", "tru", "33", "null", "x"};
    std::vector<Condition> conditions;
    for (std::size_t i = 1 + random() % 3; i > 0; --i) {
      conditions.push_back({kFields[random() % std::size(kFields)], static_cast<Comparison>(random() % 7),
                            kValues[random() % std::size(kValues)]});
    }
    auto filter = WhereFilter::make(conditions);
    REQUIRE(filter.ok());
    for (int i = 0; i < 2000; ++i) {
      const Document metadata = random_document(random);
      const Document payload = random_document(random);
      const Buffer record = record_of(metadata.json, payload.json);
      bool expected = true;
      for (const Condition& condition : conditions) expected = expected && naive_match(condition, metadata, payload);
      const bool actual = filter->matches(RecordView::trusted(bytes_of(record))).value();
      if (actual != expected) {
        CAPTURE(metadata.json);
        CAPTURE(payload.json);
        CAPTURE(conditions[0].field);
        CAPTURE(conditions[0].value);
        CHECK(actual == expected);
        return;
      }
    }
    CHECK(true);
  }
}

}  // namespace
}  // namespace hdb
