// io/env.h: everything HDB asks of the operating system about files. No other folder makes system calls on files.
//
// Granularity is the point: calls are per group commit, per block, per file, never per record, so a virtual call
// disappears under the cheapest real IO. Every error message names the path, the operation and errno's text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <hdb/options.h>
#include <hdb/status.h>

#include "base/bytes.h"

namespace hdb {

// Thread-safe.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;
  // Fills `destination` from `offset`; kCorruption if the file ends inside it.
  virtual Status read(std::uint64_t offset, MutableBytes destination) const = 0;
  // What is read next comes from the device, not from what the system has cached of the file; best effort.
  virtual void forget_cached() const noexcept = 0;
  // Starts making the range durable, for an Env::sync_file() to come; best effort, and whether it succeeds that one
  // tells.
  virtual void start_sync(std::uint64_t offset, std::uint64_t bytes) const noexcept = 0;
  virtual std::uint64_t size_bytes() const noexcept = 0;
  virtual const std::string& path() const noexcept = 0;
};

// A file written once, front to back. Single-owner. After any error its content is unknown: discard it.
class WritableFile {
 public:
  virtual ~WritableFile() = default;
  // Appends the pieces as one run of bytes.
  virtual Status append(std::span<const ByteView> pieces) = 0;
  // Returns once appended bytes and the size are on the device. Never retried: the kernel may have dropped the dirty
  // pages and report success next time.
  virtual Status sync() = 0;
  virtual Status close() = 0;
  virtual const std::string& path() const noexcept = 0;
};

// A log segment: space is prepared ahead, then written in order. Single-owner: whoever holds the log.
class LogFile {
 public:
  using Ticket = std::uint64_t;

  virtual ~LogFile() = default;
  // Makes the file at least `bytes` long with space behind every byte, so that writing below cannot fail for want of
  // space; new bytes read as zero. kNoSpace leaves the file as it was. Returns bytes newly prepared.
  virtual Result<std::uint64_t> prepare(std::uint64_t bytes) = 0;
  // Writes zeros over [begin, end), multiples of 4096 below what was prepared, and makes them and the file's size
  // durable: a durable write there then changes nothing that a file system keeps a journal of. kNoSpace is of the
  // write: a sync that failed is kIoError whatever its reason, as of sync().
  virtual Status zero(std::uint64_t begin, std::uint64_t end) = 0;
  // Starts writing the pieces as one run at `offset`, below what was prepared; zeros may follow up to the next multiple
  // of 4096, if that was prepared. With `is_durable` the write counts as done only when it is on the device. Where
  // offset, and address and size of every piece, are multiples of 4096, nothing need be copied. The bytes of the pieces
  // must live until wait(). Writes under way at the same time may be done in any order: they must not overlap.
  virtual Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) = 0;
  // Returns when the write is done, with the bytes written: fewer than submitted where the device took no more, and
  // then nobody will write the rest. Each ticket once, in the thread that submitted it: what a thread has under way
  // ends with it. While anything is under way no other thread submits.
  virtual Result<std::uint64_t> wait(Ticket ticket) = 0;
  // Makes every waited-for write durable. Never retried after an error.
  virtual Status sync() = 0;
  virtual Status truncate(std::uint64_t bytes) = 0;
  virtual Status close() = 0;
  // Why writes go another way than create_log() was asked for, and which, in one line; empty: they do not. It may come
  // with any write, and stays.
  virtual std::string fallback() const { return {}; }
  virtual const std::string& path() const noexcept = 0;
};

// Held until destroyed.
class FileLock {
 public:
  virtual ~FileLock() = default;
  // kIoError if the file that is locked has its path no more: it, or a directory above it, was moved, removed or
  // replaced.
  virtual Status check_place() const = 0;
};

// Thread-safe. Paths are of the operating system, '/'-separated.
class Env {
 public:
  virtual ~Env() = default;
  // A new file, empty; one of that name is replaced.
  virtual Result<std::unique_ptr<WritableFile>> create(const std::string& path, FileWrites writes) = 0;
  Result<std::unique_ptr<WritableFile>> create(const std::string& path) { return create(path, FileWrites::kCached); }
  // kNotFound if it does not exist.
  virtual Result<std::unique_ptr<RandomAccessFile>> open(const std::string& path) = 0;
  // A new log file, empty; kIoError if one exists.
  virtual Result<std::unique_ptr<LogFile>> create_log(const std::string& path, LogWrites writes) = 0;
  Result<std::unique_ptr<LogFile>> create_log(const std::string& path) { return create_log(path, LogWrites::kAuto); }
  // An existing log file, for truncating.
  virtual Result<std::unique_ptr<LogFile>> open_log(const std::string& path) = 0;
  // Names in the directory, sorted, without "." and ".."; kNotFound if it does not exist.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual Result<bool> exists(const std::string& path) = 0;
  virtual Result<std::uint64_t> file_bytes(const std::string& path) = 0;
  virtual Status create_directory(const std::string& path) = 0;  // and its parents, durably; fine if it exists
  virtual Status rename(const std::string& from, const std::string& to) = 0;  // replaces `to`
  // A second name for the file, which must never change again. kUnsupported where the file system has none, or `to` is
  // on another one.
  virtual Status link(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  virtual Status sync_file(const std::string& path) = 0;            // makes the bytes of an existing file durable
  virtual Status sync_directory(const std::string& directory) = 0;  // makes create, rename, link, remove durable
  // An exclusive lock on the file, created if absent; kBusy if any engine, of this process or another, holds it.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;
  // A lock on a file that exists, which is not written to: for who only reads a store, also on a read-only medium.
  // Other processes may read it at the same time; kBusy beside an exclusive lock.
  virtual Result<std::unique_ptr<FileLock>> lock_read_only(const std::string& path) = 0;
  // Whether the path is the directory, or in it, under whatever names; also if nothing is there yet, so that making it,
  // and the directories above it, would change the directory. By name alone, unless the Env knows of other names.
  virtual Result<bool> is_within(const std::string& path, const std::string& directory);
};

// The operating system's files. Lives for the whole process.
Env& posix_env() noexcept;

// kInvalidArgument if what is to be made at `target` would lie in the store in the directory `store`.
Status check_outside(Env& env, const std::string& target, const std::string& store);

// The whole file; kCorruption if it is longer than `bytes_max`.
Result<Buffer> read_file(Env& env, const std::string& path, std::uint64_t bytes_max);
Result<Buffer> read_file(const RandomAccessFile& file, std::uint64_t bytes_max);

// Makes `to` a durable copy of `from`, but for its directory entry. Returns its bytes.
Result<std::uint64_t> copy_file(Env& env, const std::string& from, const std::string& to);

// Writes, syncs and renames, and syncs the directory: afterwards `path` durably holds `content`, or, after an error or
// a crash, what it held before.
Status replace_file(Env& env, const std::string& path, ByteView content);

}  // namespace hdb
