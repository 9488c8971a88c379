// engine/where.h: the conditions of a query, evaluated on one record (include/hdb/query.h says what they mean).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/query.h>
#include <hdb/status.h>

#include "base/record.h"

namespace hdb {

// A JSON number or one that a condition gives: exact as long as it is a 64-bit integer.
struct Number {
  enum class Kind : std::uint8_t { kInt64, kUint64, kDouble };
  Kind kind = Kind::kInt64;
  std::int64_t int64 = 0;
  std::uint64_t uint64 = 0;  // kUint64: above the largest int64
  double real = 0;           // kDouble: finite

  static Number of(std::int64_t value) noexcept { return {Kind::kInt64, value, 0, 0}; }
  static Number of(std::uint64_t value) noexcept;
  static Number of(double value) noexcept { return {Kind::kDouble, 0, 0, value}; }
  // A JSON number (RFC 8259); integers beyond 64 bits become doubles. Empty for anything else.
  static std::optional<Number> parse(std::string_view text);
};

// <0, 0, >0 by mathematical value: no operand is rounded.
int compare_numbers(const Number& a, const Number& b) noexcept;

// All conditions of a query, prepared once. Single-owner: it reuses its parser and buffer from record to record.
class WhereFilter {
 public:
  // kInvalidArgument for a condition without a field.
  static Result<WhereFilter> make(std::vector<Condition> conditions);
  WhereFilter(WhereFilter&&) noexcept;
  WhereFilter& operator=(WhereFilter&&) noexcept;
  ~WhereFilter();

  bool is_empty() const noexcept;  // no conditions: every record matches

  // Whether all conditions hold. A payload, or metadata, that is not one JSON object has no fields. kOutOfMemory if the
  // parser cannot grow.
  Result<bool> matches(const RecordView& record);

 private:
  class Impl;
  explicit WhereFilter(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hdb
