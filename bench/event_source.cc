#include "bench/event_source.h"

#include "base/bytes.h"

namespace hdb::bench {

namespace {

Event as_event(const InputLine& line, std::vector<std::string_view>& tags) {
  tags.assign(line.tags.begin(), line.tags.end());
  Event event;
  event.time = line.time;
  event.type = line.type;
  event.entity = line.entity;
  event.host = line.host;
  event.tags = tags;
  event.content_type = "application/json";
  event.payload = as_bytes(line.text);
  return event;
}

void clear(EventScratch& scratch, std::uint64_t count) {
  scratch.events.clear();
  if (scratch.tags.size() < count) scratch.tags.resize(count);
}

}  // namespace

std::span<const Event> GeneratedSource::make(std::uint64_t first, std::uint64_t count, EventScratch& scratch) const {
  clear(scratch, count);
  if (scratch.made.size() < count) scratch.made.resize(count);
  for (std::uint64_t index = 0; index < count; ++index) {
    events_.make(first + index, scratch.made[index]);
    scratch.events.push_back(bench::as_event(scratch.made[index], scratch.tags[index]));
  }
  return scratch.events;
}

std::span<const Event> InputSource::make(std::uint64_t first, std::uint64_t count, EventScratch& scratch) const {
  clear(scratch, count);
  for (std::uint64_t index = 0; index < count; ++index) {
    scratch.events.push_back(as_event(lines_[(first + index) % lines_.size()], scratch.tags[index]));
  }
  return scratch.events;
}

bool holds(const StoredEvent& stored, const Event& given) {
  if (stored.tag_count() != given.tags.size()) return false;
  for (std::size_t index = 0; index < given.tags.size(); ++index) {
    if (stored.tag(index) != given.tags[index]) return false;
  }
  return (!given.time || stored.time() == *given.time) && stored.type() == given.type &&
         stored.entity() == given.entity && stored.host() == given.host && stored.format() == given.format &&
         stored.content_type() == given.content_type && stored.metadata() == given.metadata &&
         equal_bytes(stored.payload(), given.payload);
}

}  // namespace hdb::bench
