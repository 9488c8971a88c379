#include "base/clock.h"

namespace hdb {

namespace {
class SystemClock final : public Clock {
 public:
  Timestamp wall() override { return now(); }
  std::chrono::nanoseconds monotonic() override { return std::chrono::steady_clock::now().time_since_epoch(); }
};
}  // namespace

Timestamp now() noexcept {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

Clock& system_clock() noexcept {
  static SystemClock clock;
  return clock;
}

}  // namespace hdb
