#include "tools/cli/time_text.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include <fmt/format.h>

namespace hdb::cli {

namespace {

using std::chrono::nanoseconds;

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

bool is_digit(char letter) noexcept {
  return letter >= '0' && letter <= '9';
}

Status not_a_time(std::string_view text) {
  const bool has_year = text.size() >= 10 && text[4] == '-' && std::all_of(text.begin(), text.begin() + 4, is_digit);
  if (has_year && (text.substr(0, 4) < "1678" || text.substr(0, 4) > "2261")) {
    return Status::invalid_argument(fmt::format(
        "\"{}\" is outside the years 1678 to 2261, which 64 bits of nanoseconds reach", text.substr(0, 64)));
  }
  return Status::invalid_argument(
      fmt::format("\"{}\" is not a time; write 2018-03-24T17:15:20.5Z, 2018-03-24T19:15:20+02:00 or an epoch time in "
                  "s, ms, µs or ns",
                  text.substr(0, 64)));
}

// Takes exactly `count` digits off the front of `text`.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (const char letter : text.substr(0, count)) {
    if (!is_digit(letter)) return std::nullopt;
    value = value * 10 + (letter - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// Takes the digits behind a decimal point: the fraction in units of 10^-places, further digits dropped. Empty if there
// are none.
std::optional<std::int64_t> take_fraction(std::string_view& text, unsigned places) {
  if (text.empty() || !is_digit(text.front())) return std::nullopt;
  std::int64_t value = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1)) {
    if (places == 0) continue;
    value = value * 10 + (text.front() - '0');
    --places;
  }
  for (; places > 0; --places) value *= 10;
  return value;
}

// Seconds and nanoseconds as one count; empty if they are outside the years 1677..2262 that 64 bits reach.
std::optional<Timestamp> checked_time(std::int64_t seconds, std::int64_t ns) {
  if (seconds < 0 && ns > 0) {  // towards zero first: the earliest second does not fit as a whole
    ++seconds;
    ns -= kNsPerSecond;
  }
  std::int64_t total = 0;
  if (__builtin_mul_overflow(seconds, kNsPerSecond, &total) || __builtin_add_overflow(total, ns, &total)) {
    return std::nullopt;
  }
  return Timestamp(nanoseconds(total));
}

// The seconds that a time zone is east of UTC.
std::optional<int> take_zone(std::string_view& text) {
  if (text == "Z" || text == "z") {
    text = {};
    return 0;
  }
  const bool is_west = !text.empty() && text.front() == '-';
  if (!is_west && (text.empty() || text.front() != '+')) return std::nullopt;
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  take(text, ':');
  const auto minutes = take_digits(text, 2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const int seconds = *hours * 3600 + *minutes * 60;
  return is_west ? -seconds : seconds;
}

std::optional<Timestamp> parse_rfc3339(std::string_view text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  const std::int64_t midnight = std::chrono::seconds(std::chrono::sys_days(date).time_since_epoch()).count();
  if (text.empty()) return checked_time(midnight, 0);

  if (!take(text, 'T') && !take(text, 't') && !take(text, ' ')) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  // 60 is a leap second: the first instant of the next minute, as POSIX counts it.
  if (!second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  std::int64_t ns = 0;
  if (take(text, '.') || take(text, ',')) {
    const auto fraction = take_fraction(text, 9);
    if (!fraction) return std::nullopt;
    ns = *fraction;
  }
  const auto east = take_zone(text);
  if (!east || !text.empty()) return std::nullopt;
  return checked_time(midnight + *hour * 3600 + *minute * 60 + *second - *east, ns);
}

// "1521911720", "-3.5", "1.521911720600725e9"
std::optional<Timestamp> parse_epoch(std::string_view text) {
  const bool is_negative = take(text, '-');
  std::string digits;
  std::size_t point = std::string::npos;  // digits before the decimal point
  for (; !text.empty() && (is_digit(text.front()) || text.front() == '.'); text.remove_prefix(1)) {
    if (is_digit(text.front())) {
      digits.push_back(text.front());
    } else if (point == std::string::npos && !digits.empty()) {
      point = digits.size();
    } else {
      return std::nullopt;
    }
  }
  if (digits.empty() || digits.size() > 64 || point == digits.size()) return std::nullopt;
  if (point == std::string::npos) point = digits.size();
  if (take(text, 'e') || take(text, 'E')) {
    take(text, '+');
    int exponent = 0;
    if (text.empty() || text.size() > 2) return std::nullopt;
    const auto given = take_digits(text, text.size());
    if (!given) return std::nullopt;
    exponent = *given;
    point += static_cast<std::size_t>(exponent);
    if (point > digits.size()) digits.resize(point, '0');
  }
  if (!text.empty()) return std::nullopt;

  std::string_view whole = std::string_view(digits).substr(0, point);
  while (whole.size() > 1 && whole.front() == '0') whole.remove_prefix(1);
  const unsigned places = whole.size() <= 11 ? 9 : whole.size() <= 14 ? 6 : whole.size() <= 17 ? 3 : 0;
  if (whole.size() > 19) return std::nullopt;
  std::string in_ns(whole);
  in_ns.append(std::string_view(digits).substr(point).substr(0, places));
  in_ns.resize(whole.size() + places, '0');
  std::int64_t ns = 0;
  for (const char digit : in_ns) {
    if (__builtin_mul_overflow(ns, std::int64_t{10}, &ns)) return std::nullopt;
    const std::int64_t step = is_negative ? -(digit - '0') : digit - '0';
    if (__builtin_add_overflow(ns, step, &ns)) return std::nullopt;
  }
  return Timestamp(nanoseconds(ns));
}

// "15m": the duration in nanoseconds.
std::optional<std::int64_t> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    std::int64_t seconds;
  };
  constexpr std::array<Unit, 5> kUnits = {{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86'400}, {"w", 604'800}}};
  for (const Unit& unit : kUnits) {
    if (!text.ends_with(unit.name)) continue;
    std::string_view count_text = text.substr(0, text.size() - unit.name.size());
    if (count_text.empty() || count_text.size() > 9) return std::nullopt;
    const auto count = take_digits(count_text, count_text.size());
    if (!count) return std::nullopt;
    std::int64_t ns = 0;
    if (__builtin_mul_overflow(*count * unit.seconds, kNsPerSecond, &ns)) return std::nullopt;
    return ns;
  }
  return std::nullopt;
}

}  // namespace

