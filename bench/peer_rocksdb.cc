// RocksDB, tuned as its documentation advises for bulk load: https://github.com/facebook/rocksdb/wiki/RocksDB-FAQ and
// Unordered-Write, Pipelined-Write there.
#include <algorithm>
#include <utility>

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include "bench/record_pairs.h"
#include "bench/slices.h"

namespace hdb::bench {

namespace {

rocksdb::Slice slice(ByteView bytes) {
  return slice_of<rocksdb::Slice>(bytes);
}

Status to_status(const rocksdb::Status& status) {
  return status.ok() ? Status() : Status::io_error("rocksdb: " + status.ToString());
}

class RocksReader : public PeerReader {
 public:
  explicit RocksReader(rocksdb::DB& db) : db_(db) {}

  Result<std::optional<ByteView>> get(ByteView key) override {
    value_.Reset();
    const rocksdb::Status status = db_.Get(read_options_, db_.DefaultColumnFamily(), slice(key), &value_);
    if (status.IsNotFound()) return std::optional<ByteView>();
    HDB_TRY(to_status(status));
    return std::optional(view_of(value_));
  }

  Status scan(bool is_backward, const PairVisitor& visit) override {
    const std::unique_ptr<rocksdb::Iterator> pairs(db_.NewIterator(read_options_));
    HDB_TRY(visit_slices(*pairs, is_backward, visit));
    return to_status(pairs->status());
  }

 private:
  rocksdb::DB& db_;
  const rocksdb::ReadOptions read_options_;
  rocksdb::PinnableSlice value_;  // pins the block: no copy, as the documentation advises
};

class RocksPeer : public PairPeer {
 public:
  RocksPeer(std::unique_ptr<rocksdb::DB> db, bool is_synced) : db_(std::move(db)) { write_options_.sync = is_synced; }

  Status put(std::span<const KeyValue> pairs) override {
    std::size_t bytes = 0;
    for (const KeyValue& pair : pairs) bytes += pair.key.size() + pair.value.size() + 16;
    rocksdb::WriteBatch batch(bytes);
    for (const KeyValue& pair : pairs) HDB_TRY(to_status(batch.Put(slice(pair.key), slice(pair.value))));
    return to_status(db_->Write(write_options_, &batch));
  }

  Status compact() override {
    rocksdb::CompactRangeOptions options;
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForce;
    return to_status(db_->CompactRange(options, nullptr, nullptr));
  }

  Status close() override {
    HDB_TRY(to_status(db_->Flush({})));
    return to_status(db_->Close());
  }

  Result<std::unique_ptr<PeerReader>> make_reader() override {
    return std::unique_ptr<PeerReader>(std::make_unique<RocksReader>(*db_));
  }

 private:
  std::unique_ptr<rocksdb::DB> db_;
  rocksdb::WriteOptions write_options_;
};

rocksdb::Options rocksdb_options(const PeerSettings& settings) {
  const Options& options = settings.options;
  rocksdb::Options result;
  result.create_if_missing = true;
  result.write_buffer_size = options.memtable_bytes;
  result.max_write_buffer_number = static_cast<int>(1 + options.sealed_memtables_max);
  result.IncreaseParallelism(static_cast<int>(std::max(2u, options.background_threads)));
  result.max_total_wal_size = options.log_bytes_max;
  result.target_file_size_base = std::min<std::uint64_t>(result.target_file_size_base, options.table_bytes_target);
  result.enable_pipelined_write = settings.variant == "pipelined";
  result.unordered_write = settings.variant == "unordered";
  result.compression = rocksdb::kNoCompression;
  if (options.compression == Compression::kZstd) {
    result.compression = rocksdb::kZSTD;
    result.compression_opts.level = static_cast<int>(options.compression_level);
  }
  rocksdb::BlockBasedTableOptions table;
  table.block_size = options.block_bytes;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  if (options.filter_bits_per_key > 0) {
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(options.filter_bits_per_key));
  }
  result.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return result;
}

}  // namespace

Result<std::unique_ptr<Peer>> open_rocksdb(const PeerSettings& settings) {
  if (settings.options.durability == Durability::kInterval) {
    return Status::invalid_argument(
        "rocksdb syncs each write or none, not by interval: choose --durability none or sync");
  }
  rocksdb::DB* db = nullptr;
  HDB_TRY(to_status(rocksdb::DB::Open(rocksdb_options(settings), settings.directory, &db)));
  const bool is_synced = settings.options.durability == Durability::kSync;
  return std::unique_ptr<Peer>(std::make_unique<RocksPeer>(std::unique_ptr<rocksdb::DB>(db), is_synced));
}

}  // namespace hdb::bench
