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
#include "io/env.h"
#include "io/file_name.h"

namespace hdb {

namespace {

constexpr mode_t kFileMode = 0644;  // less the process's umask, as below
constexpr mode_t kDirectoryMode = 0755;

std::string_view remedy_for(int error) noexcept {
  switch (error) {
    case ENOSPC:
      return "; free space on its file system and retry";
    case EDQUOT:
      return "; raise the quota or remove files, and retry";
    case EACCES:
    case EPERM:
      return "; check owner and permissions of the file and its directory";
    case ENOTDIR:
      return "; a file is there: give a directory";
    case ELOOP:
      return "; a link is there: put the file itself in its place";
    case EISDIR:
      return "; a directory is there: remove it, or choose another place";
    case EFBIG:
      return "; raise the limit on file sizes (ulimit -f)";
    case EROFS:
      return "; its file system is mounted read-only";
    case EMFILE:
    case ENFILE:
      return "; raise the limit on open files (ulimit -n), or lower Options::open_tables_max";
    default:
      return "";
  }
}

// The error `error` (an errno) of `operation` on `path`.
Status system_error(const std::string& path, std::string_view operation, int error) {
  std::string message = path + ": " + std::string(operation) + ": " + std::generic_category().message(error);
  message += remedy_for(error);
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return Status::error(StatusCode::kNoSpace, std::move(message));
    case ENOENT:
      return Status::not_found(std::move(message));
    default:
      return Status::io_error(std::move(message));
  }
}

std::string at_byte(std::string_view operation, std::uint64_t offset) {
  return std::string(operation) + " at byte " + std::to_string(offset);
}

// Calls `call` again for as long as a signal interrupts it.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Owns an open file. Single-owner.
class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;
  explicit FileDescriptor(int number) noexcept : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int number() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

Result<FileDescriptor> open_file(const std::string& path, int flags) {
  // Not blocking: a pipe in a file's place would keep the open waiting for somebody at its other end.
  const int number = uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK, kFileMode); });
  if (number < 0) return system_error(path, (flags & O_EXCL) != 0 ? "create" : "open", errno);
  FileDescriptor file(number);
  if (number > STDERR_FILENO) return file;
  // The host has closed a standard descriptor: what it prints must not end up in a file of the store.
  const int moved = ::fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  if (moved < 0) return system_error(path, "open", errno);
  return FileDescriptor(moved);
}

Result<std::uint64_t> regular_file_bytes(const FileDescriptor& file, const std::string& path) {
  struct stat attributes;
  if (::fstat(file.number(), &attributes) != 0) return system_error(path, "stat", errno);
  if (!S_ISREG(attributes.st_mode))
    return Status::io_error(path + ": open: not a regular file; something else is in its place");
  return static_cast<std::uint64_t>(attributes.st_size);
}

// All on it is durable, and some file systems that are never written to refuse to sync.
bool is_read_only_medium(const FileDescriptor& file) noexcept {
  struct statvfs attributes;
  return ::fstatvfs(file.number(), &attributes) == 0 && (attributes.f_flag & ST_RDONLY) != 0;
}

Status close_file(FileDescriptor& file, const std::string& path) {
  // Linux frees the descriptor also when it reports an error, so close is not tried again after EINTR.
  if (::close(file.release()) != 0 && errno != EINTR) return system_error(path, "close", errno);
  return {};
}

Status sync_file(const FileDescriptor& file, const std::string& path) {
  if (HDB_SEEDED(sync_again_after_an_error) && ::fdatasync(file.number()) == 0) return {};
  if (uninterrupted([&] { return ::fdatasync(file.number()); }) != 0) return system_error(path, "sync", errno);
  return {};
}

// The part of some pieces not written yet, as the system takes it. Single-owner.
class PieceQueue {
 public:
  explicit PieceQueue(std::span<const ByteView> pieces) {
    pieces_.reserve(pieces.size());
    for (const ByteView piece : pieces) {
      // The system's type serves reads too and so is not const; writes do not change the bytes.
      if (!piece.empty()) pieces_.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
    }
  }
  bool empty() const noexcept { return next_ == pieces_.size(); }
  iovec* data() noexcept { return &pieces_[next_]; }
  int count() const noexcept { return static_cast<int>(std::min<std::size_t>(pieces_.size() - next_, IOV_MAX)); }

  void drop(std::size_t bytes) noexcept {
    while (!empty() && bytes >= pieces_[next_].iov_len) bytes -= pieces_[next_++].iov_len;
    if (bytes == 0) return;
    pieces_[next_].iov_base = static_cast<std::byte*>(pieces_[next_].iov_base) + bytes;
    pieces_[next_].iov_len -= bytes;
  }

 private:
  std::vector<iovec> pieces_;
  std::size_t next_ = 0;
};

