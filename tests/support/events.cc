#include "tests/support/events.h"

#include <algorithm>
#include <cstdlib>

namespace hdb::test {

Event OwnedEvent::view() const {
  tag_views.assign(tags.begin(), tags.end());
  return Event{.id = id,
               .time = time,
               .type = type,
               .entity = entity,
               .host = host,
               .tags = tag_views,
               .stream = stream,
               .source = source,
               .collector = collector,
               .format = format,
               .content_type = content_type,
               .schema = schema,
               .metadata = metadata,
               .payload = as_bytes(payload)};
}

bool is_same(const OwnedEvent& event, const StoredEvent& stored) {
  if (event.tags.size() != stored.tag_count()) return false;
  for (std::size_t index = 0; index < event.tags.size(); ++index) {
    if (event.tags[index] != stored.tag(index)) return false;
  }
  return stored.has_caller_id() == event.id.has_value() && (!event.id || stored.id() == *event.id) &&
         (!event.time || stored.time() == *event.time) && stored.type() == event.type &&
         stored.entity() == event.entity && stored.host() == event.host && stored.stream() == event.stream &&
         stored.source() == event.source && stored.collector() == event.collector && stored.format() == event.format &&
         stored.content_type() == event.content_type && stored.schema() == event.schema &&
         stored.metadata() == event.metadata && as_text(stored.payload()) == event.payload;
}

std::string random_text(std::mt19937_64& random, std::size_t bytes_max) {
  std::string text(random() % (bytes_max + 1), ' ');
  for (char& letter : text) letter = static_cast<char>('a' + random() % 26);
  return text;
}

OwnedEvent random_event(std::mt19937_64& random) {
  const auto one_in = [&random](std::uint64_t n) { return random() % n == 0; };
  OwnedEvent event;
  constexpr std::int64_t kBase = 1'700'000'000'000'000'000;
  if (!one_in(8))
    event.time = Timestamp(std::chrono::nanoseconds(kBase + static_cast<std::int64_t>(random() % 1'000'000'000)));
  if (!one_in(10)) event.type = "type" + std::to_string(random() % 8);
  if (!one_in(5)) event.entity = "entity" + std::to_string(random() % 40);
  if (!one_in(5)) event.host = "10.0.0." + std::to_string(random() % 10);
  for (std::uint64_t left = random() % 4; left > 0; --left) {
    event.tags.push_back("tag:" + std::to_string(random() % 30));
  }
  std::sort(event.tags.begin(), event.tags.end());
  event.tags.erase(std::unique(event.tags.begin(), event.tags.end()), event.tags.end());
  if (one_in(4)) event.source = "sensor" + std::to_string(random() % 3);
  if (one_in(16)) event.stream = "order-" + std::to_string(random() % 5);
  if (one_in(3)) event.metadata = R"({"m":)" + std::to_string(random() % 10) + "}";
  const std::uint64_t shape = random() % 32;
  if (shape == 0) {
    event.payload = random_text(random, 20000);
  } else if (shape == 1) {
    event.payload = std::string("\0\xff\n\x80", 4);
  } else if (shape > 2) {
    event.payload = R"({"n":)" + std::to_string(random() % 100) + R"(,"s":")" + random_text(random, 6) +
                    R"(","nested":{"k":")" + std::to_string(random() % 5) + R"("}})";
  }
  return event;
}

}  // namespace hdb::test
