#include "tests/support/model.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace hdb::test {

void Model::apply(const ModelBatch& batch) {
  events.insert(events.end(), batch.events.begin(), batch.events.end());
  for (const ModelChange& change : batch.changes) {
    if (change.value) {
      values[{change.keyspace, change.key}] = *change.value;
    } else {
      values.erase({change.keyspace, change.key});
    }
  }
}

ModelBatch random_batch(std::mt19937_64& random, const std::vector<Keyspace>& keyspaces, std::size_t items_max) {
  ModelBatch batch;
  const std::size_t items = 1 + random() % items_max;
  for (std::size_t item = 0; item < items; ++item) {
    if (keyspaces.empty() || random() % 3 != 0) {
      batch.events.push_back(random_event(random));
      if (random() % 8 == 0) {
        batch.events.back().id = EventId::from_name("model", std::to_string(random()));
      }
      continue;
    }
    ModelChange change{keyspaces[random() % keyspaces.size()].id(), "key" + std::to_string(random() % 200), {}};
    if (random() % 16 == 0) change.key = random_text(random, 300);
    if (random() % 4 != 0) change.value = random_text(random, random() % 16 == 0 ? 5000 : 60);
    batch.changes.push_back(std::move(change));
  }
  return batch;
}

namespace {

// A batch as the engine takes it. Points into what it was made of.
class BatchOf {
 public:
  explicit BatchOf(const ModelBatch& batch) {
    for (const OwnedEvent& event : batch.events) events_.push_back(event.view());
    for (const ModelChange& change : batch.changes) {
      KeyValueChange view{Keyspace(change.keyspace), as_bytes(change.key), std::nullopt};
      if (change.value) view.value = as_bytes(*change.value);
      changes_.push_back(view);
    }
  }
  Batch as(std::optional<Durability> durability) const {
    return {.events = events_, .changes = changes_, .durability = durability};
  }

 private:
  std::vector<Event> events_;
  std::vector<KeyValueChange> changes_;
};

}  // namespace

Result<AppendResult> append(Engine& engine, const ModelBatch& batch, std::optional<Durability> durability) {
  return engine.append(BatchOf(batch).as(durability));
}

Result<AppendTicket> submit(Engine& engine, const ModelBatch& batch, std::optional<Durability> durability) {
  return engine.submit(BatchOf(batch).as(durability));
}

Query random_query(std::mt19937_64& random) {
  const auto one_in = [&random](std::uint64_t n) { return random() % n == 0; };
  const auto word = [&random](const char* prefix, std::uint64_t count) {
    return prefix + std::to_string(random() % count);
  };
  constexpr std::int64_t kBase = 1'700'000'000'000'000'000;
  const auto time = [&random] {
    return Timestamp(std::chrono::nanoseconds(kBase + static_cast<std::int64_t>(random() % 1'000'000'000)));
  };
  Query query;
  if (one_in(3)) query.types.push_back(word("type", 10));
  if (one_in(6)) query.types.push_back(word("type", 10));
  if (one_in(4)) query.entities.push_back(word("entity", 45));
  if (one_in(4)) query.hosts.push_back(word("10.0.0.", 12));
  if (one_in(4)) query.tags_any = {word("tag:", 33), word("tag:", 33)};
  if (one_in(8)) query.tags_all = {word("tag:", 30), word("tag:", 30)};
  if (one_in(4)) query.time.from = time();
  if (one_in(4)) query.time.to = time();
  if (query.time.from && query.time.to && *query.time.to < *query.time.from) std::swap(query.time.from, query.time.to);
  if (one_in(4)) query.where.push_back({"n", static_cast<Comparison>(random() % 7), std::to_string(random() % 100)});
  if (one_in(8)) query.where.push_back({"nested.k", Comparison::kEqual, std::to_string(random() % 5)});
  if (one_in(8)) query.where.push_back({"metadata.m", Comparison::kLess, std::to_string(random() % 10)});
  query.order = static_cast<Order>(random() % 4);
  if (one_in(3)) query.limit = random() % 40;
  return query;
}

namespace {

// The value of "key":... in JSON as random_event() writes it, without quotes; empty if absent.
std::optional<std::string> field_of(const std::string& json, const std::string& key) {
  const std::string pattern = "\"" + key + "\":";
  const std::size_t at = json.find(pattern);
  if (json.empty() || json.front() != '{' || at == std::string::npos) return std::nullopt;
  std::size_t begin = at + pattern.size();
  const std::size_t end = json.find_first_of(",}", begin);
  std::string value = json.substr(begin, end - begin);
  if (!value.empty() && value.front() == '"') value = value.substr(1, value.size() - 2);
  return value;
}

bool holds(const Condition& condition, const OwnedEvent& event) {
  std::optional<std::string> value;
  if (condition.field == "metadata.m") value = field_of(event.metadata, "m");
  if (condition.field == "n") value = field_of(event.payload, "n");
  if (condition.field == "nested.k") value = field_of(event.payload, "k");
  if (condition.comparison == Comparison::kExists) return value.has_value();
  if (!value) return condition.comparison == Comparison::kNotEqual;
  const long left = std::strtol(value->c_str(), nullptr, 10);
  const long right = std::strtol(condition.value.c_str(), nullptr, 10);
  switch (condition.comparison) {
    case Comparison::kEqual:
      return left == right;
    case Comparison::kNotEqual:
      return left != right;
    case Comparison::kLess:
      return left < right;
    case Comparison::kLessOrEqual:
      return left <= right;
    case Comparison::kGreater:
      return left > right;
    case Comparison::kGreaterOrEqual:
      return left >= right;
    case Comparison::kExists:
      return true;
  }
  return false;
}

bool is_one_of(const std::vector<std::string>& wanted, const std::string& text) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), text) != wanted.end();
}

}  // namespace

