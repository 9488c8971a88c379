// bench/slices.h: what LevelDB and RocksDB, its descendant, name alike, as types of their own.
#pragma once

#include "bench/peer.h"

namespace hdb::bench {

template <typename Slice>
Slice slice_of(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

template <typename Slice>
ByteView view_of(const Slice& slice) {
  return as_bytes({slice.data(), slice.size()});
}

// Every pair of `pairs`, from the first key to the last or backward, until the first error of `visit`; the iterator's
// own error is the caller's to ask for.
template <typename Iterator>
Status visit_slices(Iterator& pairs, bool is_backward, const PairVisitor& visit) {
  for (is_backward ? pairs.SeekToLast() : pairs.SeekToFirst(); pairs.Valid();
       is_backward ? pairs.Prev() : pairs.Next()) {
    HDB_TRY(visit(view_of(pairs.key()), view_of(pairs.value())));
  }
  return {};
}

}  // namespace hdb::bench
