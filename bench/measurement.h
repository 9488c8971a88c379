// bench/measurement.h: what one run of one engine showed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <type_traits>

#include <hdb/status.h>

namespace hdb::bench {

inline constexpr std::size_t kSeriesPoints = 60;
// The percentiles of the latency plot.
inline constexpr std::array<double, 9> kPercentiles = {1, 10, 25, 50, 75, 90, 99, 99.9, 100};

// Travels from the forked child that ran the engine to its parent through a pipe: trivially copyable.
struct IngestMeasurement {
  std::uint64_t events = 0;
  double events_per_s = 0;          // until the last acknowledgement
  double settled_events_per_s = 0;  // until all is flushed and the store is closed
  double p50_us = 0;                // of one batch
  double p99_us = 0;
  double p999_us = 0;
  double max_us = 0;
  std::uint64_t user_bytes = 0;       // keys and values (records) as handed over
  std::uint64_t bytes_written = 0;    // to the device, until closed: write_bytes of /proc/self/io
  std::uint64_t directory_bytes = 0;  // apparent size of the closed store
  std::uint64_t peak_rss_bytes = 0;   // of the child, before the read-back
  double cpu_s = 0;                   // user and system, of all threads, the generator's too
  double generator_cpu_s = 0;         // the part of cpu_s that made the events
  bool is_verified = false;           // all read back, byte for byte, after a reopen
  double series_step_s = 0;           // events acknowledged per s, over time
  std::array<double, kSeriesPoints> series{};
  std::array<double, kPercentiles.size()> latency_us{};
};
static_assert(std::is_trivially_copyable_v<IngestMeasurement>);

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
