#include "tools/dump/annotate.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <utility>

#include "base/checksum.h"
#include "base/utf8.h"

namespace hdb::dump {
namespace {

constexpr std::size_t kHexBytesMax = 16;   // more are abbreviated
constexpr std::size_t kHexBytesFirst = 8;  // of an abbreviated run
constexpr std::size_t kHexBytesLast = 2;
constexpr std::size_t kTextBytesShown = 200;

std::string hex_of(ByteView bytes) {
  std::string text;
  for (const std::byte byte : bytes)
    fmt::format_to(std::back_inserter(text), "{:02x}", std::to_integer<unsigned>(byte));
  return text;
}

std::string abbreviated_hex(ByteView bytes) {
  if (bytes.size() <= kHexBytesMax) return hex_of(bytes);
  return hex_of(bytes.first(kHexBytesFirst)) + ".." + hex_of(bytes.last(kHexBytesLast));
}

std::string json_key(std::string_view name) {
  std::string key(name);
  std::replace(key.begin(), key.end(), ' ', '_');
  return key;
}

void append_escaped(std::string& to, char character) {
  switch (character) {
    case '"':
      to += "\\\"";
      return;
    case '\\':
      to += "\\\\";
      return;
    case '\n':
      to += "\\n";
      return;
    case '\r':
      to += "\\r";
      return;
    case '\t':
      to += "\\t";
      return;
    default:
      break;
  }
  const auto code = static_cast<unsigned char>(character);
  if (code < 0x20 || code == 0x7f) {
    fmt::format_to(std::back_inserter(to), "\\u{:04x}", code);
  } else {
    to += character;
  }
}

}  // namespace

std::string quoted(std::string_view text, std::size_t bytes_max) {
  const bool is_cut = text.size() > bytes_max;
  std::size_t shown = std::min(text.size(), bytes_max);
  if (is_cut) {  // not within a character
    while (shown > 0 && (static_cast<unsigned char>(text[shown]) & 0xc0) == 0x80) --shown;
  }
  const std::string_view head = text.substr(0, shown);
  std::string result = "\"";
  if (is_utf8(head)) {
    for (const char character : head) append_escaped(result, character);
  } else {
    for (const char character : head) {
      if (static_cast<unsigned char>(character) < 0x80) {
        append_escaped(result, character);
      } else {
        fmt::format_to(std::back_inserter(result), "\\u{:04x}", static_cast<unsigned char>(character));
      }
    }
  }
  if (is_cut) result += "…";
  return result + "\"";
}

std::string rfc3339(Timestamp time) {
  // Not by std::chrono::floor: in nanoseconds, the begin of the earliest day overflows.
  constexpr std::int64_t kNsPerDay = 86'400'000'000'000;
  const std::int64_t count = time.time_since_epoch().count();
  const bool is_within_earlier_day = count % kNsPerDay < 0;
  const std::chrono::days days(count / kNsPerDay - (is_within_earlier_day ? 1 : 0));
  const std::chrono::year_month_day date{std::chrono::sys_days(days)};
  const std::chrono::hh_mm_ss clock(
      std::chrono::nanoseconds(count % kNsPerDay + (is_within_earlier_day ? kNsPerDay : 0)));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

void Annotator::object(std::string_view name, std::uint64_t offset) {
  finish();
  offset_ = offset;
  if (form_ == Form::kAnnotated) {
    sink_(fmt::format("== {} at {}", name, offset));
  } else {
    line_ = fmt::format("{{\"object\":{},\"offset\":{}", quoted(name, name.size()), offset);
  }
}

void Annotator::finish() {
  if (line_.empty()) return;
  sink_(line_ + "}");
  line_.clear();
}

void Annotator::add(ByteView bytes, std::string_view name, std::string_view shown, std::string_view json) {
  if (form_ == Form::kJsonLines) {
    line_ += fmt::format(",{}:{}", quoted(json_key(name), name.size()), json);
  } else if (bytes.empty()) {
    sink_(fmt::format("{:33}{}: {}", "", name, shown));
  } else {
    sink_(fmt::format("{:06}-{:06}  {:16}  {}{}{}", offset_, offset_ + bytes.size() - 1, abbreviated_hex(bytes), name,
                      shown.empty() ? "" : ": ", shown));
  }
  offset_ += bytes.size();
}

void Annotator::number(ByteView bytes, std::string_view name, std::uint64_t value) {
  const std::string text = std::to_string(value);
  add(bytes, name, text, text);
}

void Annotator::signed_number(ByteView bytes, std::string_view name, std::int64_t value) {
  const std::string text = std::to_string(value);
  add(bytes, name, text, text);
}

void Annotator::hexadecimal(ByteView bytes, std::string_view name, std::uint64_t value) {
  const std::string text = hex(value);
  add(bytes, name, text, '"' + text + '"');
}

void Annotator::time(ByteView bytes, std::string_view name, Timestamp value) {
  const std::string text = rfc3339(value);
  add(bytes, name, text, '"' + text + '"');
}

void Annotator::text(ByteView bytes, std::string_view name, std::string_view value) {
  const std::string text = quoted(value, kTextBytesShown);
  add(bytes, name, text, text);
}

void Annotator::data(ByteView bytes, std::string_view name) {
  if (bytes.empty()) return;
  const std::string size = std::to_string(bytes.size()) + (bytes.size() == 1 ? " byte" : " bytes");
  add(bytes, name, bytes.size() > kHexBytesMax ? std::string_view(size) : std::string_view(),
      bytes.size() > kHexBytesMax ? '"' + size + '"' : '"' + hex_of(bytes) + '"');
}

void Annotator::number(ByteView bytes, std::string_view name) {
  HDB_CHECK(bytes.size() == 1 || bytes.size() == 2 || bytes.size() == 4 || bytes.size() == 8);
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  number(bytes, name, value);
}

void Annotator::note(std::string_view name, std::string_view value) {
  const std::string text = quoted(value, value.size());
  add({}, name, value, text);
}

void Annotator::note(std::string_view name, std::uint64_t value) {
  const std::string text = std::to_string(value);
  add({}, name, text, text);
}

void annotate_record(Annotator& annotator, const RecordView& record) {
  constexpr std::array<std::string_view, kTextFields> kTextNames = {
      "type", "entity", "host", "stream", "source", "collector", "format", "content type", "schema"};
  const ByteView bytes = record.bytes();
  annotator.number(bytes.first(4), "record bytes");
  annotator.number(bytes.subspan(4, 1), "record version");
  annotator.number(bytes.subspan(5, 1), "record kind");
  annotator.number(bytes.subspan(6, 2), "record flags");
  annotator.time(bytes.subspan(8, 8), "time", record.time());
  const std::string id = record.has_caller_id() ? record.id(0).to_string() : record.id(0).to_string() + " + position";
  annotator.text(bytes.subspan(16, 16), "id", id);
  annotator.data(bytes.subspan(32, 18), "text ends");
  annotator.number(bytes.subspan(50, 2), "tag count");
  annotator.number(bytes.subspan(52, 4), "tags end");
  annotator.number(bytes.subspan(56, 4), "metadata end");
  ByteView rest = bytes.subspan(kRecordHeaderBytes);
  const auto take = [&rest](std::size_t count) {
    const ByteView taken = rest.first(count);
    rest = rest.subspan(count);
    return taken;
  };
  for (std::size_t field = 0; field < kTextFields; ++field) {
    const std::string_view text = record.text(static_cast<TextField>(field));
    if (!text.empty()) annotator.text(take(text.size()), kTextNames[field], text);
  }
  std::size_t tag_number = 0;
  record.for_each_tag(
      [&](std::string_view tag) { annotator.text(take(2 + tag.size()), "tag " + std::to_string(tag_number++), tag); });
  if (!record.metadata().empty()) annotator.text(take(record.metadata().size()), "metadata", record.metadata());
  if (!rest.empty()) annotator.text(rest, "payload", as_text(rest));
}

}  // namespace hdb::dump
