// tests/support/gated_env.h: a disk that stands still for as long as a test wants, and goes on as if nothing had been.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "io/env.h"

namespace hdb::test {

// What stands still.
enum class Gate : std::uint8_t {
  kLog,     // writes to log files, syncs of them too
  kTables,  // writes to table files
};

// Files of another Env, behind gates, which are open at first. Thread-safe; must outlive its files.
class GatedEnv final : public Env {
 public:
  explicit GatedEnv(Env& env) noexcept : env_(env) {}

  // Whoever comes to the gate waits there until it is released.
  void hold(Gate gate);
  void release(Gate gate);
  // Waits until a thread waits at the gate.
  void wait_for_held(Gate gate);

  // Of the writes to log files that come from now on, the one of this number, from 0, finds no memory: it throws
  // std::bad_alloc and writes nothing.
  void starve_log_write(std::uint64_t number);
  bool has_starved() const;

  using Env::create;
  Result<std::unique_ptr<WritableFile>> create(const std::string& path, FileWrites writes) override;
  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override { return env_.open(path); }
  Result<std::unique_ptr<LogFile>> create_log(const std::string& path, LogWrites writes) override;
  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override { return env_.open_log(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override { return env_.list(directory); }
  Result<bool> exists(const std::string& path) override { return env_.exists(path); }
  Result<std::uint64_t> file_bytes(const std::string& path) override { return env_.file_bytes(path); }
  Status create_directory(const std::string& path) override { return env_.create_directory(path); }
  Status rename(const std::string& from, const std::string& to) override { return env_.rename(from, to); }
  Status link(const std::string& from, const std::string& to) override { return env_.link(from, to); }
  Status remove(const std::string& path) override { return env_.remove(path); }
  Status sync_file(const std::string& path) override { return env_.sync_file(path); }
  Status sync_directory(const std::string& directory) override { return env_.sync_directory(directory); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return env_.lock(path); }
  Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) override {
    return env_.lock_read_only(path);
  }

 private:
  class GatedFile;
  class GatedLog;

  struct State {
    bool is_held = false;
    std::uint64_t waiting = 0;  // threads
  };
  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  void pass(Gate gate);
  void pass_log_write();

  Env& env_;
  mutable Mutex mutex_;
  CondVar signal_;
  std::array<State, 2> gates_ HDB_GUARDED_BY(mutex_);              // by Gate
  std::uint64_t log_writes_left_ HDB_GUARDED_BY(mutex_) = kNever;  // before the one that finds no memory
  bool has_starved_ HDB_GUARDED_BY(mutex_) = false;
};

}  // namespace hdb::test
