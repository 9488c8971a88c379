// compaction/retain.h: which versions of a key survive a rewrite. Pure.
//
// Reads happen at held sequences h: each sees, of a key, the newest version with a sequence of at most h. Together they
// divide all sequences into stripes: (before) .. h0], (h0 .. h1], ..., (hn .. ; of the versions of a key in one stripe
// all reads, now and later, see at most the newest. So the older ones go. A tombstone in the first stripe hides nothing
// but what is older than it, which all goes; so it goes too, unless the key may lie in tables that are not rewritten.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include "base/entry_iterator.h"
#include "base/seeded_defect.h"

namespace hdb::compaction {

enum class Fate : std::uint8_t { kKeep, kDrop };

// Of a version of a key whose next newer version, if any, has sequence `newer`, whatever that one's own fate was.
// `held`: ascending. `may_lie_beneath`: an older version of the key may be in a table that is not rewritten.
inline Fate fate_of(EntryKind kind, SequenceNumber sequence, std::optional<SequenceNumber> newer,
                    std::span<const SequenceNumber> held, bool may_lie_beneath) noexcept {
  const auto stripe = std::lower_bound(held.begin(), held.end(), sequence);
  if (HDB_SEEDED(drop_a_version_a_snapshot_sees) && newer) return Fate::kDrop;
  if (newer && stripe == std::lower_bound(held.begin(), held.end(), *newer)) return Fate::kDrop;
  const bool is_tombstone = kind == EntryKind::kErase;
  if (HDB_SEEDED(drop_tombstones_too_early)) may_lie_beneath = false;
  return is_tombstone && stripe == held.begin() && !may_lie_beneath ? Fate::kDrop : Fate::kKeep;
}

// Applies fate_of to entries that come in entry order. Single-owner; `held` must outlive it.
class Retention {
 public:
  // With `is_bottom_level` no key lies beneath what is rewritten; else any may.
  Retention(std::span<const SequenceNumber> held, bool is_bottom_level)
      : held_(held), may_lie_beneath_([is_bottom_level](ByteView) { return !is_bottom_level; }) {}
  // `may_lie_beneath` is asked about stored keys, ascending, of tombstones.
  Retention(std::span<const SequenceNumber> held, std::function<bool(ByteView stored_key)> may_lie_beneath)
      : held_(held), may_lie_beneath_(std::move(may_lie_beneath)) {}

  // Whether the entry survives. Called for every entry, in order.
  bool keeps(const Entry& entry) {
    is_new_key_ = !newer_ || !equal_bytes(entry.key, bytes_of(key_));
    if (is_new_key_) {
      key_.assign(entry.key.begin(), entry.key.end());
      newer_.reset();
    }
    const bool is_beneath = entry.kind == EntryKind::kErase && may_lie_beneath_(entry.key);
    const Fate fate = fate_of(entry.kind, entry.sequence, newer_, held_, is_beneath);
    newer_ = entry.sequence;
    return fate == Fate::kKeep;
  }
  // Whether the entry last asked about was the first of its key.
  bool is_new_key() const noexcept { return is_new_key_; }

 private:
  std::span<const SequenceNumber> held_;
  std::function<bool(ByteView)> may_lie_beneath_;
  Buffer key_;
  std::optional<SequenceNumber> newer_;  // the version of key_ before
  bool is_new_key_ = false;
};

}  // namespace hdb::compaction
