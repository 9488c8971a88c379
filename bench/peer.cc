#include "bench/peer.h"

namespace hdb::bench {

Result<AppendTicket> Peer::submit(std::span<const KeyValue>) {
  return Status::unsupported("--in-flight: this engine's commits are waited for; choose --engine hdb");
}

namespace {

struct Engines {
  std::string_view name;
  Result<std::unique_ptr<Peer>> (*open)(const PeerSettings& settings);
};
constexpr Engines kEngines[] = {
    {"hdb", &open_hdb},
#ifdef HDB_HAVE_ROCKSDB
    {"rocksdb", &open_rocksdb},
#endif
#ifdef HDB_HAVE_LEVELDB
    {"leveldb", &open_leveldb},
#endif
#ifdef HDB_HAVE_LMDB
    {"lmdb", &open_lmdb},
#endif
};

}  // namespace

std::vector<std::string> peer_names() {
  std::vector<std::string> names;
  for (const Engines& engine : kEngines) names.emplace_back(engine.name);
  return names;
}

std::vector<std::string> peer_variants(std::string_view engine) {
  if (engine == "rocksdb") return {"pipelined", "unordered"};
  if (engine == "lmdb") return {"", "writemap"};
  return {""};
}

Result<std::unique_ptr<Peer>> open_peer(std::string_view engine, const PeerSettings& settings) {
  for (const Engines& candidate : kEngines) {
    if (candidate.name == engine) return candidate.open(settings);
  }
  return Status::invalid_argument("engine " + std::string(engine) + " is not built in");
}

}  // namespace hdb::bench