// Writes the pieces as one run at `offset`; returns their bytes.
Result<std::uint64_t> write_at(const FileDescriptor& file, const std::string& path, std::uint64_t offset,
                               std::span<const ByteView> pieces) {
  PieceQueue queue(pieces);
  std::uint64_t done = 0;
  while (!queue.empty()) {
    const ssize_t written = uninterrupted(
        [&] { return ::pwritev(file.number(), queue.data(), queue.count(), static_cast<off_t>(offset + done)); });
    if (written < 0) return system_error(path, at_byte("write", offset + done), errno);
    if (written == 0) return Status::io_error(path + ": " + at_byte("write", offset + done) + ": nothing was written");
    queue.drop(static_cast<std::size_t>(written));
    if (HDB_SEEDED(lose_what_a_short_write_left)) queue.drop(~std::size_t{0} / 2);
    done += static_cast<std::uint64_t>(written);
    if (HDB_SEEDED(write_the_rest_at_the_begin)) offset -= static_cast<std::uint64_t>(written);
  }
  return done;
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
      if (got < 0) return system_error(path_, at_byte("read", offset + done), errno);
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

// Writes when submitted, so a ticket is always done when it is waited for.
class PosixLogFile final : public LogFile {
 public:
  PosixLogFile(FileDescriptor file, std::string path, std::uint64_t bytes) noexcept
      : file_(std::move(file)), path_(std::move(path)), prepared_(bytes) {}

  Result<std::uint64_t> prepare(std::uint64_t bytes) override {
    const std::uint64_t before = prepared_;
    while (prepared_ < bytes) {
      const std::uint64_t step = std::min(bytes - prepared_, kPrepareStepBytes);
      const Status status = prepare_step(step);
      if (!status.ok()) {
        HDB_TRY(truncate(before));
        return status;
      }
      prepared_ += step;
    }
    return prepared_ - before;
  }

  Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) override {
    std::uint64_t bytes = 0;
    for (const ByteView piece : pieces) bytes += piece.size();
    HDB_CHECK(offset <= prepared_ && bytes <= prepared_ - offset);
    const std::uint64_t written = HDB_TRY(write_at(file_, path_, offset, pieces));
    if (is_durable) HDB_TRY(sync_file(file_, path_));
    if (!HDB_SEEDED(give_a_ticket_twice) || last_ticket_ == 0) ++last_ticket_;
    done_.push_back({last_ticket_, written});
    return last_ticket_;
  }

  Result<std::uint64_t> wait(Ticket ticket) override {
    const auto found =
        std::find_if(done_.begin(), done_.end(), [ticket](const Done& done) { return done.ticket == ticket; });
    HDB_CHECK(found != done_.end());
    const std::uint64_t bytes = found->bytes;
    done_.erase(found);
    return bytes;
  }

  Status sync() override { return sync_file(file_, path_); }

  Status truncate(std::uint64_t bytes) override {
    if (uninterrupted([&] { return ::ftruncate(file_.number(), static_cast<off_t>(bytes)); }) != 0) {
      return system_error(path_, "truncate", errno);
    }
    prepared_ = bytes;
    return {};
  }
  Status close() override { return close_file(file_, path_); }
  const std::string& path() const noexcept override { return path_; }

 private:
  struct Done {
    Ticket ticket;
    std::uint64_t bytes;
  };

  // A signal undoes an fallocate that is under way, so one for a whole segment might never end.
  static constexpr std::uint64_t kPrepareStepBytes = 16u << 20;

  Status prepare_step(std::uint64_t bytes) {
    const int result = uninterrupted(
        [&] { return ::fallocate(file_.number(), 0, static_cast<off_t>(prepared_), static_cast<off_t>(bytes)); });
    if (result == 0) return {};
    if (errno != EOPNOTSUPP && errno != ENOSYS) return system_error(path_, at_byte("reserve space", prepared_), errno);
    return write_zeros(bytes);
  }

  Status write_zeros(std::uint64_t bytes) {
    const std::vector<std::byte> zeros(static_cast<std::size_t>(std::min<std::uint64_t>(bytes, 1u << 20)));
    for (std::uint64_t done = 0; done < bytes;) {
      const ByteView piece = ByteView(zeros).first(std::min<std::uint64_t>(zeros.size(), bytes - done));
      done += HDB_TRY(write_at(file_, path_, prepared_ + done, {&piece, 1}));
    }
    return {};
  }

  FileDescriptor file_;
  std::string path_;
  std::uint64_t prepared_;  // the size of the file
  Ticket last_ticket_ = 0;
  std::vector<Done> done_;  // not waited for yet
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
  Result<std::unique_ptr<WritableFile>> create(const std::string& path) override {
    // A file of that name may have other links, or readers: it is replaced, not emptied.
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return system_error(path, "replace", errno);
    FileDescriptor file = HDB_TRY(open_file(path, O_WRONLY | O_CREAT | O_EXCL));
    return std::unique_ptr<WritableFile>(std::make_unique<PosixWritableFile>(std::move(file), path));
  }

  Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) override {
    FileDescriptor file = HDB_TRY(open_file(path, O_RDONLY));
    const std::uint64_t bytes = HDB_TRY(regular_file_bytes(file, path));
    return std::unique_ptr<RandomAccessFile>(std::make_unique<PosixRandomAccessFile>(std::move(file), path, bytes));
  }

  Result<std::unique_ptr<LogFile>> create_log(const std::string& path) override {
    FileDescriptor file = HDB_TRY(open_file(path, O_RDWR | O_CREAT | O_EXCL));
    return std::unique_ptr<LogFile>(std::make_unique<PosixLogFile>(std::move(file), path, 0));
  }

  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override {
    FileDescriptor file = HDB_TRY(open_file(path, O_RDWR | O_NOFOLLOW));
    const std::uint64_t bytes = HDB_TRY(regular_file_bytes(file, path));
    return std::unique_ptr<LogFile>(std::make_unique<PosixLogFile>(std::move(file), path, bytes));
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
