// engine/where.h: the conditions of a query, evaluated on one record (include/hdb/query.h says what they mean).
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <hdb/query.h>
#include <hdb/status.h>

#include "base/record.h"

namespace hdb {

// All conditions of a query, prepared once. Single-owner: it reuses its parser and buffer from record to record.
class WhereFilter {
 public:
  // kInvalidArgument for a condition without a field.
  static Result<WhereFilter> make(std::vector<Condition> conditions);
  WhereFilter() noexcept;  // without conditions: every record matches
  WhereFilter(WhereFilter&&) noexcept;
  WhereFilter& operator=(WhereFilter&&) noexcept;
  ~WhereFilter();

  bool is_empty() const noexcept;  // without conditions

  // Whether all conditions hold. A payload, or metadata, that is not one JSON object has no fields; nor has one nested
  // over 1,024 deep. kOutOfMemory if the parser cannot grow.
  Result<bool> matches(const RecordView& record);

 private:
  class Impl;
  explicit WhereFilter(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hdb
