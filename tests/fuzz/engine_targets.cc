// Targets of engine/: conditions, metadata, resume tokens, options.
#include <algorithm>

#include <hdb/options.h>
#include <hdb/query.h>

#include "base/checksum.h"
#include "engine/json.h"
#include "engine/resume_token.h"
#include "engine/where.h"
#include "tests/fuzz/memory_file.h"
#include "tests/fuzz/target.h"

namespace hdb::fuzz {
namespace {

Buffer record_of(std::string_view metadata, ByteView payload) {
  const Event event{.metadata = metadata, .payload = payload};
  Buffer record(record_bytes(event));
  encode_record(event, {Timestamp{}, 0}, record.data());
  return record;
}

bool matches(const Condition& condition, Comparison comparison, const RecordView& record) {
  Condition asked = condition;
  asked.comparison = comparison;
  auto filter = WhereFilter::make({asked});
  HDB_CHECK(filter.ok());
  const auto is_match = filter->matches(record);
  HDB_CHECK(is_match.ok());
  return is_match.value();
}

// A condition and the metadata, each up to a zero byte, then the payload.
bool run_where(ByteView input) {
  Pieces pieces(input);
  const std::string_view text = pieces.text();
  const auto condition = Condition::parse(text);
  if (!condition.ok()) {
    HDB_CHECK(contains(condition.status().message(), text));
    return false;
  }
  HDB_CHECK(!condition->field.empty());
  const std::string_view metadata = pieces.text();
  const Buffer bytes = record_of(metadata, pieces.rest());
  const RecordView record = RecordView::trusted(bytes);
  const auto is = [&](Comparison comparison) { return matches(condition.value(), comparison, record); };
  const bool is_equal = is(Comparison::kEqual);
  const bool is_less = is(Comparison::kLess);
  const bool is_greater = is(Comparison::kGreater);
  HDB_CHECK(is(Comparison::kNotEqual) != is_equal);
  HDB_CHECK(is(Comparison::kLessOrEqual) == (is_less || is_equal));
  HDB_CHECK(is(Comparison::kGreaterOrEqual) == (is_greater || is_equal));
  if (is_equal || is_less || is_greater) HDB_CHECK(is(Comparison::kExists));
  // Two conditions hold if each does.
  auto both = WhereFilter::make({condition.value(), Condition{.field = "n", .comparison = Comparison::kExists}});
  HDB_CHECK(both.ok());
  const bool has_n = matches({.field = "n"}, Comparison::kExists, record);
  HDB_CHECK(both->matches(record).value() == (has_n && is(condition->comparison)));
  return true;
}

std::vector<Buffer> where_seeds() {
  using namespace std::string_view_literals;
  return {copy_of("id.orig_p=53\0\0{\"id.orig_p\":53,\"n\":[1,2.5]}"sv),
          copy_of("a.b >= 9007199254740993\0{\"lab\":\"east\"}\0{\"a\":{\"b\":[9007199254740993,1e999]}}"sv),
          copy_of("payload.rcode != NX\\\0{\"rcode\":\"NX\"}\0{\"rcode\":\"N\\u0058\\\\\",\"t\":true,\"x\":null}"sv),
          copy_of("n exists\0\0not json"sv)};
}

bool run_metadata(ByteView input) {
  const std::string_view text = as_text(input);
  const Status status = check_metadata(text);
  HDB_CHECK(status.ok() || contains(status.message(), "event metadata "));
  if (!status.ok() || text.empty()) return status.ok();
  // What was accepted is an object for conditions too: a field that no object has is absent from it, and white space
  // around it changes nothing.
  HDB_CHECK(check_metadata(" " + std::string(text) + "\n").ok());
  HDB_CHECK(!check_metadata("[" + std::string(text) + "]").ok());
  HDB_CHECK(!check_metadata(std::string(text) + "}").ok());
  const Buffer bytes = record_of("", input);
  static_cast<void>(matches({.field = "a", .value = "1"}, Comparison::kEqual, RecordView::trusted(bytes)));
  return true;
}

std::vector<Buffer> metadata_seeds() {
  return {copy_of(R"({"lab":"east","a":[1,2.5e3,true,null,{"b":"\u00e9\n"}]})"), copy_of("{}")};
}

// A token as text, or the bytes that its text stands for, to which the checksum is added.
bool run_resume_token(ByteView input) {
  const auto check = [](std::string_view text) {
    const auto token = ResumeToken::decode(text);
    if (!token.ok()) return false;
    const auto again = ResumeToken::decode(token->encode());
    HDB_CHECK(again.ok() && again->encode() == token->encode());
    HDB_CHECK(again->store == token->store && again->epoch == token->epoch && again->position == token->position);
    HDB_CHECK(again->has_event == token->has_event && again->time == token->time);
    return true;
  };
  Buffer bytes = copy_of(input);
  append_fixed(bytes, static_cast<std::uint32_t>(checksum64(input)));
  std::string text;
  for (const std::byte byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  const bool is_text_accepted = check(as_text(input));
  return check(text) || is_text_accepted;
}

std::vector<Buffer> resume_token_seeds() {
  const ResumeToken token{.store = {1, 2, 3},
                          .epoch = Epoch(4),
                          .query_fingerprint = 0x0123'4567'89ab'cdef,
                          .has_event = true,
                          .position = 77,
                          .time = Timestamp(std::chrono::seconds(1'700'000'000))};
  const std::string text = token.encode();
  Buffer bytes;
  for (std::size_t at = 0; at + 8 < text.size(); at += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(at, 2), nullptr, 16)));
  }
  return {copy_of(text), bytes};
}

bool is_same(const Options& a, const Options& b) {
  return to_toml(a) == to_toml(b);
}

// An option's name and value, each up to a zero byte, then a file.
bool run_options(ByteView input) {
  Pieces pieces(input);
  const std::string_view name = pieces.text();
  const std::string_view value = pieces.text();
  Options set;
  const Status status = set_option(set, name, value);
  HDB_CHECK(!status.ok() || contains(to_toml(set), std::string(name) + " = "));
  HDB_CHECK(status.ok() || (contains(status.message(), name) && is_same(set, Options{})));
  if (!status.ok()) HDB_CHECK(!preset_by_name(value).ok() || validate(preset_by_name(value).value()).ok());

  const MemoryFile file(pieces.rest());
  const auto options = load_options(file.path());
  if (!options.ok()) {
    HDB_CHECK(contains(options.status().message(), file.path()));
    return status.ok();
  }
  const Status valid = validate(options.value());
  HDB_CHECK(valid.ok() || contains(valid.message(), "option "));
  const MemoryFile again(as_bytes(to_toml(options.value())));
  const auto reread = load_options(again.path());
  HDB_CHECK(reread.ok() && is_same(reread.value(), options.value()));
  return true;
}

std::vector<Buffer> options_seeds() {
  using namespace std::string_view_literals;
  std::vector<Buffer> seeds = {copy_of("memtable_bytes\0"
                                       "128MiB\0preset = \"small\"\nblock_bytes = \"16KiB\"\ncompression = 'none'\n"sv),
                               copy_of("durability\0interval\0# nothing\n"sv)};
  for (const Preset& preset : all_presets()) {
    Buffer& input = seeds.emplace_back(copy_of("x\0"sv));
    append(input, as_bytes(preset.name));
    input.push_back(std::byte{0});
    append(input, as_bytes(to_toml(preset.make())));
  }
  return seeds;
}

constexpr Target kTargets[] = {
    {"where", &run_where, &where_seeds},
    {"metadata", &run_metadata, &metadata_seeds},
    {"resume_token", &run_resume_token, &resume_token_seeds},
    {"options", &run_options, &options_seeds},
};

}  // namespace

std::span<const Target> engine_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
