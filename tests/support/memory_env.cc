#include "tests/support/memory_env.h"

#include <algorithm>
#include <utility>

#include "base/mutex.h"
#include "io/file_name.h"
#include "tests/support/memory_disk.h"
#include "tests/support/memory_log.h"

namespace hdb::test {

namespace {

using File = MemoryDisk::File;

class Reader final : public RandomAccessFile {
 public:
  Reader(std::shared_ptr<MemoryDisk> disk, std::uint64_t generation, std::string path, File file, std::uint64_t bytes)
      : disk_(std::move(disk)),
        generation_(generation),
        path_(std::move(path)),
        file_(std::move(file)),
        bytes_(bytes) {}

  Status read(std::uint64_t offset, MutableBytes destination) const override {
    const MutexLock lock(disk_->entered());
    HDB_TRY(disk_->begin(generation_, path_, "read"));
    return disk_->read(*file_, path_, offset, destination);
  }
  void forget_cached() const noexcept override {}
  void start_sync(std::uint64_t, std::uint64_t) const noexcept override {}
  std::uint64_t size_bytes() const noexcept override { return bytes_; }
  const std::string& path() const noexcept override { return path_; }

 private:
  std::shared_ptr<MemoryDisk> disk_;
  std::uint64_t generation_;
  std::string path_;
  File file_;
  std::uint64_t bytes_;
};

class Writer final : public WritableFile {
 public:
  Writer(std::shared_ptr<MemoryDisk> disk, std::uint64_t generation, std::string path, File file)
      : disk_(std::move(disk)), generation_(generation), path_(std::move(path)), file_(std::move(file)) {}

  Status append(std::span<const ByteView> pieces) override {
    Buffer run;
    for (const ByteView piece : pieces) hdb::append(run, piece);
    const MutexLock lock(disk_->entered());
    Status status = disk_->begin(generation_, path_, "append");
    if (status.ok()) status = disk_->claim(path_, run.size());
    if (status.ok()) {
      file_->write(file_->size(), run);
    } else if (disk_->reaches(generation_)) {
      const std::uint64_t room = disk_->room();
      file_->write(file_->size(), ByteView(run).first(std::min<std::uint64_t>(run.size() / 2, room)));
    }
    return status;
  }
  Status sync() override {
    const MutexLock lock(disk_->entered());
    const Status status = disk_->begin(generation_, path_, "sync");
    if (status.ok()) {
      file_->sync();
    } else if (disk_->reaches(generation_)) {
      file_->fail_sync();
    }
    return status;
  }
  Status close() override {
    const MutexLock lock(disk_->entered());
    return disk_->begin(generation_, path_, "close");
  }
  const std::string& path() const noexcept override { return path_; }

 private:
  std::shared_ptr<MemoryDisk> disk_;
  std::uint64_t generation_;
  std::string path_;
  File file_;
};

class Lock final : public FileLock {
 public:
  Lock(std::shared_ptr<MemoryDisk> disk, std::uint64_t generation, std::string path)
      : disk_(std::move(disk)), generation_(generation), path_(std::move(path)) {}
  ~Lock() override {
    const MutexLock lock(disk_->entered());
    if (generation_ == disk_->generation_) disk_->locked_.erase(path_);
  }
  Status check_place() const override {
    const MutexLock lock(disk_->entered());
    if (generation_ != disk_->generation_ || disk_->live_.contains(path_)) return {};
    return Status::io_error(path_ + ": is gone since it was locked; open the store where it is now");
  }

 private:
  std::shared_ptr<MemoryDisk> disk_;
  std::uint64_t generation_;
  std::string path_;
};

Status busy(const std::string& path) {
  return Status::error(StatusCode::kBusy, path + ": an engine in this process has the store open; close it first");
}

}  // namespace

MemoryEnv::MemoryEnv() : disk_(std::make_shared<MemoryDisk>()) {}
MemoryEnv::~MemoryEnv() = default;

void MemoryEnv::crash(std::uint64_t seed) {
  const MutexLock lock(disk_->mutex_);
  disk_->crash(seed);
}

std::uint64_t MemoryEnv::operations() const {
  const MutexLock lock(disk_->mutex_);
  return disk_->operations_;
}

void MemoryEnv::fail_at(std::uint64_t number, Status error) {
  const MutexLock lock(disk_->mutex_);
  disk_->fail_at_.insert_or_assign(number, std::move(error));
}

void MemoryEnv::fail_from(std::uint64_t number, Status error) {
  const MutexLock lock(disk_->mutex_);
  disk_->fail_from_ = number;
  disk_->fail_from_error_ = std::move(error);
}

void MemoryEnv::crash_at(std::uint64_t number) {
  const MutexLock lock(disk_->mutex_);
  disk_->dead_from_ = number;
}

void MemoryEnv::heal() {
  const MutexLock lock(disk_->mutex_);
  disk_->heal();
}

void MemoryEnv::limit_bytes(std::uint64_t bytes) {
  const MutexLock lock(disk_->mutex_);
  disk_->bytes_max_ = bytes;
}

std::uint64_t MemoryEnv::bytes_used() const {
  const MutexLock lock(disk_->mutex_);
  return disk_->bytes_used();
}

std::uint64_t MemoryEnv::reads() const {
  const MutexLock lock(disk_->mutex_);
  return disk_->reads_;
}

void MemoryEnv::damage_read(std::uint64_t number, ReadFault fault, std::uint64_t seed, bool stays) {
  const MutexLock lock(disk_->mutex_);
  disk_->damaged_reads_.insert_or_assign(number, MemoryDisk::DamagedRead{fault, seed, stays});
}

void MemoryEnv::fail_reads_of(const std::string& path, std::uint64_t begin, std::uint64_t end) {
  const MutexLock lock(disk_->mutex_);
  disk_->bad_places_.push_back({path, begin, end});
}

void MemoryEnv::deny(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  disk_->denied_.insert(path);
}

std::uint64_t MemoryEnv::submissions() const {
  const MutexLock lock(disk_->mutex_);
  return disk_->submissions_;
}

void MemoryEnv::fail_submission(std::uint64_t number, LogFault fault, std::uint64_t seed) {
  const MutexLock lock(disk_->mutex_);
  disk_->faulty_submissions_.insert_or_assign(number, std::pair(fault, seed));
}

void MemoryEnv::reorder_completions(std::uint64_t seed) {
  const MutexLock lock(disk_->mutex_);
  disk_->is_reordering_ = true;
  disk_->order_.seed(seed);
}

void MemoryEnv::delay(std::uint64_t seed, std::uint64_t one_in) {
  const MutexLock lock(disk_->mutex_);
  disk_->delays_.seed(seed);
  disk_->delay_one_in_ = one_in;
}

std::uint64_t MemoryEnv::faults_injected(Fault fault) const {
  const MutexLock lock(disk_->mutex_);
  return disk_->injected_[fault];
}

Result<std::unique_ptr<WritableFile>> MemoryEnv::create(const std::string& path, FileWrites) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "create"));
  File file = HDB_TRY(disk_->make_file(path));
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(disk_, disk_->generation_, path, std::move(file)));
}

