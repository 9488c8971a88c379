// Targets of base/: text, numbers, records, batches, position sets, ids.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "base/batch.h"
#include "base/json_number.h"
#include "base/postings.h"
#include "base/record.h"
#include "base/utf8.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/samples.h"
#include "tests/fuzz/target.h"

namespace hdb::fuzz {
namespace {

// RFC 3629 as its table says: each code point taken apart and measured.
bool is_utf8_by_the_book(ByteView text) {
  while (!text.empty()) {
    const auto first = std::to_integer<std::uint32_t>(text[0]);
    const std::size_t size = first < 0x80         ? 1
                             : (first >> 5) == 6  ? 2
                             : (first >> 4) == 14 ? 3
                             : (first >> 3) == 30 ? 4
                                                  : 0;
    if (size == 0 || size > text.size()) return false;
    std::uint32_t point = size == 1 ? first : first & (0x7fu >> size);
    for (const std::byte next : text.subspan(1, size - 1)) {
      const auto bits = std::to_integer<std::uint32_t>(next);
      if ((bits >> 6) != 2) return false;
      point = point << 6 | (bits & 0x3f);
    }
    constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    text = text.subspan(size);
  }
  return true;
}

bool run_utf8(ByteView input) {
  const bool is_accepted = is_utf8(as_text(input));
  HDB_CHECK(is_accepted == is_utf8_by_the_book(input));
  return is_accepted;
}

std::vector<Buffer> utf8_seeds() {
  return {copy_of("plain text, longer than one word"), copy_of("gr\u00fc\u00dfe \u20ac \U0001f600 \ufffd"),
          copy_of("\u07ff\u0800\ud7ff\ue000\U0010ffff12345678")};
}

// Exact for 64-bit integers and for doubles: the x87 format holds both.
long double exact_value(const std::string& text) {
  const bool is_integer = text.find_first_of(".eE") == std::string::npos;
  if (is_integer) {
    const long double value = std::strtold(text.c_str(), nullptr);
    if (value >= -0x1p63L && value < 0x1p64L && text.size() <= 21) return value;
  }
  constexpr double kMax = std::numeric_limits<double>::max();
  return std::clamp(std::strtod(text.c_str(), nullptr), -kMax, kMax);
}

bool run_json_number(ByteView input) {
  static_assert(std::numeric_limits<long double>::digits >= 64);
  Pieces pieces(input);
  const std::string text_a(pieces.text());
  const std::string text_b(pieces.text());
  const auto a = Number::parse(text_a);
  const auto b = Number::parse(text_b);
  if (a) {
    HDB_CHECK(compare_numbers(*a, *a) == 0);
    const auto in_range = Number::parse(with_numbers_in_range(text_a));
    HDB_CHECK(in_range && compare_numbers(*a, *in_range) == 0);
  }
  if (a && b) {
    const long double value_a = exact_value(text_a);
    const long double value_b = exact_value(text_b);
    const int order = value_a < value_b ? -1 : value_a > value_b ? 1 : 0;
    HDB_CHECK(compare_numbers(*a, *b) == order);
    HDB_CHECK(compare_numbers(*b, *a) == -order);
  }
  const std::string json(as_text(pieces.rest()));
  const std::string in_range = with_numbers_in_range(json);
  HDB_CHECK(with_numbers_in_range(in_range) == in_range);
  return a && b;
}

std::vector<Buffer> json_number_seeds() {
  using namespace std::string_view_literals;
  return {copy_of("-9223372036854775808\0"
                  "1.5e-3\0{\"a\":[1,1e999,\"1e999\"]}"sv),
          copy_of("18446744073709551615\0"
                  "18446744073709551616\0"sv),
          copy_of("0.1\0-0\0{\"k\\\"1e400\":-123456789012345678901234567890}"sv)};
}

Event event_of(const RecordView& record, std::vector<std::string_view>& tags) {
  tags.clear();
  record.for_each_tag([&tags](std::string_view tag) { tags.push_back(tag); });
  Event event{.type = record.text(TextField::kType),
              .entity = record.text(TextField::kEntity),
              .host = record.text(TextField::kHost),
              .tags = tags,
              .stream = record.text(TextField::kStream),
              .source = record.text(TextField::kSource),
              .collector = record.text(TextField::kCollector),
              .format = record.text(TextField::kFormat),
              .content_type = record.text(TextField::kContentType),
              .schema = record.text(TextField::kSchema),
              .metadata = record.metadata(),
              .payload = record.payload()};
  if (record.has_caller_id()) event.id = record.id(0);
  if (!record.time_is_default()) event.time = record.time();
  return event;
}

// What the record says, encoded again, are the record's bytes. Of an engine-made id the bytes are the engine's own.
void check_record(const RecordView& record) {
  if (record.kind() == RecordKind::kLost) {
    HDB_CHECK(equal_bytes(encode_lost_record(record.time()), record.bytes()));
    return;
  }
  std::vector<std::string_view> tags;
  const Event event = event_of(record, tags);
  HDB_CHECK(tags.size() == record.tag_count());
  for (std::size_t index = 0; index < tags.size(); ++index) HDB_CHECK(record.tag(index) == tags[index]);
  HDB_CHECK(record_bytes(event) == record.bytes().size());
  Buffer again(record_bytes(event));
  encode_record(event, {record.time(), 0}, again.data());
  if (!record.has_caller_id()) std::copy_n(record.bytes().begin() + 16, 16, again.begin() + 16);
  HDB_CHECK(equal_bytes(again, record.bytes()));
  HDB_CHECK(same_content(record, RecordView::trusted(again)));
  if (validate_event(event).ok()) HDB_CHECK(record.bytes().size() <= kRecordBytesMax);
}

bool run_record(ByteView input) {
  const auto record = RecordView::decode(input);
  if (!record.ok()) {
    HDB_CHECK(contains(record.status().message(), "record "));
    return false;
  }
  HDB_CHECK(record->bytes().data() == input.data() && record->bytes().size() <= input.size());
  check_record(record.value());
  return true;
}

std::vector<Buffer> record_seeds() {
  std::vector<Buffer> seeds;
  for (std::size_t index = 0; index < kSampleEvents; ++index) seeds.push_back(sample_record(index));
  const auto lost = encode_lost_record(Timestamp(std::chrono::nanoseconds(42)));
  seeds.emplace_back(lost.begin(), lost.end());
  return seeds;
}

void check_batch(const BatchView& batch) {
  std::vector<std::vector<std::string_view>> tags(batch.event_count());
  std::vector<Event> events;
  std::vector<KeyValueChange> changes;
  batch.for_each_record([&](const RecordView& record) {
    HDB_CHECK(RecordView::decode(record.bytes()).ok());
    check_record(record);
    events.push_back(event_of(record, tags[events.size()]));
  });
  batch.for_each_change([&](const BatchView::Change& change) {
    HDB_CHECK(change.key.size() >= kKeyspacePrefixBytes);
    HDB_CHECK(equal_bytes(BatchView::change_at(change.start()).value, change.value));
    changes.push_back({Keyspace(load_be32(change.key.data())), change.key.subspan(kKeyspacePrefixBytes),
                       change.kind == EntryKind::kPut ? std::optional(change.value) : std::nullopt});
  });
  HDB_CHECK(events.size() == batch.event_count() && changes.size() == batch.change_count());
  ignore(check_leaf_hashes(batch), "hashes of any events");
  HDB_CHECK(equal_bytes(EncodedBatch::view_of(batch.bytes(), nullptr).bytes(), batch.bytes()));
  if (events.empty() && changes.empty()) return;
  const EncodedBatch again = encode_batch(events, changes, {{Timestamp{}, 0}, batch.has_leaf_hashes()});
  const auto decoded = BatchView::decode(again.bytes());
  HDB_CHECK(decoded.ok());
  HDB_CHECK(check_leaf_hashes(decoded.value()).ok());
  HDB_CHECK(decoded->event_count() == batch.event_count() && decoded->change_count() == batch.change_count());
  HDB_CHECK(again.bytes().size() <= batch.bytes().size());
  std::size_t index = 0;
  decoded->for_each_change([&](const BatchView::Change& change) {
    HDB_CHECK(equal_bytes(change.key.subspan(kKeyspacePrefixBytes), changes[index].key));
    HDB_CHECK(equal_bytes(change.value, changes[index].value.value_or(ByteView())));
    ++index;
  });
}

bool run_batch(ByteView input) {
  if (const auto raw = BatchView::decode(input); raw.ok()) check_batch(raw.value());
  Buffer bytes = copy_of(input.first(input.size() / 8 * 8));
  repair_batch(bytes);
  const auto batch = BatchView::decode(bytes_of(bytes));
  if (!batch.ok()) return false;
  check_batch(batch.value());
  return true;
}

std::vector<Buffer> batch_seeds() {
  return {sample_batch(0, 1), sample_batch(2, 3), sample_batch(3, 0), sample_batch(5, 1, true)};
}

bool run_postings(ByteView input) {
  const auto decoded = PositionSet::decode(input);
  if (!decoded.ok()) return false;
  const PositionSet& set = decoded.value();
  Buffer encoded;
  set.encode(encoded);
  const auto again = PositionSet::decode(bytes_of(encoded));
  HDB_CHECK(again.ok() && again.value() == set);
  Buffer encoded_again;
  again->encode(encoded_again);
  HDB_CHECK(encoded == encoded_again);
  HDB_CHECK(set.empty() == (set.cardinality() == 0));
  constexpr std::uint64_t kWalkedMax = 100'000;  // a few bytes may say four thousand million positions
  if (set.cardinality() > kWalkedMax) return true;
  const std::vector<std::uint32_t> positions = set.to_vector();
  HDB_CHECK(positions.size() == set.cardinality());
  HDB_CHECK(std::is_sorted(positions.begin(), positions.end(), std::less_equal<>()) || positions.size() < 2);
  HDB_CHECK(PositionSet::of(positions) == set);
  if (positions.empty()) return true;
  const std::uint32_t middle = positions[positions.size() / 2];
  HDB_CHECK(set.contains(middle) && set.next_at_or_after(middle) == middle &&
            set.previous_at_or_before(middle) == middle);
  PositionSet low = set.copy();
  low.keep_range(0, middle);
  HDB_CHECK(low.cardinality() == positions.size() / 2);
  PositionSet high = set.copy();
  high -= low;
  HDB_CHECK(high.next_at_or_after(0) == middle);
  PositionSet none = low.copy();
  none &= high;
  HDB_CHECK(none.empty());
  high |= low;
  HDB_CHECK(high == set);
  return true;
}

std::vector<Buffer> postings_seeds() {
  std::vector<Buffer> seeds;
  const auto add = [&seeds](const PositionSet& set) { set.encode(seeds.emplace_back()); };
  add(PositionSet());
  add(PositionSet::of(std::vector<std::uint32_t>{1, 2, 70'000, 0xffff'ffff}));
  add(PositionSet::range(5, 200'000));
  PositionSet array;
  for (std::uint32_t position = 0; position < 300; position += 3) array.add(position * (position % 7 + 1));
  add(array);
  PositionSet bitset;  // and a run behind it: each kind of container
  for (std::uint32_t position = 0; position < 10'000; position += 2) bitset.add(position);
  bitset.add_range(70'000, 80'000);
  add(bitset);
  return seeds;
}

bool run_event_id(ByteView input) {
  const auto id = EventId::parse(as_text(input));
  if (!id.ok()) return false;
  std::string lower(as_text(input));
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  HDB_CHECK(id->to_string() == lower);
  return true;
}

std::vector<Buffer> event_id_seeds() {
  return {copy_of("01890a5d-ac96-774b-bcce-b302099a8057"), copy_of(EventId::from_name("a", "b").to_string())};
}

constexpr Target kTargets[] = {
    {"utf8", &run_utf8, &utf8_seeds},
    {"json_number", &run_json_number, &json_number_seeds},
    {"record", &run_record, &record_seeds},
    {"batch", &run_batch, &batch_seeds},
    {"postings", &run_postings, &postings_seeds},
    {"event_id", &run_event_id, &event_id_seeds},
};

}  // namespace

std::span<const Target> base_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
