// io/locked_env.h: an Env for the files of a directory that is locked.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "io/env.h"

namespace hdb {

// Passes everything on, but changes nothing where only reading was asked for, nor while its lock is not in its place:
// the directory was moved, removed or replaced, or the lock's file was removed, and what has the names of our files now
// may be another's. Thread-safe.
class LockedEnv final : public Env {
 public:
  explicit LockedEnv(Env& env) noexcept : env_(env) {}

  // Until then everything may be changed. Once.
  Status take_lock(const std::string& path) HDB_EXCLUDES(mutex_);
  // To read only: without a lock where there is no file to lock.
  Status take_lock_read_only(const std::string& path) HDB_EXCLUDES(mutex_);
  // Whether files may be changed: kIoError if the lock is not in its place any more.
  Status check_lock() const HDB_EXCLUDES(mutex_);
  // From now on nothing may be changed.
  void release_lock() noexcept HDB_EXCLUDES(mutex_);
  // In a forked child, whose parent has the lock: keeps it.
  void abandon_lock() noexcept HDB_NO_THREAD_SAFETY_ANALYSIS;

  using Env::create;
  Result<std::unique_ptr<WritableFile>> create(const std::string& path, FileWrites writes) override;
  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override { return env_.open(path); }
  using Env::create_log;
  Result<std::unique_ptr<LogFile>> create_log(const std::string& path, LogWrites writes) override;
  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override { return env_.list(directory); }
  Result<bool> exists(const std::string& path) override { return env_.exists(path); }
  Result<std::uint64_t> file_bytes(const std::string& path) override { return env_.file_bytes(path); }
  Status create_directory(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status link(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status sync_file(const std::string& path) override { return env_.sync_file(path); }
  Status sync_directory(const std::string& directory) override { return env_.sync_directory(directory); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return env_.lock(path); }
  Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) override {
    return env_.lock_read_only(path);
  }
  Result<bool> is_within(const std::string& path, const std::string& directory) override {
    return env_.is_within(path, directory);
  }

 private:
  Env& env_;
  mutable Mutex mutex_;
  std::unique_ptr<FileLock> lock_ HDB_GUARDED_BY(mutex_);
  // Why nothing may be changed, whatever the lock; OK: no such reason.
  Status refusal_ HDB_GUARDED_BY(mutex_);
  bool is_released_ HDB_GUARDED_BY(mutex_) = false;
};

}  // namespace hdb
