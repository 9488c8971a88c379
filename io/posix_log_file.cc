// Two kinds of writes go past the page cache (O_DIRECT): small durable ones, from a buffer that is aligned for it (on a
// device that takes 35 us for such a write and its flush, the way through the page cache takes 50), and those whose
// pieces are aligned, as they lie, if the device takes them as fast as the page cache would.
#include "io/posix_log_file.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <new>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/seeded_defect.h"

namespace hdb {

namespace {

constexpr std::uint64_t kAlignment = 4096;              // of offset, size and memory: no device asks for more
constexpr std::uint64_t kDirectBytesMax = 256u << 10;   // more is not copied
constexpr std::uint64_t kPrepareStepBytes = 16u << 20;  // a signal undoes an fallocate that is under way

constexpr std::uint64_t round_up(std::uint64_t bytes) noexcept {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Whether they can be written past the page cache from where they are.
bool is_aligned(std::span<const ByteView> pieces) noexcept {
  return pieces.size() == 1 && reinterpret_cast<std::uintptr_t>(pieces[0].data()) % kAlignment == 0 &&
         pieces[0].size() % kAlignment == 0;
}

// Memory that O_DIRECT takes. Single-owner.
class AlignedBuffer {
 public:
  std::byte* data() const noexcept { return bytes_.get(); }
  // At least `bytes`, a multiple of kAlignment; what was there is lost.
  void reserve(std::uint64_t bytes) {
    if (bytes <= size_) return;
    bytes_.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlignment})));
    size_ = bytes;
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept { ::operator delete (bytes, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  std::uint64_t size_ = 0;
};

// Whether the device takes large writes at the pace of the page cache, which costs the processor a copy but waits for
// nobody: else bursts go there. Single-owner.
class DevicePace {
 public:
  bool is_fast() noexcept {
    if (writes_elsewhere_ == 0) return true;
    --writes_elsewhere_;
    return false;
  }
  void note(std::uint64_t bytes, std::chrono::nanoseconds took) noexcept {
    const double bytes_per_ns =
        static_cast<double>(bytes) / static_cast<double>(std::max<std::int64_t>(1, took.count()));
    bytes_per_ns_ += (bytes_per_ns - bytes_per_ns_) / 8;
    if (bytes_per_ns_ >= kFastBytesPerNs) return;
    writes_elsewhere_ = kWritesElsewhere;
    bytes_per_ns_ = kFastBytesPerNs;
  }

 private:
  static constexpr double kFastBytesPerNs = 0.5;  // what copying into the page cache and writing it back take
  static constexpr std::uint32_t kWritesElsewhere = 256;

  double bytes_per_ns_ = 2 * kFastBytesPerNs;  // of the last writes
  std::uint32_t writes_elsewhere_ = 0;         // until the device is tried again
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

  Status zero(std::uint64_t begin, std::uint64_t end) override {
    HDB_CHECK(begin % kAlignment == 0 && end % kAlignment == 0 && begin <= end && end <= prepared_);
    HDB_TRY(write_zeros(begin, end - begin));
    return sync_file(file_, path_);
  }

  Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) override {
    std::uint64_t bytes = 0;
    for (const ByteView piece : pieces) bytes += piece.size();
    HDB_CHECK(offset <= prepared_ && bytes <= prepared_ - offset);
    const bool is_at_block = offset % kAlignment == 0 && round_up(bytes) <= prepared_ - offset;
    if (is_at_block && is_aligned(pieces) && (is_durable || device_.is_fast()) && open_direct()) {
      HDB_TRY(write_aligned(offset, pieces[0]));
    } else if (is_at_block && is_durable && bytes <= kDirectBytesMax && open_direct()) {
      HDB_TRY(write_copied(offset, pieces, round_up(bytes)));
    } else {
      HDB_TRY(write_at(file_, path_, offset, pieces));
    }
    if (is_durable) HDB_TRY(sync_file(file_, path_));
    if (!HDB_SEEDED(give_a_ticket_twice) || last_ticket_ == 0) ++last_ticket_;
    done_.push_back({last_ticket_, bytes});
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
  Status close() override {
    direct_ = FileDescriptor();
    return close_file(file_, path_);
  }
  const std::string& path() const noexcept override { return path_; }

 private:
  struct Done {
    Ticket ticket;
    std::uint64_t bytes;
  };

  Status prepare_step(std::uint64_t bytes) {
    const int result = uninterrupted(
        [&] { return ::fallocate(file_.number(), 0, static_cast<off_t>(prepared_), static_cast<off_t>(bytes)); });
    if (result == 0) return {};
    if (errno != EOPNOTSUPP && errno != ENOSYS) return system_error(path_, at_byte("reserve space", prepared_), errno);
    return write_zeros(prepared_, bytes);
  }

  Status write_zeros(std::uint64_t begin, std::uint64_t bytes) {
    static constexpr std::array<std::byte, 64u << 10> kZeros{};
    std::array<ByteView, 16> pieces;
    pieces.fill(kZeros);
    for (std::uint64_t done = 0; done < bytes;) {
      const std::uint64_t whole = std::min<std::uint64_t>((bytes - done) / kZeros.size(), pieces.size());
      const ByteView rest = ByteView(kZeros).first(std::min<std::uint64_t>(kZeros.size(), bytes - done));
      const std::span<const ByteView> next = whole > 0 ? std::span(pieces).first(whole) : std::span(&rest, 1);
      done += HDB_TRY(write_at(file_, path_, begin + done, next));
    }
    return {};
  }

  // Whether there is a way past the page cache. Tried once: what refuses it once refuses it always.
  bool open_direct() {
    if (direct_.number() >= 0) return true;
    if (is_direct_refused_) return false;
    is_direct_refused_ = true;
    auto opened = open_file(path_, O_WRONLY | O_DIRECT);
    if (!opened.ok()) return false;
    struct stat here;
    struct stat there;
    const bool is_same = ::fstat(file_.number(), &here) == 0 && ::fstat(opened->number(), &there) == 0 &&
                         here.st_dev == there.st_dev && here.st_ino == there.st_ino;
    if (!is_same) return false;  // another file has come to the path
    direct_ = std::move(opened).value();
    return true;
  }

  Status write_aligned(std::uint64_t offset, ByteView piece) {
    const auto began = std::chrono::steady_clock::now();
    HDB_TRY(write_directly(offset, piece));
    device_.note(piece.size(), std::chrono::steady_clock::now() - began);
    return {};
  }

  // With zeros up to the end of the last block.
  Status write_copied(std::uint64_t offset, std::span<const ByteView> pieces, std::uint64_t whole_bytes) {
    buffer_.reserve(whole_bytes);
    std::byte* end = buffer_.data();
    for (const ByteView piece : pieces) {
      if (!piece.empty()) std::memcpy(end, piece.data(), piece.size());
      end += piece.size();
    }
    const ByteView whole(buffer_.data(), whole_bytes);
    std::memset(end, 0, static_cast<std::size_t>(buffer_.data() + whole_bytes - end));
    return write_directly(offset, whole);
  }

  Status write_directly(std::uint64_t offset, ByteView piece) {
    const iovec whole{const_cast<std::byte*>(piece.data()), piece.size()};
    const ssize_t written =
        uninterrupted([&] { return ::pwritev(direct_.number(), &whole, 1, static_cast<off_t>(offset)); });
    if (written < 0 && errno != EINVAL) return system_error(path_, at_byte("write", offset), errno);
    if (written == static_cast<ssize_t>(piece.size())) return {};
    if (written < 0) direct_ = FileDescriptor();  // a file system may take the flag and refuse the write
    return write_at(file_, path_, offset, {&piece, 1}).status();
  }

  FileDescriptor file_;
  std::string path_;
  std::uint64_t prepared_;  // the size of the file
  FileDescriptor direct_;   // the same file, opened with O_DIRECT; none: not yet, or refused
  bool is_direct_refused_ = false;
  AlignedBuffer buffer_;
  DevicePace device_;
  Ticket last_ticket_ = 0;
  std::vector<Done> done_;  // not waited for yet
};

}  // namespace

std::unique_ptr<LogFile> make_posix_log_file(FileDescriptor file, std::string path, std::uint64_t bytes) {
  return std::make_unique<PosixLogFile>(std::move(file), std::move(path), bytes);
}

}  // namespace hdb