bool matches(const Query& query, const OwnedEvent& event, const StoredEvent& stored) {
  const auto has_tag = [&event](const std::string& tag) {
    return std::find(event.tags.begin(), event.tags.end(), tag) != event.tags.end();
  };
  return query.time.contains(event.time.value_or(stored.time())) && query.commit_time.contains(stored.commit_time()) &&
         is_one_of(query.types, event.type) && is_one_of(query.entities, event.entity) &&
         is_one_of(query.hosts, event.host) &&
         (query.tags_any.empty() || std::any_of(query.tags_any.begin(), query.tags_any.end(), has_tag)) &&
         std::all_of(query.tags_all.begin(), query.tags_all.end(), has_tag) &&
         std::all_of(query.where.begin(), query.where.end(),
                     [&event](const Condition& condition) { return holds(condition, event); });
}

namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs scanned(Engine& engine, Keyspace keyspace, const KeyRange& range) {
  Pairs pairs;
  auto cursor = engine.scan(keyspace, range);
  REQUIRE(cursor.ok());
  while (true) {
    const auto entry = cursor->next();
    REQUIRE_MESSAGE(entry.ok(), entry.status().message());
    if (!entry.value()) return pairs;
    pairs.emplace_back(as_text(entry.value()->key), as_text(entry.value()->value));
  }
}

}  // namespace

void check_equal(Engine& engine, const Model& model, const std::vector<Keyspace>& keyspaces) {
  std::size_t wrong_events = 0;
  for (Position position = 0; position < model.events.size(); ++position) {
    const auto found = engine.get(position);
    REQUIRE_MESSAGE(found.ok(), found.status().message());
    if (!found.value() || !is_same(model.events[position], *found.value())) ++wrong_events;
  }
  CHECK(wrong_events == 0);
  const auto beyond = engine.get(Position{model.events.size()});
  REQUIRE(beyond.ok());
  CHECK(!beyond.value().has_value());

  for (const Keyspace keyspace : keyspaces) {
    Pairs expected;
    for (const auto& [key, value] : model.values) {
      if (key.first != keyspace.id()) continue;
      expected.emplace_back(key.second, value);
      const auto found = engine.get(keyspace, as_bytes(key.second));
      REQUIRE_MESSAGE(found.ok(), found.status().message());
      REQUIRE(found.value().has_value());
      CHECK(as_text(found.value()->bytes()) == value);
    }
    CHECK(scanned(engine, keyspace, {}) == expected);
    std::reverse(expected.begin(), expected.end());
    CHECK(scanned(engine, keyspace, {.lower = {}, .upper = {}, .prefix = {}, .is_backward = true}) == expected);
  }
}

void check_query(Engine& engine, const Model& model, const Query& query, const Snapshot* at, std::size_t events_seen) {
  struct Match {
    Timestamp time;
    Position position;
  };
  std::vector<Match> expected;
  for (Position position = 0; position < events_seen; ++position) {
    const auto stored = engine.get(position, at);
    REQUIRE(stored.ok());
    REQUIRE(stored.value().has_value());
    if (matches(query, model.events[position], *stored.value())) expected.push_back({stored.value()->time(), position});
  }
  if (query.order == Order::kPositionDescending) std::reverse(expected.begin(), expected.end());
  if (query.order == Order::kTime || query.order == Order::kTimeDescending) {
    const bool is_ascending = query.order == Order::kTime;
    std::stable_sort(expected.begin(), expected.end(), [is_ascending](const Match& a, const Match& b) {
      return is_ascending ? a.time < b.time : a.time > b.time;
    });
  }
  if (query.limit && expected.size() > *query.limit) expected.resize(*query.limit);

  auto cursor = engine.query(query, at);
  REQUIRE_MESSAGE(cursor.ok(), cursor.status().message());
  std::vector<StoredEvent> found;
  const auto count = cursor->next_batch(expected.size() + 1, found);
  REQUIRE_MESSAGE(count.ok(), count.status().message());
  REQUIRE(found.size() == expected.size());
  std::size_t wrong = 0;
  for (std::size_t index = 0; index < found.size(); ++index) {
    if (found[index].position() != expected[index].position) ++wrong;
  }
  CHECK(wrong == 0);
}

}  // namespace hdb::test
