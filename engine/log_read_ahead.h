// engine/log_read_ahead.h: reads and checks the log in the background, while its owner applies the groups before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <vector>

#include <hdb/status.h>

#include "base/mutex.h"
#include "engine/background.h"
#include "wal/reader.h"

namespace hdb {

// Holds at most 2 * kAheadBytes of groups, and two groups over that, however large. Single-owner.
class LogReadAhead {
 public:
  // Both must outlive it. `reader` is used by nobody else meanwhile, and by its owner again afterwards.
  LogReadAhead(Background& background, wal::GroupReader& reader) noexcept;
  // Waits for the task that reads.
  ~LogReadAhead();
  LogReadAhead(const LogReadAhead&) = delete;
  LogReadAhead& operator=(const LogReadAhead&) = delete;

  // As GroupReader::next(): an error comes behind all groups before it. Rethrows what the task threw.
  Result<std::optional<wal::Group>> next() HDB_EXCLUDES(mutex_);

 private:
  static constexpr std::uint64_t kAheadBytes = 4u << 20;
  // Handed over at once: the owner is not woken for each of many small groups.
  static constexpr std::uint64_t kPieceBytes = 256u << 10;

  void take_all() HDB_EXCLUDES(mutex_);
  void read_ahead() noexcept HDB_EXCLUDES(mutex_);
  bool read_piece() HDB_EXCLUDES(mutex_);
  std::uint64_t advance_to(LogPoint end);

  Background& background_;
  wal::GroupReader& reader_;       // of the task while is_reading_
  LogPoint read_end_;              // likewise
  std::vector<wal::Group> taken_;  // the owner's; those below next_ are given out
  std::size_t next_ = 0;

  Mutex mutex_;
  CondVar signal_;  // the task has handed over groups, or has ended
  std::vector<wal::Group> read_ HDB_GUARDED_BY(mutex_);
  std::uint64_t read_bytes_ HDB_GUARDED_BY(mutex_) = 0;  // of the log, in read_
  bool is_reading_ HDB_GUARDED_BY(mutex_) = false;       // a task is there
  bool is_ended_ HDB_GUARDED_BY(mutex_) = false;         // nothing is to be read any more
  Status status_ HDB_GUARDED_BY(mutex_);                 // what ended it
  std::exception_ptr thrown_ HDB_GUARDED_BY(mutex_);     // what ended it
};

}  // namespace hdb
