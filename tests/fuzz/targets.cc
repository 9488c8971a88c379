#include "tests/fuzz/target.h"

namespace hdb::fuzz {

std::span<const Target> all_targets() noexcept {
  static const std::vector<Target> targets = [] {
    std::vector<Target> all;
    for (const auto folder : {base_targets(), wal_targets(), manifest_targets(), table_targets(), engine_targets(),
                              ingest_targets(), dump_targets()}) {
      all.insert(all.end(), folder.begin(), folder.end());
    }
    return all;
  }();
  return targets;
}

const Target* find_target(std::string_view name) noexcept {
  for (const Target& target : all_targets()) {
    if (target.name == name) return &target;
  }
  return nullptr;
}

}  // namespace hdb::fuzz