Result<std::unique_ptr<RandomAccessFile>> MemoryEnv::open(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "open"));
  HDB_TRY(disk_->check_permitted(path));
  File file = HDB_TRY(disk_->find(path));
  const std::uint64_t bytes = file->size();
  return std::unique_ptr<RandomAccessFile>(
      std::make_unique<Reader>(disk_, disk_->generation_, path, std::move(file), bytes));
}

Result<std::unique_ptr<LogFile>> MemoryEnv::create_log(const std::string& path, LogWrites) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "create"));
  if (disk_->live_.contains(path)) return Status::io_error(path + ": create: the file exists");
  File file = HDB_TRY(disk_->make_file(path));
  return std::unique_ptr<LogFile>(std::make_unique<MemoryLog>(disk_, disk_->generation_, path, std::move(file)));
}

Result<std::unique_ptr<LogFile>> MemoryEnv::open_log(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "open"));
  File file = HDB_TRY(disk_->find(path));
  return std::unique_ptr<LogFile>(std::make_unique<MemoryLog>(disk_, disk_->generation_, path, std::move(file)));
}

Result<std::vector<std::string>> MemoryEnv::list(const std::string& directory) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(directory, "list"));
  HDB_TRY(disk_->check_directory(directory));
  std::vector<std::string> names;
  const auto add_child = [&](const std::string& path) {
    if (parent_directory(path) == directory) names.push_back(path.substr(path.rfind('/') + 1));
  };
  for (const auto& entry : disk_->live_) add_child(entry.first);
  for (const std::string& path : disk_->directories_) add_child(path);
  std::sort(names.begin(), names.end());
  return names;
}

Result<bool> MemoryEnv::exists(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "stat"));
  return disk_->live_.contains(path) || disk_->is_directory(path);
}

Result<std::uint64_t> MemoryEnv::file_bytes(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "stat"));
  return HDB_TRY(disk_->find(path))->size();
}

Status MemoryEnv::create_directory(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "create directory"));
  for (std::string at = path; !disk_->is_directory(at); at = parent_directory(at)) {
    if (disk_->live_.contains(at))
      return Status::io_error(at + ": create directory: a file of that name is in the way");
    disk_->directories_.insert(at);
  }
  return {};
}

Status MemoryEnv::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(from, "rename"));
  HDB_CHECK(parent_directory(from) == parent_directory(to));  // HDB moves no file between directories
  File file = HDB_TRY(disk_->find(from));
  disk_->change({parent_directory(to), {{from, nullptr}, {to, std::move(file)}}});
  return {};
}

Status MemoryEnv::link(const std::string& from, const std::string& to) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(from, "link"));
  HDB_TRY(disk_->check_directory(parent_directory(to)));
  if (disk_->live_.contains(to)) return Status::io_error(to + ": link: the file exists");
  File file = HDB_TRY(disk_->find(from));
  disk_->change({parent_directory(to), {{to, std::move(file)}}});
  return {};
}

Status MemoryEnv::remove(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "remove"));
  HDB_TRY(disk_->find(path));
  disk_->change({parent_directory(path), {{path, nullptr}}});
  return {};
}

Status MemoryEnv::sync_file(const std::string& path) {
  const auto file = HDB_TRY(open_log(path));
  return file->sync();
}

Status MemoryEnv::sync_directory(const std::string& directory) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(directory, "sync directory"));
  HDB_TRY(disk_->check_directory(directory));
  disk_->sync_entries(directory);
  return {};
}

Result<std::unique_ptr<FileLock>> MemoryEnv::lock(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "lock"));
  if (!disk_->locked_.insert(path).second) return busy(path);
  if (!disk_->live_.contains(path)) {
    const Result<File> made = disk_->make_file(path);
    if (!made.ok()) {
      disk_->locked_.erase(path);
      return made.status();
    }
  }
  return std::unique_ptr<FileLock>(std::make_unique<Lock>(disk_, disk_->generation_, path));
}

Result<std::unique_ptr<FileLock>> MemoryEnv::lock_read_only(const std::string& path) {
  const MutexLock lock(disk_->entered());
  HDB_TRY(disk_->begin(path, "lock"));
  HDB_TRY(disk_->find(path));
  if (!disk_->locked_.insert(path).second) return busy(path);
  return std::unique_ptr<FileLock>(std::make_unique<Lock>(disk_, disk_->generation_, path));
}

}  // namespace hdb::test
