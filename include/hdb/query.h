// hdb/query.h: what to look for, and in which order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/event.h>

namespace hdb {

enum class Comparison : std::uint8_t {
  kEqual,
  kNotEqual,  // also true where the field is absent
  kLess,
  kLessOrEqual,
  kGreater,
  kGreaterOrEqual,
  kExists,
};

// One condition on a field of the metadata or of a JSON payload. `field` is looked up in the metadata, then in the
// payload; in each as a literal key first ("id.orig_h" is one key in Zeek), then nested ("alert.signature").
// "metadata." or "payload." in front forces one.
//
// A JSON number is compared as a number (64-bit integers exactly), and equals nothing if `value` is not one; text and
// true/false are compared as text, by bytes. An array matches if any element does. kNotEqual is the negation of kEqual.
struct Condition {
  std::string field{};
  Comparison comparison = Comparison::kEqual;
  std::string value{};  // not read by kExists

  // "rcode_name=NXDOMAIN", "port != 53", "bytes>=1000", "answer exists". Only = and != take an empty value.
  HDB_EXPORT static Result<Condition> parse(std::string_view text);
};

enum class Order : std::uint8_t { kPosition, kPositionDescending, kTime, kTimeDescending };

// All given parts must hold. Within a list any element may hold, except tags_all. An empty list asks for nothing.
struct Query {
  TimeRange time{};         // when it happened
  TimeRange commit_time{};  // when the store took it
  std::vector<std::string> types{};
  std::vector<std::string> entities{};
  std::vector<std::string> hosts{};
  std::vector<std::string> tags_any{};
  std::vector<std::string> tags_all{};
  std::vector<Condition> where{};
  Order order = Order::kPosition;  // events of equal time come in position order
  std::optional<std::uint64_t> limit{};
  // From EventCursor::resume_token() of the same query: goes on after the last event returned then.
  std::string resume_token{};
};

}  // namespace hdb
