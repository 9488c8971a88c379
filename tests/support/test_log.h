// tests/support/test_log.h: a write-ahead log in memory, driven as the engine drives it, and what it should hold.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/memory_env.h"
#include "wal/format.h"
#include "wal/reader.h"
#include "wal/writer.h"

namespace hdb::wal {

inline const std::string kStore = "store";
inline constexpr StoreId kStoreId = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

struct Logged {
  LogPoint begin;
  LogPoint end;
  SequenceNumber first_sequence;
  Position first_position = 0;
  Timestamp commit_time{};
  std::vector<Buffer> batches;

  // But `begin`, which only a reader knows.
  friend bool operator==(const Logged& a, const Logged& b) {
    return a.end == b.end && a.first_sequence == b.first_sequence && a.first_position == b.first_position &&
           a.commit_time == b.commit_time && a.batches == b.batches;
  }
};

// Two events or fewer, one change or none, with at most that many bytes of payload each.
Buffer random_batch(std::mt19937_64& random, std::size_t payload_bytes_max);

// A log as the engine drives it, with the model of what it holds. Single-owner.
class TestLog {
 public:
  explicit TestLog(std::uint64_t segment_bytes);

  ReplayStart from_floor() const { return {kStoreId, Epoch(epoch_), floor, SequenceNumber(1), 0}; }

  // As the engine opens: replay, cut, a segment of a new epoch, vouched for.
  Status open();

  Result<ReplayEnd> replay_into(const ReplayStart& start, std::vector<Logged>& seen);

  Status append(std::vector<Buffer> batches, bool is_durable);
  Status append_random(std::mt19937_64& random, bool is_durable, std::size_t payload_bytes_max = 300);
  Status sync();

  std::string path(std::uint64_t segment) const;
  // Of a segment's file.
  Buffer content(std::uint64_t segment);
  void overwrite(std::uint64_t segment, ByteView content);

  test::MemoryEnv env;
  std::unique_ptr<Writer> writer;
  LogPoint floor;
  SequenceNumber next_sequence{1};
  Position next_position = 0;
  std::vector<Logged> groups;      // acknowledged
  std::size_t durable_groups = 0;  // of these
  std::optional<Logged> in_doubt;  // its append failed

 private:
  const std::uint64_t segment_bytes_;
  std::uint64_t epoch_ = 0;
  std::int64_t time_ = 0;
};

bool is_prefix(const std::vector<Logged>& prefix, const std::vector<Logged>& of);

// Three durable groups in one segment, without a mark.
void write_three_durable(TestLog& log);

bool contains(std::string_view text, std::string_view part);

}  // namespace hdb::wal
