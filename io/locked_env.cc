#include "io/locked_env.h"

#include <utility>

#include "base/seeded_defect.h"

namespace hdb {

Status LockedEnv::take_lock(const std::string& path) {
  std::unique_ptr<FileLock> taken = HDB_TRY(env_.lock(path));
  const MutexLock lock(mutex_);
  lock_ = std::move(taken);
  return {};
}

Status LockedEnv::take_lock_read_only(const std::string& path) {
  Status refusal = Status::error(StatusCode::kClosed, path + ": the store was opened to be read only");
  std::unique_ptr<FileLock> taken;
  if (HDB_TRY(env_.exists(path))) taken = HDB_TRY(env_.lock_read_only(path));
  const MutexLock lock(mutex_);
  lock_ = std::move(taken);
  refusal_ = std::move(refusal);
  return {};
}

Status LockedEnv::check_lock() const {
  if (HDB_SEEDED(believe_in_a_lost_lock)) return {};
  const MutexLock lock(mutex_);
  HDB_TRY(Status(refusal_));
  if (is_released_) return Status::error(StatusCode::kClosed, "the store is closed: its files are not ours to change");
  return lock_ == nullptr ? Status() : lock_->check_place();
}

void LockedEnv::release_lock() noexcept {
  const MutexLock lock(mutex_);
  lock_.reset();
  is_released_ = true;
}

// Without the mutex: a thread of the parent's may have had it at the fork.
void LockedEnv::abandon_lock() noexcept {
  static_cast<void>(lock_.release());
}

Result<std::unique_ptr<WritableFile>> LockedEnv::create(const std::string& path, FileWrites writes) {
  HDB_TRY(check_lock());
  return env_.create(path, writes);
}

Result<std::unique_ptr<LogFile>> LockedEnv::create_log(const std::string& path, LogWrites writes) {
  HDB_TRY(check_lock());
  return env_.create_log(path, writes);
}

Result<std::unique_ptr<LogFile>> LockedEnv::open_log(const std::string& path) {
  HDB_TRY(check_lock());
  return env_.open_log(path);
}

Status LockedEnv::create_directory(const std::string& path) {
  HDB_TRY(check_lock());
  return env_.create_directory(path);
}

Status LockedEnv::rename(const std::string& from, const std::string& to) {
  HDB_TRY(check_lock());
  return env_.rename(from, to);
}

Status LockedEnv::link(const std::string& from, const std::string& to) {
  HDB_TRY(check_lock());
  return env_.link(from, to);
}

Status LockedEnv::remove(const std::string& path) {
  HDB_TRY(check_lock());
  return env_.remove(path);
}

}  // namespace hdb
