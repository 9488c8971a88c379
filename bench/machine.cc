#include "bench/machine.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <system_error>
#include <vector>

#include "base/bytes.h"
#include "io/env.h"

namespace hdb::bench {

namespace {

constexpr std::size_t kSyncs = 100;
constexpr std::size_t kSyncBytes = 4096;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

// The value after `name` in a file of "name: value" lines; 0 if absent.
std::uint64_t proc_value(const char* file, std::string_view name) {
  std::ifstream stream(file);
  std::string key;
  std::uint64_t value = 0;
  while (stream >> key >> value) {
    if (key == name) return value;
  }
  return 0;
}

}  // namespace

std::string cpu_model() {
  std::ifstream stream("/proc/cpuinfo");
  std::string line;
  while (std::getline(stream, line)) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

Result<double> device_sync_p50_us(const std::filesystem::path& directory) {
  const ScratchDirectory scratch = HDB_TRY(ScratchDirectory::create(directory, "sync"));
  const auto file = HDB_TRY(posix_env().create_log((scratch.path() / "calibration").string()));
  HDB_TRY(file->prepare(kSyncs * kSyncBytes));
  HDB_TRY(file->sync());
  const Buffer block(kSyncBytes, std::byte{0x5a});
  const std::array<ByteView, 1> pieces = {bytes_of(block)};
  std::vector<double> latencies_us;
  for (std::size_t sync = 0; sync < kSyncs; ++sync) {
    const auto begin = std::chrono::steady_clock::now();
    const LogFile::Ticket ticket = HDB_TRY(file->submit(sync * kSyncBytes, pieces, true));
    HDB_TRY(file->wait(ticket));
    const std::chrono::duration<double, std::micro> latency = std::chrono::steady_clock::now() - begin;
    latencies_us.push_back(latency.count());
  }
  HDB_TRY(file->close());
  std::nth_element(latencies_us.begin(), latencies_us.begin() + kSyncs / 2, latencies_us.end());
  return latencies_us[kSyncs / 2];
}

ProcessCounters process_counters() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  ProcessCounters counters;
  counters.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  counters.peak_rss_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  counters.bytes_written = proc_value("/proc/self/io", "write_bytes:");
  if (counters.bytes_written == 0) counters.bytes_written = proc_value("/proc/self/io", "wchar:");
  return counters;
}

double thread_cpu_s() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

Result<ScratchDirectory> ScratchDirectory::create(const std::filesystem::path& parent, const std::string& name) {
  std::error_code error;
  // As a whole path: what is removed later goes up from it until there.
  const std::filesystem::path place =
      std::filesystem::weakly_canonical(std::filesystem::absolute(parent, error), error);
  if (error) return Status::io_error(parent.string() + ": " + error.message() + "; choose a writable --dir");
  std::filesystem::path topmost;
  for (auto missing = place; !std::filesystem::exists(missing, error); missing = missing.parent_path()) {
    topmost = missing;
  }
  std::filesystem::create_directories(place, error);
  const std::filesystem::path path = place / ("hdb-bench-" + std::to_string(::getpid()) + "-" + name);
  if (!error && !std::filesystem::create_directory(path, error) && !error) {
    return Status::io_error(path.string() + " exists; remove it or choose another --dir");
  }
  if (error) return Status::io_error(path.string() + ": " + error.message() + "; choose a writable --dir");
  return ScratchDirectory(path, topmost.empty() ? path : topmost);
}

ScratchDirectory::~ScratchDirectory() {
  if (path_.empty()) return;
  std::error_code error;  // what cannot be removed stays: it is scratch
  std::filesystem::remove_all(path_, error);
  // Directories made on the way go too, unless somebody else has put something there.
  for (auto folder = path_.parent_path(); topmost_ != path_ && !folder.empty(); folder = folder.parent_path()) {
    if (!std::filesystem::remove(folder, error) || error || folder == topmost_) break;
  }
}

std::uint64_t directory_bytes(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, error)) {
    struct stat attributes;
    if (!entry.is_regular_file(error) || ::stat(entry.path().c_str(), &attributes) != 0) continue;
    constexpr std::uint64_t kStatBlockBytes = 512;
    // A sparse file holds less than its size, a file with its last block cut off more.
    bytes += std::min(static_cast<std::uint64_t>(attributes.st_size),
                      static_cast<std::uint64_t>(attributes.st_blocks) * kStatBlockBytes);
  }
  return bytes;
}

}  // namespace hdb::bench
