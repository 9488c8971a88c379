// sstable/sorted_block.h: a block of keys in byte order, each with a value: the form of key data, indexes and
// dictionaries.
//
// Bytes: entries, then u32 offset of each restart point, then u32 number of restart points.
// Entry: varint shared, varint unshared, varint value bytes, then the key's unshared end and the value. `shared` is how
// many bytes the key has in common with the key before; 0 at a restart point, where search can begin.
#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace hdb::sstable {

// Single-owner. Keys are added in order; equal keys are allowed, their order is the owner's.
class BlockBuilder {
 public:
  // A restart point every `restart_interval` entries: 1 searches fastest and compresses nothing.
  explicit BlockBuilder(std::uint32_t restart_interval) : restart_interval_(restart_interval) {}

  // `shared`: how many bytes the key begins with as the one before. The value is given in two parts, the second of
  // which may be empty.
  void add(ByteView key, std::size_t shared, ByteView value, ByteView rest_of_value = {});
  // The same, for who does not keep the key before.
  void add(ByteView key, ByteView value);
  // The block's bytes so far, its end included.
  std::size_t bytes() const noexcept { return entries_.size() + restarts_.size() * 4 + 4; }
  bool empty() const noexcept { return restarts_.empty(); }
  // The whole block. Valid until the next call; reset() before the next add().
  ByteView finish();
  void reset();

 private:
  std::uint32_t restart_interval_;
  std::uint32_t since_restart_ = 0;
  Buffer entries_;
  std::vector<std::uint32_t> restarts_;
  Buffer last_key_;  // of add() without `shared`
};

// How many bytes the two begin with alike.
std::size_t common_prefix(ByteView a, ByteView b) noexcept;

// Owns its bytes, which were checked when it was made: walking it cannot leave them. Immutable.
class SortedBlock {
 public:
  // Whether a value is one that the reader of this kind of block can take apart without checks of its own.
  using CheckValue = Status (*)(ByteView value);

  // Takes the bytes over. kCorruption if they do not fit together; a block has at least one entry.
  static Result<SortedBlock> decode(Buffer bytes, CheckValue check = nullptr);

  // A place in the block. Single-owner; the block must outlive it. key() and value() are of the last move that returned
  // true; the value points into the block, the key into block or cursor, until the next move.
  class Cursor {
   public:
    Cursor() noexcept = default;
    explicit Cursor(const SortedBlock& block) noexcept : block_(&block) {}

    bool first();
    bool last();
    bool next();
    bool previous();
    // To the first entry for which is_before(key, value) is false: it is true for a first part of the block and false
    // for the rest.
    template <typename IsBefore>
    bool seek(IsBefore is_before);

    ByteView key() const noexcept { return key_; }
    ByteView value() const noexcept { return value_; }

   private:
    // Reads the entry at `offset`; key_ must be the one before it, unless it is a restart point.
    void read(std::uint32_t offset);
    bool to_restart(std::uint32_t restart);

    const SortedBlock* block_ = nullptr;
    std::uint32_t offset_ = 0;       // of the current entry
    std::uint32_t next_offset_ = 0;  // of the one after it
    std::uint32_t restart_ = 0;      // the restart point at or before the current entry
    ByteView key_;
    ByteView value_;
    Buffer key_bytes_;  // what key_ points to, if it shares bytes with the key before
  };

  ByteView bytes() const noexcept { return bytes_of(bytes_); }
  std::uint32_t entries_end() const noexcept { return entries_end_; }
  std::uint32_t restart_count() const noexcept { return restart_count_; }
  std::uint32_t restart_offset(std::uint32_t restart) const noexcept {
    return load<std::uint32_t>(bytes_.data() + entries_end_ + std::size_t{restart} * 4);
  }
  // What it takes in memory.
  std::uint64_t memory_bytes() const noexcept { return sizeof *this + bytes_.capacity(); }

 private:
  Buffer bytes_;
  std::uint32_t entries_end_ = 0;
  std::uint32_t restart_count_ = 0;
};

// A varint in bytes that were checked; moves `at` behind it.
inline std::uint64_t read_trusted_varint(const std::byte*& at) noexcept {
  std::uint64_t value = static_cast<std::uint64_t>(*at++);
  if (value < 0x80) return value;
  value &= 0x7f;
  for (unsigned shift = 7;; shift += 7) {
    const auto byte = static_cast<std::uint64_t>(*at++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

template <typename IsBefore>
bool SortedBlock::Cursor::seek(IsBefore is_before) {
  // The last restart point whose entry is before the target: the target is in its run, or is the next run's first.
  std::uint32_t low = 0;
  std::uint32_t high = block_->restart_count_;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    to_restart(middle);
    if (is_before(key_, value_)) {
      low = middle;
    } else {
      high = middle;
    }
  }
  to_restart(low);
  while (is_before(key_, value_)) {
    if (!next()) return false;
  }
  return true;
}

}  // namespace hdb::sstable
