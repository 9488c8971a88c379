#include "base/json_number.h"

#include <charconv>
#include <limits>

namespace hdb {

namespace {

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

std::size_t digits_end(std::string_view text, std::size_t at) noexcept {
  while (at < text.size() && is_digit(text[at])) ++at;
  return at;
}

// A number by the grammar of RFC 8259, taken apart. Views of it.
struct Parts {
  bool is_negative;
  std::string_view integer;   // digits, without a superfluous zero
  std::string_view fraction;  // digits
  std::string_view exponent;  // digits with their sign
  bool is_integer;            // neither fraction nor exponent
};

std::optional<Parts> parts_of(std::string_view text) noexcept {
  Parts parts{.is_negative = text.starts_with('-'), .integer = {}, .fraction = {}, .exponent = {}, .is_integer = true};
  std::size_t at = parts.is_negative ? 1 : 0;
  std::size_t end = digits_end(text, at);
  parts.integer = text.substr(at, end - at);
  if (parts.integer.empty() || (parts.integer.size() > 1 && parts.integer[0] == '0')) return std::nullopt;
  at = end;
  if (at < text.size() && text[at] == '.') {
    end = digits_end(text, ++at);
    parts.fraction = text.substr(at, end - at);
    if (parts.fraction.empty()) return std::nullopt;
    parts.is_integer = false;
    at = end;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    const std::size_t sign = ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    end = digits_end(text, at);
    if (end == at) return std::nullopt;
    parts.exponent = text.substr(sign, end - sign);
    parts.is_integer = false;
    at = end;
  }
  if (at != text.size()) return std::nullopt;
  return parts;
}

// Whether a number that no double can hold is too large, rather than too small.
bool is_huge(const Parts& parts) noexcept {
  constexpr std::int64_t kFar = std::int64_t{1} << 40;  // beyond the digits any text here has
  std::string_view digits = parts.exponent;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  std::int64_t exponent = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), exponent).ec == std::errc::result_out_of_range ||
      exponent > kFar || exponent < -kFar) {
    exponent = digits.starts_with('-') ? -kFar : kFar;
  }
  if (parts.integer != "0") return exponent + static_cast<std::int64_t>(parts.integer.size()) > 0;
  const std::size_t zeros = std::min(parts.fraction.find_first_not_of('0'), parts.fraction.size());
  return exponent > static_cast<std::int64_t>(zeros);
}

double nearest_double(std::string_view text, const Parts& parts) noexcept {
  double value = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc::result_out_of_range) return value;
  const double magnitude = is_huge(parts) ? std::numeric_limits<double>::max() : 0;
  return parts.is_negative ? -magnitude : magnitude;
}

template <typename Integer>
std::optional<Integer> parse_integer(std::string_view text) noexcept {
  Integer value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

void append_in_range(std::string_view token, std::string& to) {
  const std::optional<Parts> parts = parts_of(token);
  const bool fits =
      !parts || (parts->is_integer && (parse_integer<std::int64_t>(token) || parse_integer<std::uint64_t>(token)));
  if (fits) {
    to += token;
    return;
  }
  char text[32];
  const auto written =
      std::to_chars(text, text + sizeof text, nearest_double(token, *parts), std::chars_format::scientific);
  to.append(text, written.ptr);
}

int order(auto a, auto b) noexcept {
  return a < b ? -1 : (a > b ? 1 : 0);
}

}  // namespace

std::optional<Number> Number::parse(std::string_view text) noexcept {
  const std::optional<Parts> parts = parts_of(text);
  if (!parts) return std::nullopt;
  if (parts->is_integer) {
    if (const auto value = parse_integer<std::int64_t>(text)) return Number(*value);
    if (const auto value = parse_integer<std::uint64_t>(text)) return Number(*value);
  }
  return Number(nearest_double(text, *parts));
}

int Number::compare_with_real(double other) const noexcept {
  // An integer of 64 bits against a double: by the double's whole part, which is exact, then by its fraction.
  if (is_negative_) {
    if (other >= 0) return -1;
    if (other < -0x1p63) return 1;
    const auto whole = static_cast<std::int64_t>(other);
    const auto value = static_cast<std::int64_t>(integer_);
    return value != whole ? order(value, whole) : order(static_cast<double>(whole), other);
  }
  if (other < 0) return 1;
  if (other >= 0x1p64) return -1;
  const auto whole = static_cast<std::uint64_t>(other);
  return integer_ != whole ? order(integer_, whole) : order(static_cast<double>(whole), other);
}

int compare_numbers(const Number& a, const Number& b) noexcept {
  if (!a.is_integer_ && !b.is_integer_) return order(a.real_, b.real_);
  if (!b.is_integer_) return a.compare_with_real(b.real_);
  if (!a.is_integer_) return -b.compare_with_real(a.real_);
  if (a.is_negative_ != b.is_negative_) return a.is_negative_ ? -1 : 1;
  return order(a.integer_, b.integer_);  // two's complement keeps the order among negatives
}

std::string with_numbers_in_range(std::string_view json) {
  std::string result;
  result.reserve(json.size() + 64);
  bool is_in_string = false;
  for (std::size_t at = 0; at < json.size();) {
    const char c = json[at];
    if (!is_in_string && (c == '-' || is_digit(c))) {
      const std::size_t end = std::min(json.find_first_not_of("+-.0123456789eE", at), json.size());
      append_in_range(json.substr(at, end - at), result);
      at = end;
      continue;
    }
    if (c == '"') is_in_string = !is_in_string;
    const std::size_t count =
        is_in_string && c == '\\' && at + 1 < json.size() ? 2 : 1;  // an escaped quote ends nothing
    result.append(json, at, count);
    at += count;
  }
  return result;
}

}  // namespace hdb
