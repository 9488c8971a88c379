// base/entry_iterator.h: the entry of a keyspace, its order, and the one iterator interface of memtable, table and
// merge.
//
// A stored key is the keyspace's id as 4 bytes big-endian, then the user's key: so all keyspaces share one order.
// Entries are ordered by stored key ascending, then by sequence descending: the newest version of a key comes first.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/ids.h"

namespace hdb {

inline constexpr std::size_t kKeyspacePrefixBytes = 4;

enum class EntryKind : std::uint8_t {  // on disk: append, never renumber
  kErase = 0,                          // a tombstone: the key has no value as of this sequence
  kPut = 1,
};

struct Entry {
  ByteView key;  // stored key
  SequenceNumber sequence;
  EntryKind kind = EntryKind::kPut;
  ByteView value;  // empty for kErase
};

// <0, 0, >0 in entry order.
inline int compare_entries(ByteView key_a, SequenceNumber sequence_a, ByteView key_b,
                           SequenceNumber sequence_b) noexcept {
  const int order = compare_bytes(key_a, key_b);
  if (order != 0) return order;
  return sequence_a > sequence_b ? -1 : (sequence_a < sequence_b ? 1 : 0);
}

// A place in an ordered run of entries. Single-owner. Each move returns false at the end, or on an error, which
// status() then holds; entry() is valid after a move that returned true, until the next move.
class EntryIterator {
 public:
  virtual ~EntryIterator() = default;
  virtual bool seek_to_first() = 0;
  virtual bool seek_to_last() = 0;
  // To the first entry at or after (key, sequence) in entry order.
  virtual bool seek(ByteView key, SequenceNumber sequence) = 0;
  virtual bool next() = 0;
  virtual bool previous() = 0;
  virtual const Entry& entry() const = 0;
  virtual Status status() const = 0;
};

}  // namespace hdb
