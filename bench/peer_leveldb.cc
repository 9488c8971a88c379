// LevelDB. It compresses by snappy or not at all: never here.
#include <algorithm>
#include <utility>

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/filter_policy.h>
#include <leveldb/write_batch.h>

#include "bench/record_pairs.h"
#include "bench/slices.h"

namespace hdb::bench {

namespace {

leveldb::Slice slice(ByteView bytes) {
  return slice_of<leveldb::Slice>(bytes);
}

Status to_status(const leveldb::Status& status) {
  return status.ok() ? Status() : Status::io_error("leveldb: " + status.ToString());
}

class LevelReader : public PeerReader {
 public:
  explicit LevelReader(leveldb::DB& db) : db_(db) {}

  Result<std::optional<ByteView>> get(ByteView key) override {
    const leveldb::Status status = db_.Get({}, slice(key), &value_);
    if (status.IsNotFound()) return std::optional<ByteView>();
    HDB_TRY(to_status(status));
    return std::optional(as_bytes(value_));
  }

  Status scan(bool is_backward, const PairVisitor& visit) override {
    const std::unique_ptr<leveldb::Iterator> pairs(db_.NewIterator({}));
    HDB_TRY(visit_slices(*pairs, is_backward, visit));
    return to_status(pairs->status());
  }

 private:
  leveldb::DB& db_;
  std::string value_;  // its memory is used again, as the documentation advises
};

class LevelPeer : public PairPeer {
 public:
  explicit LevelPeer(const PeerSettings& settings)
      : cache_(leveldb::NewLRUCache(settings.options.block_cache_bytes)),
        filter_(leveldb::NewBloomFilterPolicy(static_cast<int>(settings.options.filter_bits_per_key))) {
    write_options_.sync = settings.options.durability == Durability::kSync;
  }

  Status open(const PeerSettings& settings) {
    leveldb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = settings.options.memtable_bytes;
    options.block_cache = cache_.get();
    options.block_size = settings.options.block_bytes;
    options.compression = leveldb::kNoCompression;
    options.max_file_size = std::min<std::uint64_t>(settings.options.table_bytes_target, 1u << 30);  // its own bound
    if (settings.options.filter_bits_per_key > 0) options.filter_policy = filter_.get();
    leveldb::DB* db = nullptr;
    HDB_TRY(to_status(leveldb::DB::Open(options, settings.directory, &db)));
    db_.reset(db);
    return {};
  }

  Status put(std::span<const KeyValue> pairs) override {
    leveldb::WriteBatch batch;
    for (const KeyValue& pair : pairs) batch.Put(slice(pair.key), slice(pair.value));
    return to_status(db_->Write(write_options_, &batch));
  }

  Status compact() override {
    db_->CompactRange(nullptr, nullptr);
    return {};
  }

  Status close() override {
    // LevelDB has no flush, and its close leaves the memtable to the log; compacting a range without keys flushes it.
    const leveldb::Slice after_all_begin("\xff\xff", 2);
    const leveldb::Slice after_all_end("\xff\xff\xff", 3);
    db_->CompactRange(&after_all_begin, &after_all_end);
    db_.reset();
    return {};
  }

  Result<std::unique_ptr<PeerReader>> make_reader() override {
    return std::unique_ptr<PeerReader>(std::make_unique<LevelReader>(*db_));
  }

 private:
  std::unique_ptr<leveldb::Cache> cache_;                // outlives db_
  std::unique_ptr<const leveldb::FilterPolicy> filter_;  // outlives db_
  std::unique_ptr<leveldb::DB> db_;
  leveldb::WriteOptions write_options_;
};

}  // namespace

Result<std::unique_ptr<Peer>> open_leveldb(const PeerSettings& settings) {
  if (settings.options.durability == Durability::kInterval) {
    return Status::invalid_argument(
        "leveldb syncs each write or none, not by interval: choose --durability none or sync");
  }
  auto peer = std::make_unique<LevelPeer>(settings);
  HDB_TRY(peer->open(settings));
  return std::unique_ptr<Peer>(std::move(peer));
}

}  // namespace hdb::bench
