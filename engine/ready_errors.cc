#include "engine/ready_errors.h"

namespace hdb {

const Status& out_of_memory() noexcept {
  static const Status status = Status::error(StatusCode::kOutOfMemory, "out of memory");
  return status;
}

const Status& logged_but_not_applied() noexcept {
  static const Status status = Status::error(
      StatusCode::kOutOfMemory, "append: out of memory after the batch was logged: outcome unknown; reopen the store");
  return status;
}

const Status& writes_refused() noexcept {
  static const Status status = Status::error(
      StatusCode::kClosed, "writes are refused after an error; close the store, mend the cause and open it again");
  return status;
}

namespace {
// So that no call of theirs is the first.
[[maybe_unused]] const bool are_ready =
    !out_of_memory().ok() && !logged_but_not_applied().ok() && !writes_refused().ok();
}  // namespace

}  // namespace hdb
