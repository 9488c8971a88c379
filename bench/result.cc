#include "bench/result.h"

#include <algorithm>
#include <cstdio>
#include <functional>

#include <fmt/format.h>

#include "bench/statistics.h"

namespace hdb::bench {

namespace {

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') {
      result += '\\';
      result += letter;
    } else if (static_cast<unsigned char>(letter) < 0x20) {
      result += fmt::format("\\u{:04x}", static_cast<unsigned>(letter));
    } else {
      result += letter;
    }
  }
  return result + '"';
}

double bytes_per_event(const IngestMeasurement& measured) {
  return static_cast<double>(measured.directory_bytes) / static_cast<double>(measured.events);
}

double write_amplification(const IngestMeasurement& measured) {
  return static_cast<double>(measured.bytes_written) / static_cast<double>(measured.user_bytes);
}

using Figure = std::function<double(const IngestMeasurement&)>;

double median_of(std::span<const IngestResult> results, std::string_view engine, const Figure& figure) {
  std::vector<double> values;
  for (const IngestResult& result : results) {
    if (result.label.engine == engine) values.push_back(figure(result.measured));
  }
  return values.empty() ? 0 : median(std::move(values));
}

}  // namespace

void JsonObject::add_key(std::string_view key) {
  if (!fields_.empty()) fields_ += ',';
  fields_ += quoted(key) + ":";
}
JsonObject& JsonObject::text(std::string_view key, std::string_view value) {
  add_key(key);
  fields_ += quoted(value);
  return *this;
}
JsonObject& JsonObject::number(std::string_view key, std::uint64_t value) {
  add_key(key);
  fields_ += std::to_string(value);
  return *this;
}
JsonObject& JsonObject::number(std::string_view key, double value) {
  add_key(key);
  fields_ += value >= 1000 ? fmt::format("{:.1f}", value) : fmt::format("{:.4g}", value);
  return *this;
}
JsonObject& JsonObject::boolean(std::string_view key, bool value) {
  add_key(key);
  fields_ += value ? "true" : "false";
  return *this;
}
JsonObject& JsonObject::object(std::string_view key, const JsonObject& value) {
  add_key(key);
  fields_ += value.finish();
  return *this;
}

void add_label(JsonObject& json, const RunLabel& label) {
  json.text("kind", "result").text("workload", label.workload).text("engine", label.engine);
  if (!label.variant.empty()) json.text("variant", label.variant);
  json.number("round", label.round)
      .text("durability", durability_name(label.options.durability))
      .text("preset", label.preset)
      .number("write_buffer_bytes", label.options.memtable_bytes)
      .number("cache_bytes", label.options.block_cache_bytes)
      .text("cpu_model", label.cpu_model)
      .number("device_sync_p50_us", label.device_sync_p50_us);
}

std::string to_json(const IngestResult& result) {
  const IngestMeasurement& measured = result.measured;
  JsonObject json;
  add_label(json, result.label);
  json.number("events", measured.events);
  if (result.value_bytes > 0) json.number("value_bytes", result.value_bytes);
  json.number("batch", result.batch)
      .number("writers", result.writers)
      .number("events_per_s", measured.events_per_s)
      .number("settled_events_per_s", measured.settled_events_per_s)
      .number("p50_us", measured.p50_us)
      .number("p99_us", measured.p99_us)
      .number("p999_us", measured.p999_us)
      .number("max_us", measured.max_us)
      .number("bytes_written", measured.bytes_written)
      .number("write_amplification", write_amplification(measured))
      .number("directory_bytes", measured.directory_bytes)
      .number("bytes_per_event", bytes_per_event(measured))
      .number("peak_rss_bytes", measured.peak_rss_bytes)
      .number("cpu_s", measured.cpu_s)
      .number("generator_cpu_s", measured.generator_cpu_s)
      .boolean("verified", measured.is_verified);
  return json.finish();
}

std::string to_json(const Ratio& ratio) {
  JsonObject json;
  json.text("kind", "ratio").text("workload", ratio.workload).text("peer", ratio.peer);
  for (const auto& [name, value] : ratio.figures) json.number(name, value);
  return json.finish();
}

std::string to_text(const IngestResult& result) {
  const IngestMeasurement& measured = result.measured;
  return fmt::format(
      "{:<20} round {}  {:>9.0f} events/s, {:>9.0f} settled; batch p50 {:.0f} us, p99 {:.0f}, p99.9 {:.0f}, max "
      "{:.0f}; "
      "{:.1f} B/event on disk, written x{:.2f}; {} peak, {:.2f} s CPU ({:.2f} generator); {}",
      name_of(result.label), result.label.round, measured.events_per_s, measured.settled_events_per_s, measured.p50_us,
      measured.p99_us, measured.p999_us, measured.max_us, bytes_per_event(measured), write_amplification(measured),
      human_bytes(measured.peak_rss_bytes), measured.cpu_s, measured.generator_cpu_s,
      measured.is_verified ? "verified" : "NOT VERIFIED");
}

std::string to_text(const Ratio& ratio) {
  std::string text = "hdb over " + ratio.peer + " (above 1: hdb is better):";
  for (const auto& [name, value] : ratio.figures) text += fmt::format("  {} {:.2f}", name, value);
  return text;
}

std::vector<Ratio> ratios_of(std::span<const IngestResult> results) {
  struct Named {
    const char* name;
    Figure figure;
    bool is_more_better;
  };
  const Named figures[] = {
      {"events_per_s", [](const IngestMeasurement& m) { return m.events_per_s; }, true},
      {"settled_events_per_s", [](const IngestMeasurement& m) { return m.settled_events_per_s; }, true},
      {"p50_us", [](const IngestMeasurement& m) { return m.p50_us; }, false},
      {"p99_us", [](const IngestMeasurement& m) { return m.p99_us; }, false},
      {"p999_us", [](const IngestMeasurement& m) { return m.p999_us; }, false},
      {"bytes_per_event", &bytes_per_event, false},
  };
  std::vector<Ratio> ratios;
  for (const std::string& peer : peers_of_hdb(results)) {
    Ratio ratio{results.front().label.workload, peer, {}};
    for (const Named& named : figures) {
      const double ours = median_of(results, "hdb", named.figure);
      const double theirs = median_of(results, peer, named.figure);
      ratio.figures.emplace_back(named.name, named.is_more_better ? ours / theirs : theirs / ours);
    }
    ratios.push_back(std::move(ratio));
  }
  return ratios;
}

std::string name_of(const RunLabel& label) {
  return label.variant.empty() ? label.engine : label.engine + " " + label.variant;
}

std::string human_bytes(std::uint64_t bytes) {
  const auto count = static_cast<double>(bytes);
  if (count >= 1e9) return fmt::format("{:.2f} GB", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.1f} MB", count / 1e6);
  return fmt::format("{:.1f} kB", count / 1e3);
}

Status print_line(const std::string& line) {
  const bool is_written = std::printf("%s\n", line.c_str()) >= 0 && std::fflush(stdout) == 0;
  return is_written ? Status() : Status::io_error("standard output cannot be written");
}

}  // namespace hdb::bench
