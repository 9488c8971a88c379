#include <optional>
#include <utility>

#include <fmt/format.h>

#include "bench/peer.h"

namespace hdb::bench {

namespace {

constexpr std::size_t kReadBatch = 1024;

class HdbReader : public PeerReader {
 public:
  HdbReader(const Engine& engine, Keyspace keyspace) : engine_(engine), keyspace_(keyspace) {}

  Result<std::optional<ByteView>> get(ByteView key) override {
    value_ = HDB_TRY(engine_.get(keyspace_, key));
    return value_ ? std::optional(value_->bytes()) : std::nullopt;
  }

  Status scan(bool is_backward, const PairVisitor& visit) override {
    KeyRange range;
    range.is_backward = is_backward;
    KeyCursor cursor = HDB_TRY(engine_.scan(keyspace_, range));
    while (const std::optional<KeyValue> pair = HDB_TRY(cursor.next())) HDB_TRY(visit(pair->key, pair->value));
    return {};
  }

 private:
  const Engine& engine_;
  Keyspace keyspace_;
  std::optional<Value> value_;  // keeps alive what get() returned
};

class HdbPeer : public Peer {
 public:
  HdbPeer(std::unique_ptr<Engine> engine, Keyspace keyspace) : engine_(std::move(engine)), keyspace_(keyspace) {}

  Status put(std::span<const KeyValue> pairs) override { return engine_->append(changes_of(pairs)).status(); }
  Result<AppendTicket> submit(std::span<const KeyValue> pairs) override { return engine_->submit(changes_of(pairs)); }

  Result<std::uint64_t> append(std::span<const Event> events, std::uint64_t) override {
    return HDB_TRY(engine_->append(events)).first_position;
  }

  Status compact() override { return engine_->compact(); }

  Status close() override {
    HDB_TRY(engine_->flush());
    return engine_->close();
  }

  Result<std::unique_ptr<PeerReader>> make_reader() override {
    return std::unique_ptr<PeerReader>(std::make_unique<HdbReader>(*engine_, keyspace_));
  }

  Status read_events(const std::function<Status(const StoredEvent& event)>& visit) override {
    EventCursor cursor = HDB_TRY(engine_->query({}));
    std::vector<StoredEvent> events;
    do {
      events.clear();
      HDB_TRY(cursor.next_batch(kReadBatch, events));
      for (const StoredEvent& event : events) HDB_TRY(visit(event));
    } while (events.size() == kReadBatch);
    return {};
  }

 private:
  // Valid until this thread's next call.
  Batch changes_of(std::span<const KeyValue> pairs) const {
    thread_local std::vector<KeyValueChange> changes;
    changes.clear();
    for (const KeyValue& pair : pairs) changes.push_back({keyspace_, pair.key, pair.value});
    return {.events = {}, .changes = changes, .durability = {}};
  }

  std::unique_ptr<Engine> engine_;
  Keyspace keyspace_;
};

}  // namespace

Result<std::unique_ptr<Peer>> open_hdb(const PeerSettings& settings) {
  // Figures of pwrite must not pass for those of a ring.
  Hooks hooks;
  hooks.listener = [](Notice notice, std::string_view text) {
    if (notice == Notice::kFallback) fmt::print(stderr, "hdb-bench: {}\n", text);
  };
  std::unique_ptr<Engine> engine =
      HDB_TRY(Engine::open(settings.directory, settings.options, OpenMode::kOpenOrCreate, std::move(hooks)));
  const Keyspace keyspace = HDB_TRY(engine->keyspace("bench"));
  return std::unique_ptr<Peer>(std::make_unique<HdbPeer>(std::move(engine), keyspace));
}

}  // namespace hdb::bench
