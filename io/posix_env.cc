#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mutex.h"
#include "base/seeded_defect.h"
#include "io/direct_file.h"
#include "io/env.h"
#include "io/file_name.h"
#include "io/posix_file.h"
#include "io/posix_log_file.h"

namespace hdb {

namespace {

constexpr mode_t kDirectoryMode = 0755;  // less the process's umask

// All on it is durable, and some file systems that are never written to refuse to sync.
bool is_read_only_medium(const FileDescriptor& file) noexcept {
  struct statvfs attributes;
  return ::fstatvfs(file.number(), &attributes) == 0 && (attributes.f_flag & ST_RDONLY) != 0;
}

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  PosixRandomAccessFile(FileDescriptor file, std::string path, std::uint64_t bytes) noexcept
      : file_(std::move(file)), path_(std::move(path)), bytes_(bytes) {}

  Status read(std::uint64_t offset, MutableBytes destination) const override {
    std::size_t done = 0;
    while (done < destination.size()) {
      const ssize_t got = uninterrupted([&] {
        return ::pread(file_.number(), destination.data() + done, destination.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return system_error(path_, "read", errno, offset + done);
      if (got == 0) {
        return Status::corruption(path_ + ": ends at byte " + std::to_string(offset + done) + "; " +
                                  std::to_string(destination.size()) + " bytes were expected at byte " +
                                  std::to_string(offset));
      }
      done += static_cast<std::size_t>(got);
      if (HDB_SEEDED(take_a_short_read_for_a_whole_one)) break;
    }
    return {};
  }
  void forget_cached() const noexcept override { ::posix_fadvise(file_.number(), 0, 0, POSIX_FADV_DONTNEED); }
  // Unlike fsync() it takes no error of the device for told.
  void start_sync(std::uint64_t offset, std::uint64_t bytes) const noexcept override {
    static_cast<void>(::sync_file_range(file_.number(), static_cast<off_t>(offset), static_cast<off_t>(bytes),
                                        SYNC_FILE_RANGE_WRITE));
  }
  std::uint64_t size_bytes() const noexcept override { return bytes_; }
  const std::string& path() const noexcept override { return path_; }

 private:
  FileDescriptor file_;
  std::string path_;
  std::uint64_t bytes_;
};

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(FileDescriptor file, std::string path) noexcept : file_(std::move(file)), path_(std::move(path)) {}

  Status append(std::span<const ByteView> pieces) override {
    bytes_ += HDB_TRY(write_at(file_, path_, bytes_, pieces));
    return {};
  }
  Status sync() override { return sync_file(file_, path_); }
  Status close() override { return close_file(file_, path_); }
  const std::string& path() const noexcept override { return path_; }

 private:
  FileDescriptor file_;
  std::string path_;
  std::uint64_t bytes_ = 0;
};

// The locks this process holds, by what the system calls the file. A process's own second lock must be refused too, and
// not every file system's flock does that (over NFS it belongs to the process); there, closing any descriptor of the
// file would even drop the first lock, so the table is asked before the file is opened. Thread-safe.
class LockTable {
 public:
  using FileKey = std::pair<dev_t, ino_t>;

  // `is_read_only`: without creating the file, or noting in it who holds it.
  Result<std::pair<FileDescriptor, FileKey>> acquire(const std::string& path, bool is_read_only) HDB_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    struct stat attributes;
    if (::stat(path.c_str(), &attributes) == 0 && held_.contains({attributes.st_dev, attributes.st_ino})) {
      return Status::error(StatusCode::kBusy, path + ": an engine in this process has the store open; close it first");
    }
    FileDescriptor file = HDB_TRY(open_file(path, (is_read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_NOFOLLOW));
    HDB_TRY(regular_file_bytes(file, path));
    const int kind = is_read_only ? LOCK_SH : LOCK_EX;
    if (!HDB_SEEDED(forget_the_lock) && uninterrupted([&] { return ::flock(file.number(), kind | LOCK_NB); }) != 0) {
      if (errno != EWOULDBLOCK) return system_error(path, "lock", errno);
      return Status::error(StatusCode::kBusy,
                           path + ": another process has the store open" + holder_of(file) + "; close it there first");
    }
    if (::fstat(file.number(), &attributes) != 0) return system_error(path, "stat", errno);
    if (!is_read_only) note_holder(file);
    const FileKey key{attributes.st_dev, attributes.st_ino};
    held_.insert(key);
    return std::pair(std::move(file), key);
  }

  void release(FileDescriptor file, FileKey key) HDB_EXCLUDES(mutex_) {
    const MutexLock lock(mutex_);
    held_.erase(key);
    // No longer of this process, whoever reads it next. A lock to read was not noted, and its file cannot be cut.
    [[maybe_unused]] const int cut = ::ftruncate(file.number(), 0);
    ::flock(file.number(), LOCK_UN);  // closing would not, while a forked child has the file open too
    const FileDescriptor closed_under_the_mutex = std::move(file);
  }

 private:
  // " (process 1234, as the file says)"; empty if it says nothing, or names a process that is gone.
  static std::string holder_of(const FileDescriptor& file) {
    std::array<char, 20> text;
    const ssize_t size = ::pread(file.number(), text.data(), text.size(), 0);
    if (size <= 0) return "";
    const std::string_view all(text.data(), static_cast<std::size_t>(size));
    const std::string_view digits = all.substr(0, all.find_first_not_of("0123456789"));
    pid_t process = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), process);
    return process <= 0 || (::kill(process, 0) != 0 && errno == ESRCH)
               ? ""
               : " (process " + std::string(digits) + ", as the file says)";
  }

