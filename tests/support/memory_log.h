// tests/support/memory_log.h: a log file of MemoryEnv, and what may go wrong between submitting and waiting.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "io/env.h"
#include "tests/support/memory_disk.h"

namespace hdb::test {

// What is submitted reaches the file at once, as far as it ever does; a durable write is so once it has completed, and
// alone: not what was written before it. Single-owner.
class MemoryLog final : public LogFile {
 public:
  MemoryLog(std::shared_ptr<MemoryDisk> disk, std::uint64_t generation, std::string path, MemoryDisk::File file)
      : disk_(std::move(disk)), generation_(generation), path_(std::move(path)), file_(std::move(file)) {}

  Result<std::uint64_t> prepare(std::uint64_t bytes) override;
  Status zero(std::uint64_t begin, std::uint64_t end) override;
  Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) override;
  Result<std::uint64_t> wait(Ticket ticket) override;
  Status sync() override;
  Status truncate(std::uint64_t bytes) override;
  Status close() override;
  const std::string& path() const noexcept override { return path_; }

 private:
  struct Write {
    std::uint64_t begin = 0;
    Buffer bytes;                  // as submitted
    std::vector<ByteView> pieces;  // the caller's: they must be the same still when it waits
    std::thread::id thread{};      // which submitted it
    std::uint64_t written = 0;     // of the bytes
    std::uint64_t padding = 0;     // zeros behind them
    bool is_durable = false;
    bool is_failed = false;
    bool is_complete = false;
  };

  void complete(Write& write) HDB_REQUIRES(disk_->mutex_);

  std::shared_ptr<MemoryDisk> disk_;
  std::uint64_t generation_;
  std::string path_;
  MemoryDisk::File file_;
  Ticket last_ticket_ = 0;
  std::map<Ticket, Write> writes_;  // not waited for yet
};

}  // namespace hdb::test
