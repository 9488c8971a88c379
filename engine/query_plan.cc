#include "engine/query_plan.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/seeded_defect.h"

namespace hdb {

namespace {

using sstable::Attribute;

std::vector<std::string_view> sorted(const std::vector<std::string>& texts) {
  std::vector<std::string_view> views(texts.begin(), texts.end());
  std::sort(views.begin(), views.end());
  views.erase(std::unique(views.begin(), views.end()), views.end());
  return views;
}

bool is_among(const std::vector<std::string_view>& texts, std::string_view text) {
  return std::binary_search(texts.begin(), texts.end(), text);
}

std::vector<std::uint32_t> hashes(const std::vector<std::string_view>& texts) {
  std::vector<std::uint32_t> result;
  result.reserve(texts.size());
  for (const std::string_view text : texts) result.push_back(column_hash(text));
  return result;
}

Status check_range(const TimeRange& range, const char* what) {
  if (range.from && range.to && *range.to < *range.from) {
    return Status::invalid_argument(std::string(what) + " range ends before it begins; it is [from, to)");
  }
  return {};
}

Status check_texts(const std::vector<std::string>& texts, const char* what) {
  if (std::none_of(texts.begin(), texts.end(), [](const std::string& text) { return text.empty(); })) return {};
  return Status::invalid_argument(std::string("query ") + what + " is empty; leave it out to ask for any");
}

bool overlaps(const TimeRange& range, Timestamp first, Timestamp last) {
  return (!range.to || first < *range.to) && (!range.from || last >= *range.from);
}

// The events that have any of the terms.
Result<PositionSet> any_of(const sstable::EventTable& table, Attribute attribute,
                           const std::vector<std::string_view>& terms) {
  PositionSet found;
  for (const std::string_view term : terms) found |= HDB_TRY(table.candidates(attribute, term)).positions;
  return found;
}

}  // namespace

Result<QueryPlan> QueryPlan::make(const Query& query) {
  if (query.order > Order::kTimeDescending) {
    return Status::invalid_argument("query order " + std::to_string(static_cast<unsigned>(query.order)) +
                                    " is none of enum Order");
  }
  for (const Condition& condition : query.where) {
    if (condition.comparison <= Comparison::kExists) continue;
    return Status::invalid_argument("comparison " + std::to_string(static_cast<unsigned>(condition.comparison)) +
                                    " is none of enum Comparison");
  }
  HDB_TRY(check_range(query.time, "time"));
  HDB_TRY(check_range(query.commit_time, "commit time"));
  HDB_TRY(check_texts(query.types, "type"));
  HDB_TRY(check_texts(query.entities, "entity"));
  HDB_TRY(check_texts(query.hosts, "host"));
  HDB_TRY(check_texts(query.tags_any, "tag"));
  HDB_TRY(check_texts(query.tags_all, "tag"));
  QueryPlan plan(HDB_TRY(WhereFilter::make(query.where)));
  plan.query_ = std::make_unique<const Query>(query);
  plan.types_ = sorted(plan.query_->types);
  plan.entities_ = sorted(plan.query_->entities);
  plan.hosts_ = sorted(plan.query_->hosts);
  plan.tags_any_ = sorted(plan.query_->tags_any);
  plan.tags_all_ = sorted(plan.query_->tags_all);
  plan.columns_ = {.types = hashes(plan.types_),
                   .entities = hashes(plan.entities_),
                   .hosts = hashes(plan.hosts_),
                   .tags_any = hashes(plan.tags_any_),
                   .tags_all = hashes(plan.tags_all_),
                   .time = query.time,
                   .commit_time = query.commit_time};
  return plan;
}

bool QueryPlan::may_match(const sstable::TableMeta& meta) const noexcept {
  return overlaps(query_->time, meta.time_min, meta.time_max) &&
         overlaps(query_->commit_time, meta.commit_time_min, meta.commit_time_max);
}

Result<PositionSet> QueryPlan::candidates(const sstable::EventTable& table, Position begin, Position end) const {
  const Position base = table.meta().position_begin;
  PositionSet found = table.time_candidates(query_->time, query_->commit_time);
  found.keep_range(static_cast<std::uint32_t>(begin - base), static_cast<std::uint32_t>(end - base));
  if (!entities_.empty() && !found.empty()) found &= HDB_TRY(any_of(table, Attribute::kEntity, entities_));
  for (const std::string_view tag : tags_all_) {
    if (!found.empty()) found &= HDB_TRY(table.candidates(Attribute::kTag, tag)).positions;
  }
  if (!tags_any_.empty() && !found.empty()) found &= HDB_TRY(any_of(table, Attribute::kTag, tags_any_));
  if (!hosts_.empty() && !found.empty()) found &= HDB_TRY(any_of(table, Attribute::kHost, hosts_));
  if (!types_.empty() && !found.empty()) found &= HDB_TRY(any_of(table, Attribute::kType, types_));
  return found;
}

PositionSet QueryPlan::candidates(const MemTable& memtable, Position begin, Position end) const {
  return memtable.candidates(columns_, begin, end);
}

Result<bool> QueryPlan::matches(const RecordView& record, Timestamp commit_time) {
  if (record.kind() == RecordKind::kLost && !HDB_SEEDED(count_a_lost_event)) return false;
  if (!query_->time.contains(record.time()) || !query_->commit_time.contains(commit_time)) return false;
  if (!types_.empty() && !is_among(types_, record.text(TextField::kType))) return false;
  if (!entities_.empty() && !is_among(entities_, record.text(TextField::kEntity))) return false;
  if (!hosts_.empty() && !is_among(hosts_, record.text(TextField::kHost))) return false;
  if (!tags_any_.empty() || !tags_all_.empty()) {
    bool has_any = tags_any_.empty();
    std::vector<bool> has(tags_all_.size(), false);
    record.for_each_tag([&](std::string_view tag) {
      has_any = has_any || is_among(tags_any_, tag);
      const auto place = std::lower_bound(tags_all_.begin(), tags_all_.end(), tag);
      if (place != tags_all_.end() && *place == tag) has[static_cast<std::size_t>(place - tags_all_.begin())] = true;
    });
    if (!has_any || std::find(has.begin(), has.end(), false) != has.end()) return false;
  }
  return where_.matches(record);
}

std::uint64_t QueryPlan::fingerprint() const {
  Buffer bytes;
  const auto add_time = [&bytes](const std::optional<Timestamp>& time) {
    append_fixed(bytes, static_cast<std::uint8_t>(time.has_value()));
    append_fixed(bytes, time ? time->time_since_epoch().count() : 0);
  };
  const auto add_texts = [&bytes](const std::vector<std::string_view>& texts) {
    append_varint(bytes, texts.size());
    for (const std::string_view text : texts) {
      append_varint(bytes, text.size());
      append(bytes, as_bytes(text));
    }
  };
  add_time(query_->time.from);
  add_time(query_->time.to);
  add_time(query_->commit_time.from);
  add_time(query_->commit_time.to);
  for (const auto* texts : {&types_, &entities_, &hosts_, &tags_any_, &tags_all_}) add_texts(*texts);
  for (const Condition& condition : query_->where) {
    append_fixed(bytes, condition.comparison);
    add_texts({condition.field, condition.value});
  }
  append_fixed(bytes, query_->order);
  return checksum64(bytes_of(bytes));
}

}  // namespace hdb
