// tests/fuzz/target.h: what a fuzzer runs: one target for each decoder of bytes that others may have written.
//
// A target decodes its input and checks what comes out: what was decoded encodes to the same again, what was accepted
// obeys what its header says of it, and an error names the file and the place. What breaks that aborts (HDB_CHECK).
// Where a checksum would turn every mutation away, the input is decoded as it is and with its checksums made right
// (tests/fuzz/repair.h).
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace hdb::fuzz {

struct Target {
  std::string_view name;
  // Whether the input, or what was made of it, was accepted. It must not keep state from one input to the next.
  bool (*run)(ByteView input);
  // Inputs as real encoders write them, the same in each call: the target accepts each of them.
  std::vector<Buffer> (*seeds)();
};

std::span<const Target> all_targets() noexcept;
// Null if there is none of the name.
const Target* find_target(std::string_view name) noexcept;

// The targets of each folder.
std::span<const Target> base_targets() noexcept;
std::span<const Target> wal_targets() noexcept;
std::span<const Target> manifest_targets() noexcept;
std::span<const Target> table_targets() noexcept;
std::span<const Target> engine_targets() noexcept;
std::span<const Target> ingest_targets() noexcept;
std::span<const Target> dump_targets() noexcept;

// Takes an input apart. What is asked for beyond the end is zero, or empty.
class Pieces {
 public:
  explicit Pieces(ByteView input) noexcept : rest_(input) {}

  std::uint8_t byte() noexcept { return rest_.empty() ? 0 : std::to_integer<std::uint8_t>(take(1)[0]); }
  std::uint16_t number() noexcept {
    const std::uint16_t low = byte();
    return static_cast<std::uint16_t>(low | byte() << 8);
  }
  ByteView take(std::size_t count) noexcept {
    const ByteView head = rest_.first(count < rest_.size() ? count : rest_.size());
    rest_ = rest_.subspan(head.size());
    return head;
  }
  // Up to the next zero byte, which is passed over.
  std::string_view text() noexcept {
    const std::string_view all = as_text(rest_);
    const std::string_view head = all.substr(0, all.find('\0'));
    take(head.size() + 1);
    return head;
  }
  ByteView rest() const noexcept { return rest_; }

 private:
  ByteView rest_;
};

inline Buffer copy_of(ByteView bytes) {
  return Buffer(bytes.begin(), bytes.end());
}
inline Buffer copy_of(std::string_view text) {
  return copy_of(as_bytes(text));
}

inline bool contains(std::string_view text, std::string_view part) noexcept {
  return text.find(part) != std::string_view::npos;
}

}  // namespace hdb::fuzz