Result<Timestamp> parse_time(std::string_view text) {
  const bool has_date = text.size() >= 10 && text[4] == '-';
  const std::optional<Timestamp> time = has_date ? parse_rfc3339(text) : parse_epoch(text);
  if (!time) return not_a_time(text);
  return *time;
}

Result<Timestamp> parse_time(std::string_view text, Timestamp now) {
  if (text == "now") return now;
  if (text.starts_with('-')) {
    if (const auto ago = parse_duration(text.substr(1))) {
      std::int64_t ns = 0;
      if (__builtin_sub_overflow(now.time_since_epoch().count(), *ago, &ns)) return not_a_time(text);
      return Timestamp(nanoseconds(ns));
    }
  }
  auto time = parse_time(text);
  if (!time.ok()) {
    return Status::invalid_argument(std::string(std::move(time).status().message()) +
                                    ", or relative as -15m, -2h, -7d");
  }
  return time;
}

std::string format_time(Timestamp time) {
  // Not by std::chrono::floor: in nanoseconds, the begin of the earliest day overflows.
  constexpr std::int64_t kNsPerDay = 86'400 * kNsPerSecond;
  const std::int64_t count = time.time_since_epoch().count();
  const bool is_within_earlier_day = count % kNsPerDay < 0;
  const std::chrono::days days(count / kNsPerDay - (is_within_earlier_day ? 1 : 0));
  const std::chrono::year_month_day date{std::chrono::sys_days(days)};
  const std::chrono::hh_mm_ss clock(nanoseconds(count % kNsPerDay + (is_within_earlier_day ? kNsPerDay : 0)));
  std::string text = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                 static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                 clock.hours().count(), clock.minutes().count(), clock.seconds().count());
  const std::int64_t ns = clock.subseconds().count();
  if (ns == 0) return text + "Z";
  if (ns % 1'000'000 == 0) return text + fmt::format(".{:03}Z", ns / 1'000'000);
  if (ns % 1'000 == 0) return text + fmt::format(".{:06}Z", ns / 1'000);
  return text + fmt::format(".{:09}Z", ns);
}

}  // namespace hdb::cli
