// bench/result.h: what a run is printed as: JSON objects that scripts rely on, or lines for people.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bench/options.h"

namespace hdb::bench {

// What a figure is nothing without.
struct RunLabel {
  std::string workload;
  std::string engine;
  std::string variant;  // empty if the engine has one way only
  std::uint64_t round = 0;
  std::string preset;
  Options options;  // write buffer, cache and durability of every engine
  std::string cpu_model;
  double device_sync_p50_us = 0;
};

// How HDB stands to a peer: medians over the rounds, above 1: HDB is better. For `space` only `directory_bytes` holds.
struct Ratio {
  std::string workload;
  std::string peer;
  std::vector<std::pair<std::string, double>> figures;
};

// A JSON object under construction. Single-owner.
class JsonObject {
 public:
  JsonObject& text(std::string_view key, std::string_view value);
  JsonObject& number(std::string_view key, std::uint64_t value);
  JsonObject& number(std::string_view key, double value);
  JsonObject& boolean(std::string_view key, bool value);
  JsonObject& object(std::string_view key, const JsonObject& value);
  std::string finish() const { return "{" + fields_ + "}"; }

 private:
  void add_key(std::string_view key);

  std::string fields_;
};

void add_label(JsonObject& json, const RunLabel& label);

std::string to_json(const Ratio& ratio);
std::string to_text(const Ratio& ratio);

// The engines among the results but hdb, in the order of the first round; none without hdb among them.
template <typename Measured>
std::vector<std::string> peers_of_hdb(std::span<const Measured> results) {
  std::vector<std::string> peers;
  bool has_hdb = false;
  for (const Measured& result : results) {
    const std::string& engine = result.label.engine;
    has_hdb |= engine == "hdb";
    if (engine != "hdb" && std::find(peers.begin(), peers.end(), engine) == peers.end()) peers.push_back(engine);
  }
  if (!has_hdb) peers.clear();
  return peers;
}

// "lmdb writemap"
std::string name_of(const RunLabel& label);

// "durability none, preset throughput; write buffers ...": the same of every engine and round
std::string circumstances(const RunLabel& label);

// "1.23 GB", "456 kB"
std::string human_bytes(std::uint64_t bytes);

// One line to standard output. An error when it cannot be written.
Status print_line(const std::string& line);

template <typename Printed>
Status print_as(OutputForm form, const Printed& printed) {
  return print_line(form == OutputForm::kJson ? to_json(printed) : to_text(printed));
}

}  // namespace hdb::bench
