// tests/support/model.h: the store as plain containers: the oracle of model and crash tests.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <hdb/engine.h>

#include "tests/support/events.h"

namespace hdb::test {

struct ModelChange {
  std::uint32_t keyspace;
  std::string key;
  std::optional<std::string> value;
};

struct ModelBatch {
  std::vector<OwnedEvent> events;
  std::vector<ModelChange> changes;
};

// What was appended, in order.
struct Model {
  std::vector<OwnedEvent> events;
  std::map<std::pair<std::uint32_t, std::string>, std::string> values;

  void apply(const ModelBatch& batch);
};

// Up to `items_max` random events and changes; keys from a small set, so that versions and erasures meet.
ModelBatch random_batch(std::mt19937_64& random, const std::vector<Keyspace>& keyspaces, std::size_t items_max);

Result<AppendResult> append(Engine& engine, const ModelBatch& batch, std::optional<Durability> durability = {});
Result<AppendTicket> submit(Engine& engine, const ModelBatch& batch, std::optional<Durability> durability = {});

// A query over random_event()'s vocabulary.
Query random_query(std::mt19937_64& random);

// Whether a query without order, limit and token matches, by the model's own reading of the words. `stored` gives
// the times the engine chose.
bool matches(const Query& query, const OwnedEvent& event, const StoredEvent& stored);

// Checks (doctest) that the engine holds exactly the model: every event by position, every value by get and by scans
// both ways.
void check_equal(Engine& engine, const Model& model, const std::vector<Keyspace>& keyspaces);
// Checks the query's result against a pass over all events of the model.
void check_query(Engine& engine, const Model& model, const Query& query, const Snapshot* at, std::size_t events_seen);

}  // namespace hdb::test
