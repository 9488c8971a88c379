// bench/event_source.h: the events of the workloads `ingest` and `space`, each made again on demand to be compared.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <hdb/event.h>

#include "bench/input_files.h"
#include "bench/security_events.h"

namespace hdb::bench {

// Memory of one thread's batch. Single-owner.
struct EventScratch {
  std::vector<SecurityEvent> made;
  std::vector<std::vector<std::string_view>> tags;
  std::vector<Event> events;
};

// Immutable; any thread may call.
class EventSource {
 public:
  virtual ~EventSource() = default;
  // Events `first` to `first + count`, valid until the next call with this scratch.
  virtual std::span<const Event> make(std::uint64_t first, std::uint64_t count, EventScratch& scratch) const = 0;
};

class GeneratedSource : public EventSource {
 public:
  explicit GeneratedSource(std::uint64_t seed) noexcept : events_(seed) {}
  std::span<const Event> make(std::uint64_t first, std::uint64_t count, EventScratch& scratch) const override;

 private:
  SecurityEvents events_;
};

// Over lines, again from the first after the last, so that any number of events can be asked for.
class InputSource : public EventSource {
 public:
  explicit InputSource(std::span<const InputLine> lines) noexcept : lines_(lines) {}
  std::span<const Event> make(std::uint64_t first, std::uint64_t count, EventScratch& scratch) const override;

 private:
  std::span<const InputLine> lines_;  // not empty
};

// Whether the stored event has every field the given one has, to the byte.
bool holds(const StoredEvent& stored, const Event& given);

}  // namespace hdb::bench
