// tests/support/memory_env.h: a disk in memory that can lose power, fail, fill up, lie and be slow.
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
#include "tests/support/faults.h"

namespace hdb::test {

class MemoryDisk;

// What a read of a file may give instead of what was written there last.
enum class ReadFault : std::uint8_t {
  kShort,        // fewer bytes than asked for: by the contract of Env an error, as of a file that ends there
  kFlippedBit,   // one bit of it
  kStale,        // what was there before the last write: of all of it, or of one sector
  kMisdirected,  // what is in another place of the file, or in another file
};

// What may become of a write to the log once it is submitted: wait() tells.
enum class LogFault : std::uint8_t {
  kFailed,  // an error; some of its sectors were written
  kShort,   // fewer bytes than submitted, written from its begin
};

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

  // Reads of files are numbered too, from 0, by themselves; this is the number of the next one. Read `number` meets the
  // fault, in a place that `seed` says. If it stays, later reads meet it too: a write was lost or went astray. Where it
  // changes nothing (a stale block that never changed) it is not counted.
  std::uint64_t reads() const;
  void damage_read(std::uint64_t number, ReadFault fault, std::uint64_t seed, bool stays = false);

  // A bad place of the device: every read of the file at `path` that touches bytes [begin, end) fails, until heal().
  void fail_reads_of(const std::string& path, std::uint64_t begin, std::uint64_t end);

  // The file at `path` may not be opened by who this process is, until heal().
  void deny(const std::string& path);

  // Writes to logs are numbered likewise, when they are submitted.
  std::uint64_t submissions() const;
  void fail_submission(std::uint64_t number, LogFault fault, std::uint64_t seed);
  // From now on what is submitted completes in a seeded order: a later write may be durable while an earlier one is
  // not.
  void reorder_completions(std::uint64_t seed);

  // Before about every `one_in`-th operation the thread gives way to others, or sleeps for up to a millisecond.
  void delay(std::uint64_t seed, std::uint64_t one_in);

  // Since this was made. How often a fault was asked for does not count, only what happened.
  std::uint64_t faults_injected(Fault fault) const;

  // What would take all files together over `bytes` fails with kNoSpace. Unlimited at first.
  void limit_bytes(std::uint64_t bytes);
  std::uint64_t bytes_used() const;

  using Env::create;
  Result<std::unique_ptr<WritableFile>> create(const std::string& path, FileWrites writes) override;
  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override;
  using Env::create_log;
  Result<std::unique_ptr<LogFile>> create_log(const std::string& path, LogWrites writes) override;
  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Result<bool> exists(const std::string& path) override;
  Result<std::uint64_t> file_bytes(const std::string& path) override;
  Status create_directory(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status link(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_file(const std::string& path) override;
  Status sync_directory(const std::string& directory) override;
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) override;

 private:
  std::shared_ptr<MemoryDisk> disk_;  // shared with the handles
};

}  // namespace hdb::test
