// tests/support/events.h: random events by seed, and events that own their bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/event.h>

#include "tests/support/test_run.h"

namespace hdb::test {

// What a stored event must give back.
struct OwnedEvent {
  std::optional<EventId> id;
  std::optional<Timestamp> time;
  std::string type, entity, host, stream, source, collector, format, content_type, schema, metadata, payload;
  std::vector<std::string> tags;

  // A view for append: valid while this lives unchanged.
  Event view() const;
  mutable std::vector<std::string_view> tag_views;
};

// Whether `stored` has the content of `event`; its time only if one was given.
bool is_same(const OwnedEvent& event, const StoredEvent& stored);

// Small vocabularies, so that filters match often: about 8 types, 40 entities, 10 hosts, 30 tags; JSON payloads with
// fields n (0..99), s, and nested.k; now and then binary, empty or large payloads.
OwnedEvent random_event(std::mt19937_64& random);

std::string random_text(std::mt19937_64& random, std::size_t bytes_max);

}  // namespace hdb::test
