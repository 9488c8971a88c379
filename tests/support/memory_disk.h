// tests/support/memory_disk.h: the state behind a MemoryEnv and its handles: files, names, and what is to go wrong.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <hdb/status.h>

#include "base/mutex.h"
#include "tests/support/faults.h"
#include "tests/support/memory_env.h"
#include "tests/support/memory_file.h"

namespace hdb::test {

// Thread-safe: whoever calls holds mutex_, and got it by entered(), so that others may run first.
class MemoryDisk {
 public:
  using File = std::shared_ptr<MemoryFile>;

  // The mutex, after a delay if there is to be one now.
  Mutex& entered() HDB_EXCLUDES(mutex_) HDB_ANNOTATION(lock_returned(mutex_));

  // Counts the operation; the fault it meets, if any.
  Status begin(const std::string& path, std::string_view operation) HDB_REQUIRES(mutex_);
  // As begin, of a handle opened in `generation`.
  Status begin(std::uint64_t generation, const std::string& path, std::string_view operation) HDB_REQUIRES(mutex_);
  // As the permissions of the file are.
  Status check_permitted(const std::string& path) HDB_REQUIRES(mutex_);
  bool is_dead() const HDB_REQUIRES(mutex_) { return operations_ > dead_from_; }
  // Whether what a handle does still reaches the files.
  bool reaches(std::uint64_t generation) const HDB_REQUIRES(mutex_) { return generation == generation_ && !is_dead(); }

  // Fills `destination`, or what the damage chosen for this read makes of it.
  Status read(MemoryFile& file, const std::string& path, std::uint64_t offset, MutableBytes destination)
      HDB_REQUIRES(mutex_);

  struct DamagedRead {
    ReadFault fault;
    std::uint64_t seed;
    bool stays;
  };

  // Bytes [begin, end) of a file that the device will not give.
  struct BadPlace {
    std::string path;
    std::uint64_t begin;
    std::uint64_t end;
  };

  // What is to become of the submission that begins now.
  struct Completion {
    bool is_faulty = false;
    LogFault fault{};
    std::uint64_t seed = 0;
  };
  Completion next_completion() HDB_REQUIRES(mutex_);

  // kNoSpace if `more` bytes do not fit.
  Status claim(const std::string& path, std::uint64_t more) HDB_REQUIRES(mutex_);
  std::uint64_t bytes_used() const HDB_REQUIRES(mutex_);
  std::uint64_t room() const HDB_REQUIRES(mutex_) { return bytes_max_ - std::min(bytes_max_, bytes_used()); }

  Result<File> find(const std::string& path) const HDB_REQUIRES(mutex_);
  Status check_directory(const std::string& directory) const HDB_REQUIRES(mutex_);
  bool is_directory(const std::string& path) const HDB_REQUIRES(mutex_);
  Result<File> make_file(const std::string& path) HDB_REQUIRES(mutex_);

  // One create, rename or remove: all of it survives a crash or nothing.
  struct EntryChange {
    std::string directory;
    std::vector<std::pair<std::string, File>> entries;  // null: the path is free
  };
  void change(EntryChange change) HDB_REQUIRES(mutex_);
  void sync_entries(const std::string& directory) HDB_REQUIRES(mutex_);

  void crash(std::uint64_t seed) HDB_REQUIRES(mutex_);
  void heal() HDB_REQUIRES(mutex_);
  void count(Fault fault) HDB_REQUIRES(mutex_);

  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  Mutex mutex_;
  std::uint64_t operations_ HDB_GUARDED_BY(mutex_) = 0;
  std::uint64_t reads_ HDB_GUARDED_BY(mutex_) = 0;
  std::uint64_t submissions_ HDB_GUARDED_BY(mutex_) = 0;
  std::uint64_t generation_ HDB_GUARDED_BY(mutex_) = 0;  // crashes so far
  FaultCounts injected_ HDB_GUARDED_BY(mutex_);

  std::map<std::uint64_t, Status> fail_at_ HDB_GUARDED_BY(mutex_);
  std::uint64_t fail_from_ HDB_GUARDED_BY(mutex_) = kNever;
  Status fail_from_error_ HDB_GUARDED_BY(mutex_);
  std::uint64_t dead_from_ HDB_GUARDED_BY(mutex_) = kNever;
  std::uint64_t bytes_max_ HDB_GUARDED_BY(mutex_) = kNever;
  std::map<std::uint64_t, DamagedRead> damaged_reads_ HDB_GUARDED_BY(mutex_);
  std::vector<BadPlace> bad_places_ HDB_GUARDED_BY(mutex_);
  std::set<std::string> denied_ HDB_GUARDED_BY(mutex_);  // paths
  std::map<std::uint64_t, std::pair<LogFault, std::uint64_t>> faulty_submissions_ HDB_GUARDED_BY(mutex_);
  bool is_reordering_ HDB_GUARDED_BY(mutex_) = false;
  std::mt19937_64 order_ HDB_GUARDED_BY(mutex_);
  std::uint64_t delay_one_in_ HDB_GUARDED_BY(mutex_) = 0;  // 0: never
  std::mt19937_64 delays_ HDB_GUARDED_BY(mutex_);

  std::map<std::string, File> live_ HDB_GUARDED_BY(mutex_);
  std::set<std::string> directories_ HDB_GUARDED_BY(mutex_);
  std::set<std::string> locked_ HDB_GUARDED_BY(mutex_);

 private:
  static void apply(const EntryChange& change, std::map<std::string, File>& entries);
  Buffer damaged(const MemoryFile& file, std::uint64_t offset, ByteView sound, ReadFault fault, std::mt19937_64& random)
      HDB_REQUIRES(mutex_);

  std::map<std::string, File> durable_ HDB_GUARDED_BY(mutex_);
  std::vector<EntryChange> pending_ HDB_GUARDED_BY(mutex_);  // since their directories were synced
};

}  // namespace hdb::test
