// hdb/batch.h: what one append commits, and what it reports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <hdb/event.h>
#include <hdb/options.h>

namespace hdb {

// A named, ordered map from bytes to bytes. Valid for any engine that has the same store open.
class Keyspace {
 public:
  explicit constexpr Keyspace(std::uint32_t id) noexcept : id_(id) {}
  constexpr std::uint32_t id() const noexcept { return id_; }

 private:
  std::uint32_t id_;
};

// Sets or erases one key. Views, as in Event.
struct KeyValueChange {
  Keyspace keyspace;
  ByteView key;                   // 0..32768 B
  std::optional<ByteView> value;  // at most 16 MiB; absent: erase the key
};

// What one append commits: all of it or nothing, in this order. At most 1,000,000 events and changes, and 256 MiB
// encoded: about the bytes of all texts and payloads, and 64 for each item.
struct Batch {
  std::span<const Event> events{};
  std::span<const KeyValueChange> changes{};
  std::optional<Durability> durability{};  // absent: Options::durability
};

struct AppendResult {
  // An event whose id the store already had, with the same content: it was left out.
  struct Duplicate {
    std::size_t index = 0;  // in Batch::events
    Position position = 0;  // where the store has it
  };
  Position first_position = 0;  // of the events appended; they follow without gaps. The next free one if count is 0
  std::uint64_t count = 0;      // events appended: Batch::events less the duplicates
  std::vector<Duplicate> duplicates{};  // by index
};

}  // namespace hdb
