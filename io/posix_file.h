// io/posix_file.h: system calls on an open file, for the files of posix_env.cc and posix_log_file.cc.
#pragma once

#include <cerrno>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <cstdint>
#include <optional>

#include <unistd.h>

#include "base/bytes.h"

namespace hdb {

// The error `error` (an errno) of `operation` on `path`, at `byte` of it if that is given. Without memory for its
// words it has others, made before: who could take it for bad_alloc might try again what the system tells of once only.
Status system_error(const std::string& path, std::string_view operation, int error,
                    std::optional<std::uint64_t> byte = std::nullopt) noexcept;
// As kIoError: for what must not be tried again, whatever the system said.
Status as_io_error(const Status& error) noexcept;
// Whether `error` (an errno) of a write says that the system has no such way of writing here, and not that it failed.
constexpr bool is_refusal(int error) noexcept {
  return error == EINVAL || error == EOPNOTSUPP || error == EAGAIN;
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

// Opened for the process alone. kNotFound, or kIoError.
Result<FileDescriptor> open_file(const std::string& path, int flags);
// kIoError if it is no regular file.
Result<std::uint64_t> regular_file_bytes(const FileDescriptor& file, const std::string& path);
Status close_file(FileDescriptor& file, const std::string& path);
Status sync_file(const FileDescriptor& file, const std::string& path);
// Writes the pieces as one run at `offset`; returns their bytes.
Result<std::uint64_t> write_at(const FileDescriptor& file, const std::string& path, std::uint64_t offset,
                               std::span<const ByteView> pieces);

}  // namespace hdb
