// tests/support/memory_file.h: the content of a file of MemoryEnv, what a crash may undo of it, and what damage may
// make of it.
#pragma once

#include <cstdint>
#include <map>
#include <random>

#include "base/bytes.h"

namespace hdb::test {

inline constexpr std::uint64_t kSectorBytes = 512;

inline bool coin(std::mt19937_64& random) {
  return (random() & 1) != 0;
}

// Thread-compatible: the disk's mutex guards it.
class MemoryFile {
 public:
  const Buffer& bytes() const { return bytes_; }
  std::uint64_t size() const { return bytes_.size(); }

  void write(std::uint64_t offset, ByteView piece);
  // As a write that failed: a seeded part of its sectors.
  void write_some(std::uint64_t offset, ByteView piece, std::mt19937_64& random);
  void grow(std::uint64_t bytes);
  void truncate(std::uint64_t bytes);

  void sync();
  // Only what lies in [begin, end) is durable.
  void sync_range(std::uint64_t begin, std::uint64_t end);
  // What is not durable yet is lost in a crash, unless it is written again.
  void fail_sync();
  void crash(std::mt19937_64& random);

  // `bytes` bytes from `offset`, zero behind the end.
  Buffer part(std::uint64_t offset, std::uint64_t bytes) const;
  // The same, each sector as it was before it was last changed: zero if it had never been written.
  Buffer stale_part(std::uint64_t offset, std::uint64_t bytes) const;
  // Changes what is there as damage does: it stays, and no write is known of.
  void damage(std::uint64_t offset, ByteView content);

 private:
  struct Unsynced {
    Buffer before;         // the durable bytes; what is missing of a whole sector is zero
    bool is_lost = false;  // a sync of it failed: a crash restores `before`
  };

  ByteView present(std::uint64_t sector) const;
  void remember(std::uint64_t sector);

  Buffer bytes_;
  std::uint64_t synced_bytes_ = 0;
  std::map<std::uint64_t, Unsynced> unsynced_;  // by sector
  std::map<std::uint64_t, Buffer> previous_;    // by sector: what it held before the last write, if not only zeros
};

}  // namespace hdb::test
