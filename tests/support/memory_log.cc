#include "tests/support/memory_log.h"

#include <utility>

namespace hdb::test {

Result<std::uint64_t> MemoryLog::prepare(std::uint64_t bytes) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(generation_, path_, "prepare"));
  const std::uint64_t more = bytes > file_->size() ? bytes - file_->size() : 0;
  HDB_TRY(disk_->claim(path_, more));
  file_->grow(bytes);
  return more;
}

Status MemoryLog::zero(std::uint64_t begin, std::uint64_t end) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(generation_, path_, "write zeros"));
  HDB_CHECK(begin <= end && end <= file_->size());
  file_->write(begin, Buffer(end - begin));
  const Status status = disk_->begin(generation_, path_, "sync");
  if (status.ok()) {
    file_->sync();
  } else if (disk_->reaches(generation_)) {
    file_->fail_sync();
  }
  return status.ok() ? status : Status::io_error(std::string(status.message()));
}

Result<LogFile::Ticket> MemoryLog::submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(generation_, path_, "write"));
  Write write{.begin = offset, .bytes = {}, .pieces = {pieces.begin(), pieces.end()}};
  write.is_durable = is_durable;
  write.thread = std::this_thread::get_id();
  HDB_CHECK(writes_.empty() || writes_.begin()->second.thread == write.thread);
  constexpr std::uint64_t kBlockBytes = 4096;
  for (const ByteView piece : pieces) append(write.bytes, piece);
  HDB_CHECK(offset <= file_->size() && write.bytes.size() <= file_->size() - offset);

  const MemoryDisk::Completion completion = disk_->next_completion();
  const ByteView bytes = write.bytes;
  std::mt19937_64 random(completion.seed);
  write.written = bytes.size();
  if (!completion.is_faulty || bytes.empty()) {
    file_->write(offset, bytes);
    const std::uint64_t end = offset + bytes.size();
    const std::uint64_t block_end = (end + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
    if (is_durable && offset % kBlockBytes == 0 && block_end <= file_->size()) {
      // As a device that takes whole blocks: what the writer had there is gone.
      file_->write(end, Buffer(block_end - end));
      write.padding = block_end - end;
    }
  } else if (completion.fault == LogFault::kFailed) {
    disk_->count(Fault::kFailedCompletion);
    write.is_failed = true;
    file_->write_some(offset, bytes, random);
  } else {
    disk_->count(Fault::kShortCompletion);
    write.written = random() % bytes.size();
    file_->write(offset, bytes.first(write.written));
  }
  writes_.emplace(++last_ticket_, std::move(write));
  return last_ticket_;
}

// It is done with: what was to be durable is, unless it failed.
void MemoryLog::complete(Write& write) {
  write.is_complete = true;
  if (!write.is_durable || !disk_->reaches(generation_)) return;
  if (write.is_failed) {
    file_->fail_sync();
  } else {
    file_->sync_range(write.begin, write.begin + write.written + write.padding);
  }
}

Result<std::uint64_t> MemoryLog::wait(Ticket ticket) {
  const MutexLock lock(disk_->entered());
  const auto found = writes_.find(ticket);
  HDB_CHECK(found != writes_.end() && found->second.thread == std::this_thread::get_id());
  if (disk_->is_reordering_) {
    for (auto& [other, write] : writes_) {
      if (other == ticket || write.is_complete || disk_->order_() % 2 == 0) continue;
      disk_->count(Fault::kReorderedCompletion);
      complete(write);
    }
  }
  Write write = std::move(found->second);
  writes_.erase(found);
  Buffer now;
  for (const ByteView piece : write.pieces) append(now, piece);
  HDB_CHECK(equal_bytes(now, write.bytes));  // a device reads the pieces at any time until now

  const Status status = disk_->begin(generation_, path_, "write");
  if (!status.ok()) write.is_failed = true;
  if (!write.is_complete) complete(write);
  HDB_TRY(Status(status));
  if (write.is_failed) return Status::io_error(path_ + ": write: injected failure of its completion");
  return write.written;
}

Status MemoryLog::sync() {
  const MutexLock lock(disk_->entered());
  const Status status = disk_->begin(generation_, path_, "sync");
  if (status.ok()) {
    file_->sync();
  } else if (disk_->reaches(generation_)) {
    file_->fail_sync();
  }
  return status;
}

Status MemoryLog::truncate(std::uint64_t bytes) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(generation_, path_, "truncate"));
  if (bytes > file_->size()) {
    file_->grow(bytes);
  } else {
    file_->truncate(bytes);
  }
  return {};
}

Status MemoryLog::close() {
  const MutexLock lock(disk_->entered());
  return disk_->begin(generation_, path_, "close");
}

}  // namespace hdb::test
