// tests/support/memory_env.h: a disk in memory that can lose power, fail and fill up.
//
// What a crash may leave of a file or directory entry:
//   file data      as last synced, plus any part of what was written since, by 512-byte sector
//   file size      as last synced, as it is, or between
//   entries        as their directory was last synced, plus any of the creates, renames and removes since
//   directories    all of them: Env makes them durably
// After a failed sync, what it should have made durable is lost in a crash unless it is written again: so it is with
// kernels that drop dirty pages they could not write.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/env.h"

namespace hdb::test {

// Thread-safe. Handles may outlive it.
class MemoryEnv final : public Env {
 public:
  MemoryEnv();
  ~MemoryEnv() override;

  // Power loss, and the machine is up again. `seed` chooses what survives, as said above. Handles opened before only
  // fail from now on, locks are free, and no fault is pending.
  void crash(std::uint64_t seed);

  // Every call of Env and of its files that can fail is an operation, reads too. They are numbered from 0; this is the
  // number of the next one. Unchanged by crash().
  std::uint64_t operations() const;

  // Operation `number` fails with `error`; of an append, half is written.
  void fail_at(std::uint64_t number, Status error = Status::io_error("injected fault"));
  // Every operation from `number` on fails with `error`.
  void fail_from(std::uint64_t number, Status error = Status::io_error("injected fault"));
  // From operation `number` on everything fails and nothing changes: the machine is dead until crash() revives it.
  void crash_at(std::uint64_t number);
  // No fault is pending any more.
  void heal();

  // What would take all files together over `bytes` fails with kNoSpace. Unlimited at first.
  void limit_bytes(std::uint64_t bytes);
  std::uint64_t bytes_used() const;

  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override;
  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override;
  Result<std::unique_ptr<LogFile>> create_log(const std::string& path) override;
  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::uint64_t> file_bytes(const std::string& path) override;
  Status create_directory(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status link(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_directory(const std::string& directory) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;

 private:
  class Disk;
  class Reader;
  class Writer;
  class Log;
  class Lock;

  std::shared_ptr<Disk> disk_;  // shared with the handles
};

}  // namespace hdb::test
