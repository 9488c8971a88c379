// LMDB. It has no write buffer and no cache but the page cache, so it gets no less than what those of the others take.
#include <lmdb.h>

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bench/record_pairs.h"

namespace hdb::bench {

namespace {

constexpr std::size_t kMapBytes = std::size_t{1} << 38;  // address space only: the file grows as needed
constexpr unsigned kReadersMax = 2048;                   // above what --readers takes
constexpr std::string_view kWriteMap = "writemap";

MDB_val value_of(ByteView bytes) {
  return {bytes.size(), const_cast<std::byte*>(bytes.data())};
}
ByteView view(const MDB_val& value) {
  return {static_cast<const std::byte*>(value.mv_data), value.mv_size};
}

Status to_status(int error) {
  return error == 0 ? Status() : Status::io_error(std::string("lmdb: ") + ::mdb_strerror(error));
}

struct CloseEnvironment {
  void operator()(MDB_env* environment) const noexcept { ::mdb_env_close(environment); }
};

// Aborts what was not committed.
struct AbortTransaction {
  void operator()(MDB_txn* transaction) const noexcept { ::mdb_txn_abort(transaction); }
};
using Transaction = std::unique_ptr<MDB_txn, AbortTransaction>;

struct CloseCursor {
  void operator()(MDB_cursor* cursor) const noexcept { ::mdb_cursor_close(cursor); }
};
using Cursor = std::unique_ptr<MDB_cursor, CloseCursor>;

Result<Transaction> begin(MDB_env* environment, unsigned flags) {
  MDB_txn* begun = nullptr;
  HDB_TRY(to_status(::mdb_txn_begin(environment, nullptr, flags, &begun)));
  return Transaction(begun);
}
Result<Cursor> open_cursor(MDB_txn* transaction, MDB_dbi pairs) {
  MDB_cursor* opened = nullptr;
  HDB_TRY(to_status(::mdb_cursor_open(transaction, pairs, &opened)));
  return Cursor(opened);
}

// Its one transaction is renewed for each read, which costs less than a new one.
class LmdbReader : public PeerReader {
 public:
  LmdbReader(Transaction transaction, MDB_dbi pairs) : transaction_(std::move(transaction)), pairs_(pairs) {}

  Result<std::optional<ByteView>> get(ByteView key) override {
    HDB_TRY(renew());
    MDB_val wanted = value_of(key);
    MDB_val value;
    const int error = ::mdb_get(transaction_.get(), pairs_, &wanted, &value);
    if (error == MDB_NOTFOUND) return std::optional<ByteView>();
    HDB_TRY(to_status(error));
    return std::optional(view(value));
  }

  Status scan(bool is_backward, const PairVisitor& visit) override {
    HDB_TRY(renew());
    const Cursor cursor = HDB_TRY(open_cursor(transaction_.get(), pairs_));
    const MDB_cursor_op step = is_backward ? MDB_PREV : MDB_NEXT;  // the first one goes to that end
    MDB_val key;
    MDB_val value;
    int error = 0;
    while ((error = ::mdb_cursor_get(cursor.get(), &key, &value, step)) == 0) HDB_TRY(visit(view(key), view(value)));
    return error == MDB_NOTFOUND ? Status() : to_status(error);
  }

 private:
  Status renew() {
    ::mdb_txn_reset(transaction_.get());
    return to_status(::mdb_txn_renew(transaction_.get()));
  }

  Transaction transaction_;
  MDB_dbi pairs_;
};

class LmdbPeer : public PairPeer {
 public:
  Status open(const PeerSettings& settings) {
    if (::mkdir(settings.directory.c_str(), 0777) != 0 && errno != EEXIST) {
      return Status::io_error(settings.directory + ": " + std::strerror(errno));
    }
    MDB_env* made = nullptr;
    HDB_TRY(to_status(::mdb_env_create(&made)));
    environment_.reset(made);
    HDB_TRY(to_status(::mdb_env_set_mapsize(made, kMapBytes)));
    HDB_TRY(to_status(::mdb_env_set_maxreaders(made, kReadersMax)));
    unsigned flags = settings.variant == kWriteMap ? MDB_WRITEMAP : 0;
    // What a transaction wrote is with the system when it commits, as of the other engines.
    if (settings.options.durability == Durability::kNone) flags |= MDB_NOSYNC;
    HDB_TRY(to_status(::mdb_env_open(made, settings.directory.c_str(), flags, 0666)));
    const Transaction transaction = HDB_TRY(begin(environment_.get(), 0));
    HDB_TRY(to_status(::mdb_dbi_open(transaction.get(), nullptr, 0, &pairs_)));
    return {};
  }

  Status put(std::span<const KeyValue> pairs) override {
    Transaction transaction = HDB_TRY(begin(environment_.get(), 0));
    {
      const Cursor cursor = HDB_TRY(open_cursor(transaction.get(), pairs_));
      // Keys ascend within a batch: behind all others they are appended, which fills pages, as its manual advises for
      // bulk load.
      MDB_val last;
      const int found = ::mdb_cursor_get(cursor.get(), &last, nullptr, MDB_LAST);
      if (found != 0 && found != MDB_NOTFOUND) return to_status(found);
      const bool is_behind =
          !pairs.empty() && (found == MDB_NOTFOUND || as_text(view(last)) < as_text(pairs.front().key));
      for (const KeyValue& pair : pairs) {
        MDB_val key = value_of(pair.key);
        MDB_val value = value_of(pair.value);
        HDB_TRY(to_status(::mdb_cursor_put(cursor.get(), &key, &value, is_behind ? MDB_APPEND : 0)));
      }
    }
    return to_status(::mdb_txn_commit(transaction.release()));
  }

  Status compact() override { return {}; }  // it has nothing to merge

  // A transaction is in its final file when it commits; with MDB_NOSYNC not yet on the device, as tables of the others
  // are when they settle.
  Status close() override {
    HDB_TRY(to_status(::mdb_env_sync(environment_.get(), 1)));
    environment_.reset();
    return {};
  }

  Result<std::unique_ptr<PeerReader>> make_reader() override {
    Transaction transaction = HDB_TRY(begin(environment_.get(), MDB_RDONLY));
    return std::unique_ptr<PeerReader>(std::make_unique<LmdbReader>(std::move(transaction), pairs_));
  }

 private:
  std::unique_ptr<MDB_env, CloseEnvironment> environment_;
  MDB_dbi pairs_ = 0;
};

}  // namespace

Result<std::unique_ptr<Peer>> open_lmdb(const PeerSettings& settings) {
  if (settings.options.durability == Durability::kInterval) {
    return Status::invalid_argument("lmdb syncs each write or none, not by interval: choose --durability none or sync");
  }
  auto peer = std::make_unique<LmdbPeer>();
  HDB_TRY(peer->open(settings));
  return std::unique_ptr<Peer>(std::move(peer));
}

}  // namespace hdb::bench