  // For the message above. Best effort: the lock holds without it.
  static void note_holder(const FileDescriptor& file) {
    const std::string text = std::to_string(::getpid()) + "\n";
    if (::ftruncate(file.number(), 0) != 0) return;
    [[maybe_unused]] const ssize_t written = ::pwrite(file.number(), text.data(), text.size(), 0);
  }

  Mutex mutex_;
  std::set<FileKey> held_ HDB_GUARDED_BY(mutex_);
};

class PosixFileLock final : public FileLock {
 public:
  explicit PosixFileLock(LockTable& table) noexcept : table_(table) {}
  ~PosixFileLock() override {
    if (held_) table_.release(std::move(held_->first), held_->second);
  }
  // Before anything else, once.
  Status acquire(const std::string& path, bool is_read_only) {
    held_ = HDB_TRY(table_.acquire(path, is_read_only));
    path_ = path;
    return {};
  }

  Status check_place() const override {
    struct stat attributes;
    const bool is_there = ::stat(path_.c_str(), &attributes) == 0;
    if (is_there && LockTable::FileKey{attributes.st_dev, attributes.st_ino} == held_->second) return {};
    if (!is_there && errno != ENOENT && errno != ENOTDIR) return system_error(path_, "stat", errno);
    return Status::io_error(path_ + ": is " + (is_there ? "another file" : "gone") +
                            " since it was locked: the store was moved, removed or replaced while it was open; close "
                            "it, and open it where it is now");
  }

 private:
  LockTable& table_;
  std::string path_;
  std::optional<std::pair<FileDescriptor, LockTable::FileKey>> held_;
};

class PosixEnv final : public Env {
 public:
  Result<std::unique_ptr<WritableFile>> create(const std::string& path, FileWrites writes) override {
    // A file of that name may have other links, or readers: it is replaced, not emptied.
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_error(path, "replace", errno);
    FileDescriptor file = HDB_TRY(open_file(path, O_WRONLY | O_CREAT | O_EXCL));
    if (writes == FileWrites::kDirect) return make_direct_file(std::move(file), path);
    return std::unique_ptr<WritableFile>(std::make_unique<PosixWritableFile>(std::move(file), path));
  }

  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override {
    FileDescriptor file = HDB_TRY(open_file(path, O_RDONLY));
    const std::uint64_t bytes = HDB_TRY(regular_file_bytes(file, path));
    return std::unique_ptr<RandomAccessFile>(std::make_unique<PosixRandomAccessFile>(std::move(file), path, bytes));
  }

