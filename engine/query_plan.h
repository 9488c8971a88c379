// engine/query_plan.h: from a query to candidates by index and to the test of each record.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <hdb/query.h>

#include "base/postings.h"
#include "base/record.h"
#include "engine/where.h"
#include "memtable/memtable.h"
#include "sstable/event_table.h"

namespace hdb {

// A checked query. Single-owner.
class QueryPlan {
 public:
  // kInvalidArgument names the part of the query that makes no sense.
  static Result<QueryPlan> make(const Query& query);

  const Query& query() const noexcept { return *query_; }

  // False if no event between these times (inclusive) can match: the zone map of a whole table.
  bool may_match(const sstable::TableMeta& meta) const noexcept;
  // No matching event of [begin, end) is missing; relative to the table's first position.
  Result<PositionSet> candidates(const sstable::EventTable& table, Position begin, Position end) const;
  PositionSet candidates(const MemTable& memtable, Position begin, Position end) const;

  // Whether the event matches, from its own bytes: an index is never trusted blindly.
  Result<bool> matches(const RecordView& record, Timestamp commit_time);

  // Of everything but the limit and the resume token: a token is only good for its own query.
  std::uint64_t fingerprint() const;

 private:
  using Texts = std::vector<std::string_view>;  // sorted, of query_

  explicit QueryPlan(WhereFilter where) : where_(std::move(where)) {}

  std::unique_ptr<const Query> query_;
  Texts types_, entities_, hosts_, tags_any_, tags_all_;
  ColumnFilter columns_;
  WhereFilter where_;
};

}  // namespace hdb
