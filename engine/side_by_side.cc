#include "engine/side_by_side.h"

#include <memory>
#include <optional>
#include <utility>

#include "base/mutex.h"
#include "base/seeded_defect.h"
#include "engine/ready_errors.h"

namespace hdb {

namespace {

// Thread-safe. Shared with tasks that may come when all has ended: they find nothing to begin, and so touch nothing
// that the parts refer to.
class Parts {
 public:
  explicit Parts(std::vector<std::function<Status()>> parts) : parts_(std::move(parts)), statuses_(parts_.size()) {}

  // Runs parts until there is none to begin.
  void run() noexcept HDB_EXCLUDES(mutex_) {
    while (const auto part = begin()) end(*part, without_exceptions([&] { return parts_[*part](); }));
  }

  // What became of them, after run().
  Status wait(Background& background) HDB_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    while (running_ > 0 && !HDB_SEEDED(return_before_all_parts_have_ended)) background.wait(mutex_, ended_);
    for (Status& status : statuses_) HDB_TRY(std::move(status));
    return {};
  }

 private:
  std::optional<std::size_t> begin() noexcept HDB_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (next_ == parts_.size() || has_failed_) return std::nullopt;
    ++running_;
    return next_++;
  }

  void end(std::size_t part, Status status) noexcept HDB_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    has_failed_ = has_failed_ || !status.ok();
    statuses_[part] = std::move(status);
    --running_;
    if (running_ == 0) ended_.notify_all();
  }

  const std::vector<std::function<Status()>> parts_;

  Mutex mutex_;
  CondVar ended_;  // no part runs
  std::size_t next_ HDB_GUARDED_BY(mutex_) = 0;
  std::size_t running_ HDB_GUARDED_BY(mutex_) = 0;
  bool has_failed_ HDB_GUARDED_BY(mutex_) = false;
  std::vector<Status> statuses_ HDB_GUARDED_BY(mutex_);  // of the parts that have ended
};

}  // namespace

Status run_side_by_side(Background& background, Background::Priority priority,
                        std::vector<std::function<Status()>> parts) {
  if (parts.empty()) return {};
  const std::size_t others = parts.size() - 1;
  const auto shared = std::make_shared<Parts>(std::move(parts));
  try {
    for (std::size_t task = 0; task < others; ++task) {
      background.submit(priority, [shared] { shared->run(); });
    }
  } catch (...) {  // no memory for a task: the caller does it all
  }
  shared->run();
  return shared->wait(background);
}

}  // namespace hdb
