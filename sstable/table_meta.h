// sstable/table_meta.h: what the store knows about a table without opening it.
#pragma once

#include <cstdint>

#include <hdb/event.h>

#include "base/bytes.h"
#include "base/ids.h"

namespace hdb::sstable {

enum class TableKind : std::uint8_t {  // on disk: append, never renumber
  kEvents = 1,
  kKeys = 2,
};

// Both builders return one from finish(); the manifest keeps it. Fields of the other kind are zero or empty.
struct TableMeta {
  FileNumber number;
  TableKind kind = TableKind::kEvents;
  std::uint64_t file_bytes = 0;
  std::uint64_t entry_count = 0;  // events, or versions of keys; never 0

  // Events: all positions in [begin, end), which hold entry_count events; times are inclusive on both sides.
  Position position_begin = 0;
  Position position_end = 0;
  Timestamp time_min{};
  Timestamp time_max{};
  Timestamp commit_time_min{};
  Timestamp commit_time_max{};

  // Keys: stored keys and sequences, inclusive on both sides.
  SequenceNumber sequence_min;
  SequenceNumber sequence_max;
  Buffer smallest_key;
  Buffer largest_key;

  friend bool operator==(const TableMeta&, const TableMeta&) = default;
};

// What of an event is indexed in its table. kCallerId only inside sstable: see EventTable::find_id.
enum class Attribute : std::uint8_t {  // on disk: append, never renumber
  kType = 1,
  kEntity = 2,
  kHost = 3,
  kTag = 4,
  kCallerId = 5,
};
inline constexpr std::size_t kAttributes = 5;

}  // namespace hdb::sstable
