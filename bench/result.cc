#include "bench/result.h"

#include <cstdio>

#include <fmt/format.h>

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

std::string to_json(const Ratio& ratio) {
  JsonObject json;
  json.text("kind", "ratio").text("workload", ratio.workload).text("peer", ratio.peer);
  for (const auto& [name, value] : ratio.figures) json.number(name, value);
  return json.finish();
}

std::string to_text(const Ratio& ratio) {
  std::string text = "hdb over " + ratio.peer + " (above 1: hdb is better):";
  for (const auto& [name, value] : ratio.figures) text += fmt::format("  {} {:.2f}", name, value);
  return text;
}

std::string name_of(const RunLabel& label) {
  return label.variant.empty() ? label.engine : label.engine + " " + label.variant;
}

std::string circumstances(const RunLabel& label) {
  return fmt::format("durability {}, preset {}; write buffers {}, caches {}; {}; a synced 4 KiB write takes {:.0f} us",
                     durability_name(label.options.durability), label.preset, human_bytes(label.options.memtable_bytes),
                     human_bytes(label.options.block_cache_bytes), label.cpu_model, label.device_sync_p50_us);
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
