#include "engine/log_read_ahead.h"

#include <iterator>
#include <utility>

namespace hdb {

LogReadAhead::LogReadAhead(Background& background, wal::GroupReader& reader) noexcept
    : background_(background), reader_(reader) {}

LogReadAhead::~LogReadAhead() {
  MutexLock lock(mutex_);
  is_ended_ = true;
  while (is_reading_) background_.wait(mutex_, signal_);
}

Result<std::optional<wal::Group>> LogReadAhead::next() {
  if (next_ == taken_.size()) take_all();
  if (next_ < taken_.size()) return std::optional<wal::Group>(std::move(taken_[next_++]));
  MutexLock lock(mutex_);
  if (thrown_ != nullptr) std::rethrow_exception(thrown_);
  if (!status_.ok()) return status_;
  return std::optional<wal::Group>();
}

// Waits for groups, or for the end, and lets the task read on.
void LogReadAhead::take_all() {
  taken_.clear();
  next_ = 0;
  MutexLock lock(mutex_);
  while (true) {
    taken_.swap(read_);
    read_bytes_ = 0;
    if (!is_reading_ && !is_ended_) {
      background_.submit(Background::Priority::kFlush, [this] { read_ahead(); });
      is_reading_ = true;
    }
    if (!taken_.empty() || !is_reading_) return;
    background_.wait(mutex_, signal_);
  }
}

// The task: reads until enough is ahead.
void LogReadAhead::read_ahead() noexcept {
  std::exception_ptr thrown;
  try {
    while (read_piece()) {
    }
  } catch (...) {
    thrown = std::current_exception();
  }
  MutexLock lock(mutex_);
  if (thrown != nullptr) {
    is_ended_ = true;
    thrown_ = std::move(thrown);
  }
  is_reading_ = false;
  signal_.notify_one();
}

// Bytes of the log from the last group's end on, those that groups leave unused too: it is read into memory with them.
std::uint64_t LogReadAhead::advance_to(LogPoint end) {
  const std::uint64_t from = end.segment == read_end_.segment ? read_end_.offset : 0;
  read_end_ = end;
  return end.offset - from;
}

// Whether there is room for another one.
bool LogReadAhead::read_piece() {
  {
    MutexLock lock(mutex_);
    if (is_ended_) return false;
  }
  std::vector<wal::Group> piece;
  std::uint64_t bytes = 0;
  Status status;
  bool is_end = false;
  while (bytes < kPieceBytes && !is_end) {
    Result<std::optional<wal::Group>> group = reader_.next();
    is_end = !group.ok() || !group.value();
    if (!group.ok()) {
      status = group.status();
    } else if (group.value()) {
      bytes += advance_to(group.value()->end);
      piece.push_back(std::move(*group.value()));
    }
  }
  MutexLock lock(mutex_);
  read_.insert(read_.end(), std::make_move_iterator(piece.begin()), std::make_move_iterator(piece.end()));
  read_bytes_ += bytes;
  if (is_end) {
    is_ended_ = true;
    status_ = std::move(status);
  }
  signal_.notify_one();
  return !is_end && read_bytes_ < kAheadBytes;
}

}  // namespace hdb
