// Bytes are gathered in buffers that the device takes while the next one fills: copying and building go on meanwhile.
#include "io/direct_file.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "io/aligned_buffer.h"
#include "io/write_ring.h"

namespace hdb {

namespace {

constexpr std::size_t kBufferBytes = 1u << 20;
constexpr std::size_t kBuffers = 3;                 // one fills, two are with the device
constexpr std::uint64_t kReserveBytes = 16u << 20;  // ahead: a file that grows with each write waits for each

class DirectFile final : public WritableFile {
 public:
  DirectFile(FileDescriptor file, std::string path) noexcept : file_(std::move(file)), path_(std::move(path)) {}

  Status append(std::span<const ByteView> pieces) override {
    for (ByteView piece : pieces) {
      while (!piece.empty()) {
        if (filled_ == kBufferBytes) HDB_TRY(write_full());
        buffers_[current_].bytes.reserve(kBufferBytes);
        const std::size_t part = std::min(piece.size(), kBufferBytes - filled_);
        std::memcpy(buffers_[current_].bytes.data() + filled_, piece.data(), part);
        filled_ += part;
        piece = piece.subspan(part);
      }
    }
    return {};
  }

  Status sync() override {
    while (ring_ != nullptr && ring_->under_way() > 0) HDB_TRY(settle_one());
    if (filled_ > 0) {
      // Ends where no direct write can.
      HDB_TRY(write_cached(written_, {buffers_[current_].bytes.data(), filled_}));
      written_ += filled_;
      filled_ = 0;
    }
    if (has_reserved_) HDB_TRY(cut(written_));
    return sync_file(file_, path_);
  }

  Status close() override { return close_file(file_, path_); }
  const std::string& path() const noexcept override { return path_; }

 private:
  struct Filled {
    AlignedBuffer bytes;
    std::uint64_t offset = 0;
    bool is_under_way = false;
  };

  // Hands the current buffer to the device, and goes on in one that is free.
  Status write_full() {
    if (written_ == 0) begin_direct();
    if (is_direct_) HDB_TRY(reserve_ahead());
    Filled& full = buffers_[current_];
    full.offset = written_;
    const ByteView bytes(full.bytes.data(), kBufferBytes);
    const iovec piece{full.bytes.data(), kBufferBytes};
    full.is_under_way =
        is_direct_ &&
        ring_->submit({.file = file_.number(), .offset = full.offset, .pieces = {&piece, 1}, .tag = current_}) > 0;
    if (!full.is_under_way) HDB_TRY(write_cached(full.offset, bytes));
    written_ += kBufferBytes;
    filled_ = 0;
    current_ = (current_ + 1) % kBuffers;
    while (buffers_[current_].is_under_way) HDB_TRY(settle_one());
    return {};
  }

  Status settle_one() {
    const WriteRing::Done done = ring_->wait();
    Filled& filled = buffers_[done.tag];
    filled.is_under_way = false;
    if (done.result == static_cast<int>(kBufferBytes)) return {};
    // Refused, not failed: some file systems take the flag and no direct write, some kernels have rings that lack it,
    // some policies forbid it to rings. A signal may have come before the write began.
    const bool is_undone = WriteRing::is_refused(done.result) || done.result == -EINTR;
    if (done.result < 0 && !is_undone) return system_error(path_, "write", -done.result, filled.offset);
    const auto taken = static_cast<std::size_t>(std::max(0, done.result));
    return write_cached(filled.offset + taken, ByteView(filled.bytes.data(), kBufferBytes).subspan(taken));
  }

  // Through the page cache, as all that follows.
  Status write_cached(std::uint64_t offset, ByteView bytes) {
    if (is_direct_ && !set_direct(false)) return system_error(path_, "write", errno, offset);
    is_direct_ = false;
    return write_at(file_, path_, offset, {&bytes, 1}).status();
  }

  // Without a ring direct writes would be waited for, and the page cache is faster.
  void begin_direct() noexcept {
    ring_ = WriteRing::create(kBuffers);
    is_direct_ = ring_ != nullptr && set_direct(true);
  }

  bool set_direct(bool is_direct) noexcept {
    const int flags = ::fcntl(file_.number(), F_GETFL);
    return flags >= 0 && ::fcntl(file_.number(), F_SETFL, is_direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
  }

  // Best effort: without it, writes are slower; on a full disk it is they who say so.
  Status reserve_ahead() {
    const std::uint64_t end = written_ + kBufferBytes;
    if (end <= reserved_ || is_reserving_refused_) return {};
    has_reserved_ = true;
    const int result = uninterrupted([&] {
      return ::fallocate(file_.number(), 0, static_cast<off_t>(written_), static_cast<off_t>(kReserveBytes));
    });
    if (result == 0) {
      reserved_ = written_ + kReserveBytes;
      return {};
    }
    // What it got before there was no more is others' again.
    is_reserving_refused_ = true;
    return cut(written_);
  }

  Status cut(std::uint64_t bytes) {
    if (uninterrupted([&] { return ::ftruncate(file_.number(), static_cast<off_t>(bytes)); }) != 0) {
      return system_error(path_, "truncate", errno);
    }
    return {};
  }

  FileDescriptor file_;
  std::string path_;
  std::array<Filled, kBuffers> buffers_;  // before the ring, which waits for what is in them
  std::unique_ptr<WriteRing> ring_;       // null: not yet, or refused
  bool is_direct_ = false;                // the file takes direct writes now
  std::size_t current_ = 0;               // the buffer that fills
  std::size_t filled_ = 0;                // bytes of it
  std::uint64_t written_ = 0;             // of the file: done or under way
  std::uint64_t reserved_ = 0;            // of the file: has space
  bool has_reserved_ = false;             // the file may be longer than what is written
  bool is_reserving_refused_ = false;
};

}  // namespace

std::unique_ptr<WritableFile> make_direct_file(FileDescriptor file, std::string path) {
  return std::make_unique<DirectFile>(std::move(file), std::move(path));
}

}  // namespace hdb
