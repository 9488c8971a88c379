// memtable/event_columns.h: the events of a memtable by position: a pointer to each record, and the few fixed columns
// that let a query skip most of them.
//
// Texts are columns of 32-bit hashes, so adding an event costs no dictionary and scanning one is a loop over numbers.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/batch.h"
#include "base/checksum.h"
#include "base/mutex.h"
#include "base/postings.h"
#include "base/record.h"

namespace hdb {

// The hash of a text in its column.
inline std::uint32_t column_hash(std::string_view text) noexcept {
  return static_cast<std::uint32_t>(hash64(as_bytes(text)));
}

// What to look for in the columns: an event matches if every non-empty part does. Texts are given as column_hash().
struct ColumnFilter {
  std::vector<std::uint32_t> types{};     // any of them
  std::vector<std::uint32_t> entities{};  // any of them
  std::vector<std::uint32_t> hosts{};     // any of them
  std::vector<std::uint32_t> tags_any{};  // at least one of them
  std::vector<std::uint32_t> tags_all{};  // each of them
  TimeRange time{};
  TimeRange commit_time{};
};

// Thread-safe: distinct positions may be added at once. Reads may only be for positions whose add happened before them.
class EventColumns {
 public:
  static constexpr std::size_t kChunkEvents = 4096;
  // What an event takes beside its record and its tags' hashes.
  static constexpr std::size_t kBytesPerEvent = 52;

  // Tag hashes go to `arena`, which must outlive this.
  EventColumns(Arena& arena, Position position_begin) noexcept : arena_(arena), position_begin_(position_begin) {}
  ~EventColumns();
  EventColumns(const EventColumns&) = delete;
  EventColumns& operator=(const EventColumns&) = delete;

  Position position_begin() const noexcept { return position_begin_; }

  // Adds the events of a batch, which must outlive this, at consecutive positions. Returns the memory it took.
  std::size_t add(const BatchView& batch, Position first_position, Timestamp commit_time);

  RecordView record(Position position) const noexcept;
  Timestamp commit_time(Position position) const noexcept;

  // As MemTable::candidates.
  PositionSet candidates(const ColumnFilter& filter, Position begin, Position end) const;

 private:
  struct Chunk;
  // Segment s of the directory holds 2^s chunk pointers, so any number of chunks is found in two loads and nothing a
  // reader holds ever moves.
  static constexpr std::size_t kSegments = 32;
  using Slot = std::atomic<Chunk*>;

  const Chunk& chunk_of(Position position) const noexcept;
  Chunk& make_chunk(std::uint64_t number);

  Arena& arena_;
  const Position position_begin_;
  Mutex growing_;  // held to add a segment or a chunk; never by readers
  // Stored with release under growing_, loaded with acquire by all.
  std::array<std::atomic<Slot*>, kSegments> segments_{};
};

}  // namespace hdb
