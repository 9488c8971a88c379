// bench/machine.h: what the figures depend on and what the kernel counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <hdb/status.h>

namespace hdb::bench {

std::string cpu_model();

// Half of 100 writes of 4 KiB, each made durable, took at most this long: the floor of every synced commit in
// `directory`.
Result<double> device_sync_p50_us(const std::filesystem::path& directory);

// Counters of this process, all threads, since its start.
struct ProcessCounters {
  double cpu_s = 0;
  // Pages dirtied on files of a device, as the kernel counts them (write_bytes of /proc/self/io); on file systems that
  // do not count, such as tmpfs, the bytes passed to write calls (wchar).
  std::uint64_t bytes_written = 0;
  std::uint64_t peak_rss_bytes = 0;
};
ProcessCounters process_counters();

// CPU time of the calling thread, in s.
double thread_cpu_s();

// A new directory under `parent` with its content, removed at the end of the object's life. Single-owner.
class ScratchDirectory {
 public:
  static Result<ScratchDirectory> create(const std::filesystem::path& parent, const std::string& name);
  ScratchDirectory(ScratchDirectory&& other) noexcept
      : path_(std::move(other.path_)), topmost_(std::move(other.topmost_)) {
    other.path_.clear();
  }
  ScratchDirectory& operator=(ScratchDirectory&&) = delete;
  ~ScratchDirectory();

  const std::filesystem::path& path() const { return path_; }

 private:
  ScratchDirectory(std::filesystem::path path, std::filesystem::path topmost)
      : path_(std::move(path)), topmost_(std::move(topmost)) {}

  std::filesystem::path path_;     // empty: moved from
  std::filesystem::path topmost_;  // of the directories made for it: path_, or one above
};

// What the files below `directory` hold, summed: of a sparse one its blocks, of others their size.
std::uint64_t directory_bytes(const std::filesystem::path& directory);

}  // namespace hdb::bench
