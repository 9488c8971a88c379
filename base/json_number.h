// base/json_number.h: JSON numbers compared by their mathematical value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hdb {

// Exact as long as it is a 64-bit integer, else the nearest double. Immutable.
class Number {
 public:
  explicit Number(std::int64_t value) noexcept : Number(value < 0, static_cast<std::uint64_t>(value)) {}
  explicit Number(std::uint64_t value) noexcept : Number(false, value) {}
  explicit Number(double finite) noexcept : is_integer_(false), is_negative_(false), integer_(0), real_(finite) {}

  // RFC 8259, section 6. Beyond the range of a double: the largest or smallest of them. Empty if `text` is not a
  // number.
  static std::optional<Number> parse(std::string_view text) noexcept;

  // <0, 0, >0. No operand is rounded.
  friend int compare_numbers(const Number& a, const Number& b) noexcept;

 private:
  Number(bool is_negative, std::uint64_t integer) noexcept
      : is_integer_(true), is_negative_(is_negative), integer_(integer), real_(0) {}
  int compare_with_real(double other) const noexcept;

  bool is_integer_;
  bool is_negative_;       // of an integer
  std::uint64_t integer_;  // two's complement
  double real_;            // if not an integer
};

int compare_numbers(const Number& a, const Number& b) noexcept;

// The JSON text with every number that neither 64 bits nor a double can hold replaced by the nearest double: simdjson
// refuses a document for one such number, and a condition on its other fields would never see it.
std::string with_numbers_in_range(std::string_view json);

}  // namespace hdb
