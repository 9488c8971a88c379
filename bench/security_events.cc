#include "bench/security_events.h"

#include <array>
#include <chrono>
#include <iterator>

#include <fmt/compile.h>

#include "bench/random.h"

namespace hdb::bench {

namespace {

using namespace std::string_view_literals;

struct WeightedType {
  std::string_view type;
  unsigned weight;  // out of 10,000
};
constexpr std::array<WeightedType, 17> kTypes = {{
    {event_types::kDnsQuery, 3000},
    {event_types::kNetworkConnection, 2200},
    {event_types::kHttpRequest, 1200},
    {event_types::kProcessStart, 900},
    {event_types::kAuthentication, 800},
    {event_types::kProcessStop, 600},
    {event_types::kFileAccess, 400},
    {event_types::kFileCreate, 300},
    {event_types::kFileModify, 250},
    {event_types::kAuthorization, 130},
    {event_types::kNetworkTraffic, 100},
    {event_types::kFileDelete, 80},
    {event_types::kAnomalyDetected, 15},
    {event_types::kPolicyViolation, 10},
    {event_types::kPasswordChange, 8},
    {event_types::kMalwareDetected, 4},
    {event_types::kProcessInject, 3},
}};

constexpr std::array kDomains = {"update.example.com"sv, "cdn.example.net"sv,  "mail.example.org"sv,
                                 "api.example.com"sv,    "time.example.net"sv, "login.example.com"sv,
                                 "img.example.org"sv,    "db.internal"sv};
constexpr std::array kPrograms = {"/usr/bin/bash"sv,         "/usr/sbin/sshd"sv, "/usr/bin/python3"sv,
                                  "/usr/bin/curl"sv,         "/usr/sbin/cron"sv, "/usr/bin/apt-get"sv,
                                  "/usr/lib/jvm/bin/java"sv, "/usr/bin/node"sv};
constexpr std::array kMethods = {"GET"sv, "GET"sv, "GET"sv, "POST"sv, "PUT"sv, "HEAD"sv};
constexpr std::array<unsigned, 6> kPorts = {443, 80, 53, 22, 445, 3389};

constexpr std::uint64_t kHosts = 240;
constexpr std::uint64_t kUsers = 600;
constexpr std::uint64_t kEventsPerConnection = 3;
// 2026-01-01T00:00:00Z, from where events come 2 ms apart.
constexpr std::int64_t kFirstTimeNs = 1'767'225'600'000'000'000;
constexpr std::int64_t kStepNs = 2'000'000;
constexpr std::uint64_t kDelayNsMax = 500'000'000;  // events reach the collector out of order by up to this

template <std::size_t N, typename T>
const T& pick(const std::array<T, N>& from, Random& random) {
  return from[random.below(N)];
}

// A few of `count` are busy, most are quiet: the product of two uniform draws.
std::uint64_t skewed(std::uint64_t count, Random& random) {
  return random.below(random.below(count) + 1);
}

std::string_view pick_type(Random& random) {
  std::uint64_t left = random.below(10'000);
  for (const WeightedType& candidate : kTypes) {
    if (left < candidate.weight) return candidate.type;
    left -= candidate.weight;
  }
  return kTypes.front().type;
}

bool is_network(std::string_view type) {
  return type == event_types::kDnsQuery || type == event_types::kNetworkConnection ||
         type == event_types::kHttpRequest || type == event_types::kNetworkTraffic;
}
bool is_file(std::string_view type) {
  return type.substr(0, 4) == "File";
}

// The connection's uid, as Zeek writes them: C and 17 letters or digits.
void append_uid(std::string& to, Random random) {
  constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  to.push_back('C');
  for (int letter = 0; letter < 17; ++letter) to.push_back(kLetters[random.below(kLetters.size())]);
}

// 2026-01-01T00:00:00.123456789Z
void append_time(std::string& to, Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  fmt::format_to(std::back_inserter(to), FMT_COMPILE("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z"),
                 static_cast<int>(date.year()), static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                 clock.hours().count(), clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
}

// Words as they stand in log messages, to cut messages from.
constexpr std::size_t kProseBytes = 256u << 10;
std::string make_prose() {
  constexpr std::array kWords = {"accepted "sv, "session "sv, "for "sv,    "policy "sv, "module "sv,    "token=9f3a "sv,
                                 "cache "sv,    "retry "sv,   "worker "sv, "scope "sv,  "--verbose "sv, "tmp/build "sv};
  std::string prose;
  Random random(0);
  while (prose.size() < kProseBytes) prose.append(pick(kWords, random));
  return prose;
}

void append_message(std::string& to, std::size_t bytes, Random& random) {
  static const std::string prose = make_prose();
  to.append(prose, random.below(kProseBytes - bytes), bytes);
}

// Most messages are short, one in sixteen is a kilobyte or more.
std::size_t message_bytes(Random& random) {
  return random.below(16) == 0 ? 600 + random.below(3200) : 20 + random.below(160);
}

// Each draw is a statement of its own: in which order arguments are evaluated is the compiler's to choose.
void append_details(std::string& to, std::string_view type, Random& random) {
  auto out = std::back_inserter(to);
  if (type == event_types::kDnsQuery) {
    const auto answer = random.below(256);
    const auto rcode = random.below(20) == 0 ? "NXDOMAIN"sv : "NOERROR"sv;
    const auto domain = pick(kDomains, random);
    const auto name = random.below(5000);
    fmt::format_to(out, FMT_COMPILE(R"("query":"h{}.{}","qtype":"A","rcode":"{}","answers":["203.0.113.{}"],)"), name,
                   domain, rcode, answer);
  } else if (type == event_types::kHttpRequest) {
    const auto bytes = random.below(1u << 20);
    const auto status = random.below(12) == 0 ? 404 : 200;
    const auto item = random.below(100000);
    const auto domain = pick(kDomains, random);
    const auto method = pick(kMethods, random);
    fmt::format_to(out, FMT_COMPILE(R"("method":"{}","domain":"{}","uri":"/v1/items/{}","status":{},"bytes":{},)"),
                   method, domain, item, status, bytes);
  } else if (is_network(type)) {
    const auto received_bytes = random.below(1u << 22);
    const auto sent_bytes = random.below(1u << 16);
    const auto duration_ms = random.below(60000);
    const auto port = pick(kPorts, random);
    fmt::format_to(out, FMT_COMPILE(R"("proto":"tcp","port":{},"duration_ms":{},"sent_bytes":{},"received_bytes":{},)"),
                   port, duration_ms, sent_bytes, received_bytes);
  } else if (is_file(type)) {
    const auto size_bytes = random.below(1u << 24);
    const auto name = random.next();
    const auto folder = random.below(64);
    fmt::format_to(out, FMT_COMPILE(R"("path":"/srv/data/{}/{:016x}.dat","size_bytes":{},)"), folder, name, size_bytes);
  } else {
    const auto outcome = random.below(9) == 0 ? "failure"sv : "success"sv;
    const auto parent = random.below(32768);
    const auto pid = random.below(32768);
    const auto program = pick(kPrograms, random);
    fmt::format_to(out, FMT_COMPILE(R"("program":"{}","pid":{},"parent_pid":{},"outcome":"{}",)"), program, pid, parent,
                   outcome);
  }
  to.append(R"("message":")");
  append_message(to, message_bytes(random), random);
  to.append(R"("})");
}

void make_attributes(std::uint64_t seed, std::uint64_t number, Random& random, SecurityEvent& event) {
  const std::uint64_t host = skewed(kHosts, random);
  const std::uint64_t user = skewed(kUsers, random);
  event.host.clear();
  fmt::format_to(std::back_inserter(event.host), FMT_COMPILE("host-{:03}"), host);
  event.entity.clear();
  event.tags.resize(is_network(event.type) ? 3 : 2);
  for (std::string& tag : event.tags) tag.clear();
  fmt::format_to(std::back_inserter(event.tags[0]), FMT_COMPILE("ip:10.20.{}.{}"), host / 64, host % 64 + 1);
  fmt::format_to(std::back_inserter(event.tags[1]), FMT_COMPILE("user:u{:04}"), user);
  if (is_network(event.type)) {
    append_uid(event.entity, Random(~seed, number / kEventsPerConnection));
    const auto last = random.below(256);
    const auto network = skewed(100, random);
    fmt::format_to(std::back_inserter(event.tags[2]), FMT_COMPILE("ip:198.51.{}.{}"), network, last);
  } else if (is_file(event.type)) {
    fmt::format_to(std::back_inserter(event.entity), FMT_COMPILE("file-{:05}"), skewed(20000, random));
  } else {
    fmt::format_to(std::back_inserter(event.entity), FMT_COMPILE("u{:04}@host-{:03}"), user, host);
  }
}

}  // namespace

void SecurityEvents::make(std::uint64_t number, SecurityEvent& event) const {
  Random random(seed_, number);
  event.time = Timestamp(std::chrono::nanoseconds(kFirstTimeNs + static_cast<std::int64_t>(number) * kStepNs -
                                                  static_cast<std::int64_t>(random.below(kDelayNsMax))));
  event.type = pick_type(random);
  make_attributes(seed_, number, random, event);

  std::string& line = event.payload;
  line.assign(R"({"time":")");
  append_time(line, event.time);
  fmt::format_to(std::back_inserter(line), FMT_COMPILE(R"(","type":"{}","entity":"{}","host":"{}","tags":[)"),
                 event.type, event.entity, event.host);
  for (std::size_t index = 0; index < event.tags.size(); ++index) {
    fmt::format_to(std::back_inserter(line), FMT_COMPILE(R"({}"{}")"), index == 0 ? "" : ",", event.tags[index]);
  }
  fmt::format_to(std::back_inserter(line), FMT_COMPILE(R"(],"serial":{},"severity":{},)"), number, random.below(8));
  append_details(line, event.type, random);
}

Event as_event(const SecurityEvent& event, std::vector<std::string_view>& tags) {
  tags.assign(event.tags.begin(), event.tags.end());
  Event result;
  result.time = event.time;
  result.type = event.type;
  result.entity = event.entity;
  result.host = event.host;
  result.tags = tags;
  result.format = "Raw";
  result.content_type = "application/json";
  result.payload = as_bytes(event.payload);
  return result;
}

}  // namespace hdb::bench
