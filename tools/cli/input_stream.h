// tools/cli/input_stream.h: an input file as plain bytes, unpacked on the way if its first bytes say gzip or zstd.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <hdb/status.h>

#include "base/bytes.h"

namespace hdb::cli {

// What the operating system knows of a file. All zero for standard input.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) noexcept = default;
};

// As messages name the file: "-" is standard input.
std::string shown_name(const std::string& path);

// kNotFound or kIoError names the file and errno's text; kInvalidArgument for a directory.
Result<FileStamp> stamp_of(const std::string& path);

// Whether it can be opened again and gives the same bytes. Standard input, pipes (also those of a shell's <(...)),
// sockets and devices cannot: what is read from them is gone, so they are opened once and have no place to go on from.
// Errors are those of stamp_of().
Result<bool> is_regular_file(const std::string& path);

// kNotFound or kIoError if the file cannot be read; a file that is not regular is not opened for that.
Status check_readable(const std::string& path);

// From now on SIGINT, SIGTERM and SIGHUP make read() fail with kClosed, so that what was read can be kept.
void catch_interrupts() noexcept;
bool is_interrupted() noexcept;

// Single-owner. Memory does not depend on the file's size.
class InputStream {
 public:
  enum class Packing : std::uint8_t { kNone, kGzip, kZstd };

  // "-" is standard input. The file's kind is found by its first bytes, which are not lost to read().
  static Result<std::unique_ptr<InputStream>> open(const std::string& path);

  virtual ~InputStream() = default;
  // Fills the front of `destination` with the next unpacked bytes; 0 only at the end. kInvalidArgument names the file
  // if the packed data is damaged or cut short, as kCorruption is the store's; the bytes before were returned by
  // earlier calls.
  virtual Result<std::size_t> read(MutableBytes destination) = 0;
  // Goes on at this offset, in unpacked bytes, at or after where it is. An offset behind the end leaves it at the end.
  virtual Status skip_to(std::uint64_t offset);

  // Whether read() would return at once, or does so within `patience`: false only for a pipe that gives nothing.
  virtual bool is_ready(std::chrono::milliseconds patience) {
    static_cast<void>(patience);
    return true;
  }

  std::uint64_t offset() const noexcept { return offset_; }  // unpacked bytes returned or skipped
  // Bytes of the file itself taken so far, for progress.
  virtual std::uint64_t file_bytes_read() const noexcept = 0;
  virtual Packing packing() const noexcept = 0;

 protected:
  std::uint64_t offset_ = 0;
};

}  // namespace hdb::cli
