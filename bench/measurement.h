// bench/measurement.h: what one run of one engine showed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#include <hdb/status.h>

namespace hdb::bench {

// Travels from the forked child that ran the engine to its parent through a pipe: trivially copyable.
struct SpaceMeasurement {
  std::uint64_t events = 0;
  std::uint64_t table_bytes = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t manifest_bytes = 0;  // and CURRENT
  std::uint64_t other_bytes = 0;
  std::uint64_t peak_rss_bytes = 0;
  double cpu_s = 0;
  bool is_verified = false;

  std::uint64_t directory_bytes() const { return table_bytes + log_bytes + manifest_bytes + other_bytes; }
};
static_assert(std::is_trivially_copyable_v<SpaceMeasurement>);

// Runs `work` in a forked child, so that peak memory, CPU and written bytes are the engine's own and a crash is its
// own too. `work` fills the `bytes` at `measurement`. Call while this process has one thread.
Status run_in_child(const std::function<Status()>& work, void* measurement, std::size_t bytes);

// Runs `work` in a forked child that kills itself by SIGKILL as soon as `work` is OK, with everything it then has open.
// Call while this process has one thread.
Status run_in_killed_child(const std::function<Status()>& work);

template <typename Measurement>
Result<Measurement> measure_in_child(const std::function<Result<Measurement>()>& work) {
  static_assert(std::is_trivially_copyable_v<Measurement>);
  Measurement measurement;
  const auto fill = [&]() -> Status {
    measurement = HDB_TRY(work());
    return {};
  };
  HDB_TRY(run_in_child(fill, &measurement, sizeof measurement));
  return measurement;
}

}  // namespace hdb::bench
