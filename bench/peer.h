// bench/peer.h: an engine under measurement.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/engine.h>

namespace hdb::bench {

// What an engine opens with. Write buffers, caches and filters are equal in every engine: those of `options`.
struct PeerSettings {
  std::string directory;
  Options options;
  std::string variant;  // of the engine, from peer_variants
};

using PairVisitor = std::function<Status(ByteView key, ByteView value)>;

// One thread's reads of a peer: used by the thread that made it, ended before the peer is closed. Sees what was
// committed before each call.
class PeerReader {
 public:
  virtual ~PeerReader() = default;

  // Empty if absent. The view lives until the next call.
  virtual Result<std::optional<ByteView>> get(ByteView key) = 0;
  // Every pair, from the first key to the last or backward; stops at the first error of `visit`.
  virtual Status scan(bool is_backward, const PairVisitor& visit) = 0;
};

// Thread-safe, except for close() and read_events(). A new one finds what an earlier one in the same directory stored.
class Peer {
 public:
  virtual ~Peer() = default;

  // Commits the pairs atomically, as durable as Options::durability says.
  virtual Status put(std::span<const KeyValue> pairs) = 0;
  // The same without waiting for it. kUnsupported where the engine cannot.
  virtual Result<AppendTicket> submit(std::span<const KeyValue> pairs);
  // Commits the events atomically; returns the number under which the first is stored, the others following. Engines
  // that know no positions store each record under `first_number` and what follows, as big-endian u64.
  virtual Result<std::uint64_t> append(std::span<const Event> events, std::uint64_t first_number) = 0;
  // Merges all that can be merged.
  virtual Status compact() = 0;
  // Brings everything into its final files and closes.
  virtual Status close() = 0;

  virtual Result<std::unique_ptr<PeerReader>> make_reader() = 0;
  // Every pair, in key order; stops at the first error of `visit`.
  Status read_pairs(const PairVisitor& visit) { return HDB_TRY(make_reader())->scan(false, visit); }
  // Every event, in the order of the numbers; position() is the number.
  virtual Status read_events(const std::function<Status(const StoredEvent& event)>& visit) = 0;
};

// Engines built in, hdb first.
std::vector<std::string> peer_names();
// The ways an engine is run in each round; the best counts. Most have one, the empty.
std::vector<std::string> peer_variants(std::string_view engine);
Result<std::unique_ptr<Peer>> open_peer(std::string_view engine, const PeerSettings& settings);

Result<std::unique_ptr<Peer>> open_hdb(const PeerSettings& settings);
#ifdef HDB_HAVE_ROCKSDB
Result<std::unique_ptr<Peer>> open_rocksdb(const PeerSettings& settings);
#endif
#ifdef HDB_HAVE_LEVELDB
Result<std::unique_ptr<Peer>> open_leveldb(const PeerSettings& settings);
#endif
#ifdef HDB_HAVE_LMDB
Result<std::unique_ptr<Peer>> open_lmdb(const PeerSettings& settings);
#endif

}  // namespace hdb::bench
