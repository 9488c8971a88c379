#include "engine/reserve.h"

#include "base/seeded_defect.h"
#include "engine/ready_errors.h"
#include "io/file_name.h"

namespace hdb {

Reserve::Reserve(Env& env, const std::string& store, std::uint64_t bytes)
    : env_(env), path_(reserve_path(store)), bytes_(bytes), is_held_(bytes == 0) {}

Status Reserve::prepare() {
  std::unique_ptr<LogFile> file;
  if (HDB_TRY(env_.exists(path_))) {
    file = HDB_TRY(env_.open_log(path_));
  } else {
    file = HDB_TRY(env_.create_log(path_));
  }
  HDB_TRY(file->prepare(bytes_));
  return file->close();
}

Status Reserve::take() noexcept {
  if (is_held()) return {};
  MutexLock lock(mutex_);
  Status taken;
  try {
    taken = prepare();
  } catch (...) {
    taken = out_of_memory();
  }
  is_held_.store(taken.ok(), std::memory_order_relaxed);
  return taken;
}

bool Reserve::release() noexcept {
  if (bytes_ == 0 || HDB_SEEDED(flush_without_the_kept_space)) return false;
  MutexLock lock(mutex_);
  is_held_.store(false, std::memory_order_relaxed);
  return without_exceptions([this] { return env_.remove(path_); }).ok();
}

void Reserve::remove() noexcept {
  if (bytes_ > 0) release();
}

}  // namespace hdb
