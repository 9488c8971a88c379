#include "io/posix_file.h"

#include <algorithm>
#include <array>
#include <climits>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/seeded_defect.h"

namespace hdb {

namespace {

constexpr mode_t kFileMode = 0644;  // less the process's umask

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

StatusCode code_of(int error) noexcept {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return StatusCode::kNoSpace;
    case ENOENT:
      return StatusCode::kNotFound;
    default:
      return StatusCode::kIoError;
  }
}

// An error of the system that found no memory for its words.
const Status& wordless(StatusCode code) noexcept {
  static const std::string text = "the system refused a call on a file; no memory was left to say which";
  static const Status no_space = Status::error(StatusCode::kNoSpace, text);
  static const Status not_found = Status::not_found(text);
  static const Status io_error = Status::io_error(text);
  return code == StatusCode::kNoSpace ? no_space : code == StatusCode::kNotFound ? not_found : io_error;
}

// So that no call of it is the first.
[[maybe_unused]] const bool is_ready = !wordless(StatusCode::kIoError).ok();

std::string at_byte(std::uint64_t offset) {
  return " at byte " + std::to_string(offset);
}

// The part of some pieces not written yet, as the system takes it. Single-owner.
class PieceQueue {
 public:
  explicit PieceQueue(std::span<const ByteView> pieces) {
    if (pieces.size() > few_.size()) many_.resize(pieces.size());
    const std::span<iovec> room = many_.empty() ? std::span<iovec>(few_) : many_;
    std::size_t count = 0;
    for (const ByteView piece : pieces) {
      // The system's type serves reads too and so is not const; writes do not change the bytes.
      if (!piece.empty()) room[count++] = {const_cast<std::byte*>(piece.data()), piece.size()};
    }
    left_ = room.first(count);
  }
  PieceQueue(const PieceQueue&) = delete;
  PieceQueue& operator=(const PieceQueue&) = delete;

  bool empty() const noexcept { return left_.empty(); }
  iovec* data() noexcept { return left_.data(); }
  int count() const noexcept { return static_cast<int>(std::min<std::size_t>(left_.size(), IOV_MAX)); }

  void drop(std::size_t bytes) noexcept {
    while (!empty() && bytes >= left_[0].iov_len) {
      bytes -= left_[0].iov_len;
      left_ = left_.subspan(1);
    }
    if (bytes == 0) return;
    left_[0].iov_base = static_cast<std::byte*>(left_[0].iov_base) + bytes;
    left_[0].iov_len -= bytes;
  }

 private:
  std::array<iovec, 8> few_;  // holds the usual write without an allocation
  std::vector<iovec> many_;
  std::span<iovec> left_;  // of one of the two
};

}  // namespace

Status system_error(const std::string& path, std::string_view operation, int error,
                    std::optional<std::uint64_t> byte) noexcept {
  const StatusCode code = code_of(error);
  try {
    std::string message = path + ": " + std::string(operation);
    if (byte) message += at_byte(*byte);
    message += ": " + std::generic_category().message(error);
    message += remedy_for(error);
    return Status::error(code, std::move(message));
  } catch (...) {
    return wordless(code);
  }
}

Status as_io_error(const Status& error) noexcept {
  try {
    return Status::io_error(std::string(error.message()));
  } catch (...) {
    return wordless(StatusCode::kIoError);
  }
}

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

Result<std::uint64_t> write_at(const FileDescriptor& file, const std::string& path, std::uint64_t offset,
                               std::span<const ByteView> pieces) {
  PieceQueue queue(pieces);
  std::uint64_t done = 0;
  while (!queue.empty()) {
    const ssize_t written = uninterrupted(
        [&] { return ::pwritev(file.number(), queue.data(), queue.count(), static_cast<off_t>(offset + done)); });
    if (written < 0) return system_error(path, "write", errno, offset + done);
    if (written == 0) return Status::io_error(path + ": write" + at_byte(offset + done) + ": nothing was written");
    queue.drop(static_cast<std::size_t>(written));
    if (HDB_SEEDED(lose_what_a_short_write_left)) queue.drop(~std::size_t{0} / 2);
    done += static_cast<std::uint64_t>(written);
    if (HDB_SEEDED(write_the_rest_at_the_begin)) offset -= static_cast<std::uint64_t>(written);
  }
  return done;
}

}  // namespace hdb