  Result<std::unique_ptr<LogFile>> create_log(const std::string& path, LogWrites writes) override {
    FileDescriptor file = HDB_TRY(open_file(path, O_RDWR | O_CREAT | O_EXCL));
    try {
      return make_posix_log_file(std::move(file), path, 0, writes);
    } catch (...) {  // no memory: who tries again must not find the file there
      ::unlink(path.c_str());
      throw;
    }
  }

  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override {
    FileDescriptor file = HDB_TRY(open_file(path, O_RDWR | O_NOFOLLOW));
    const std::uint64_t bytes = HDB_TRY(regular_file_bytes(file, path));
    return make_posix_log_file(std::move(file), path, bytes, LogWrites::kAuto);
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), &::closedir);
    if (stream == nullptr) return system_error(directory, "list", errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    if (errno != 0) return system_error(directory, "list", errno);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<bool> exists(const std::string& path) override {
    struct stat attributes;
    if (::stat(path.c_str(), &attributes) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return system_error(path, "stat", errno);
  }

  Result<bool> is_within(const std::string& path, const std::string& directory) override {
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(path, error);
    if (error) return system_error(path, "resolve", error.value());
    // Of "new/../../other" the directory "new" would be made on the way.
    std::filesystem::path prefix;
    for (const std::filesystem::path& name : absolute) {
      prefix /= name;
      if (HDB_TRY(exists(prefix.string())) && prefix != absolute) continue;
      std::filesystem::path at = std::filesystem::weakly_canonical(prefix, error);
      if (error) return system_error(path, "resolve", error.value());
      for (; at != at.parent_path(); at = at.parent_path()) {
        std::error_code is_not_there;
        if (std::filesystem::equivalent(at, directory, is_not_there)) return true;
      }
    }
    return false;
  }

  Result<std::uint64_t> file_bytes(const std::string& path) override {
    struct stat attributes;
    if (::stat(path.c_str(), &attributes) != 0) return system_error(path, "stat", errno);
    return static_cast<std::uint64_t>(attributes.st_size);
  }

  Status create_directory(const std::string& path) override {
    const std::string parent = parent_directory(path);
    int error = ::mkdir(path.c_str(), kDirectoryMode) == 0 ? 0 : errno;
    if (error == ENOENT && parent != path && parent != ".") {
      HDB_TRY(create_directory(parent));
      error = ::mkdir(path.c_str(), kDirectoryMode) == 0 ? 0 : errno;
    }
    if (error == EEXIST) {
      struct stat attributes;
      if (::stat(path.c_str(), &attributes) != 0) {
        if (errno != ENOENT) return system_error(path, "stat", errno);
        return Status::io_error(path +
                                ": create directory: a symbolic link that leads nowhere is in the way; create what it "
                                "names, or remove it");
      }
      if (!S_ISDIR(attributes.st_mode)) {
        return Status::io_error(path + ": create directory: a file of that name is in the way");
      }
      // Whoever made it may not have made its name durable, nor need the parent be ours to open.
      const Status synced = sync_directory(parent);
      return synced.code() == StatusCode::kIoError && ::access(parent.c_str(), R_OK) != 0 ? Status() : synced;
    }
    if (error != 0) return system_error(path, "create directory", error);
    return sync_directory(parent);
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return system_error(from, "rename to " + to, errno);
    return {};
  }

  Status link(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) == 0) return {};
    const int error = errno;
    const Status status = system_error(from, "link to " + to, error);
    // Some systems forbid links to files of others; a copy does as well.
    const bool has_none = error == EXDEV || error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK;
    return has_none ? Status::unsupported(std::string(status.message())) : status;
  }

  Status remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return system_error(path, "remove", errno);
    return {};
  }

  Status sync_file(const std::string& path) override {
    FileDescriptor file = HDB_TRY(open_file(path, O_RDONLY));
    return is_read_only_medium(file) ? Status() : hdb::sync_file(file, path);
  }

  Status sync_directory(const std::string& directory) override {
    const FileDescriptor file = HDB_TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
    if (is_read_only_medium(file)) return {};
    if (uninterrupted([&] { return ::fsync(file.number()); }) != 0) {
      return system_error(directory, "sync directory", errno);
    }
    return {};
  }

  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return lock(path, false); }
  Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) override { return lock(path, true); }

 private:
  Result<std::unique_ptr<FileLock>> lock(const std::string& path, bool is_read_only) {
    auto lock = std::make_unique<PosixFileLock>(locks_);
    HDB_TRY(lock->acquire(path, is_read_only));
    return std::unique_ptr<FileLock>(std::move(lock));
  }

  LockTable locks_;
};

}  // namespace

Env& posix_env() noexcept {
  static Env& env = *new PosixEnv;  // never destroyed: locks may be released by other static objects
  return env;
}

}  // namespace hdb
