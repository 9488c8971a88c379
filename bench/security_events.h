// bench/security_events.h: a seeded stream of made-up security events, for benchmarks and the demo.
//
// The mix is that of a mid-sized network: mostly DNS and connections, then web, processes and log-ins, few alerts; 240
// hosts and 600 users of which a few make most of the noise; three network events share a connection's uid; payloads
// from 250 B to 4 KiB. Event `number` depends on the seed and the number only, so any thread can make any event, and a
// reader can make it again to compare.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/event.h>

namespace hdb::bench {

// One event with the memory for its texts, which making the next one reuses.
struct SecurityEvent {
  Timestamp time;
  std::string_view type;
  std::string entity;
  std::string host;
  std::vector<std::string> tags;
  std::string payload;  // a JSON object on one line, with all of the above in it
};

// Immutable.
class SecurityEvents {
 public:
  explicit SecurityEvents(std::uint64_t seed) noexcept : seed_(seed) {}
  void make(std::uint64_t number, SecurityEvent& event) const;

 private:
  std::uint64_t seed_;
};

// The event as append takes it: views into `event` and `tags`, which must outlive the append.
Event as_event(const SecurityEvent& event, std::vector<std::string_view>& tags);

}  // namespace hdb::bench
