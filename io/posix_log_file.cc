// Two kinds of writes go past the page cache (O_DIRECT): small durable ones, from a buffer that is aligned for it (on a
// device that takes 35 us for such a write and its flush, the way through the page cache takes 50), and those whose
// pieces are aligned, as they lie, where that is not slower than a copy into the page cache.
#include "io/posix_log_file.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/seeded_defect.h"
#include "io/aligned_buffer.h"

namespace hdb {

namespace {

constexpr std::uint64_t kDirectBytesMax = 256u << 10;   // more is not copied
constexpr std::uint64_t kPrepareStepBytes = 16u << 20;  // a signal undoes an fallocate that is under way

// Whether they can be written past the page cache from where they are.
bool is_aligned(std::span<const ByteView> pieces) noexcept {
  return pieces.size() == 1 && reinterpret_cast<std::uintptr_t>(pieces[0].data()) % kDirectAlignment == 0 &&
         pieces[0].size() % kDirectAlignment == 0;
}

// Which of two ways of writing is the faster one here: both are measured as they are used, the slower one now and then.
// Single-owner.
class FasterWay {
 public:
  using Way = std::size_t;  // 0, the one to begin with, or 1

  Way next() noexcept {
    const Way faster = cost_[1] < cost_[0] ? 1 : 0;
    return ++writes_ % kWritesPerTrial == 0 ? 1 - faster : faster;
  }
  // `units`: what the time is in proportion to.
  void note(Way way, std::uint64_t units, std::chrono::steady_clock::time_point began) noexcept {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    const double cost = took.count() / static_cast<double>(units);
    const bool is_first = cost_[way] == 0 || cost_[way] == std::numeric_limits<double>::max();
    cost_[way] = is_first ? cost : cost_[way] + (std::min(cost, kOutlier * cost_[way]) - cost_[way]) / 4;
  }

 private:
  static constexpr std::uint32_t kWritesPerTrial = 32;
  static constexpr double kOutlier = 4;  // what takes longer than so many others says nothing about the way

  std::array<double, 2> cost_ = {0, std::numeric_limits<double>::max()};  // of the last writes, per unit
  std::uint32_t writes_ = 0;
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
    HDB_CHECK(begin % kDirectAlignment == 0 && end % kDirectAlignment == 0 && begin <= end && end <= prepared_);
    // Not by way of the page cache, from where direct writes would have to drive them out again.
    const bool is_written = open_direct() && write_zeros(direct_, begin, end - begin).ok();
    if (!is_written) HDB_TRY(write_zeros(file_, begin, end - begin));
    const Status synced = sync_file(file_, path_);
    return synced.ok() ? synced : Status::io_error(std::string(synced.message()));
  }

  Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) override {
    std::uint64_t bytes = 0;
    for (const ByteView piece : pieces) bytes += piece.size();
    HDB_CHECK(offset <= prepared_ && bytes <= prepared_ - offset);
    done_.reserve(done_.size() + 1);  // what is written cannot be taken back for want of memory
    const bool is_at_block = offset % kDirectAlignment == 0 && round_up_to_direct(bytes) <= prepared_ - offset;
    if (is_at_block && is_durable && bytes <= kDirectBytesMax && open_direct()) {
      HDB_TRY(write_durably(offset, is_aligned(pieces) ? pieces[0] : copied(pieces, bytes)));
    } else {
      if (is_at_block && is_aligned(pieces)) {
        HDB_TRY(write_aligned(offset, pieces[0], is_durable));
      } else {
        HDB_TRY(write_at(file_, path_, offset, pieces));
      }
      if (is_durable) HDB_TRY(sync_file(file_, path_));
    }
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
  enum LargeWay : FasterWay::Way { kCached, kDirect };
  enum SmallWay : FasterWay::Way { kSyncAfter, kSyncWith };

  struct Done {
    Ticket ticket;
    std::uint64_t bytes;
  };

  Status prepare_step(std::uint64_t bytes) {
    const int result = uninterrupted(
        [&] { return ::fallocate(file_.number(), 0, static_cast<off_t>(prepared_), static_cast<off_t>(bytes)); });
    if (result == 0) return {};
    if (errno != EOPNOTSUPP && errno != ENOSYS) return system_error(path_, at_byte("reserve space", prepared_), errno);
    return write_zeros(file_, prepared_, bytes);
  }

  Status write_zeros(const FileDescriptor& file, std::uint64_t begin, std::uint64_t bytes) {
    alignas(kDirectAlignment) static constexpr std::array<std::byte, 64u << 10> kZeros{};
    std::array<ByteView, 16> pieces;
    pieces.fill(kZeros);
    for (std::uint64_t done = 0; done < bytes;) {
      const std::uint64_t whole = std::min<std::uint64_t>((bytes - done) / kZeros.size(), pieces.size());
      const ByteView rest = ByteView(kZeros).first(std::min<std::uint64_t>(kZeros.size(), bytes - done));
      const std::span<const ByteView> next = whole > 0 ? std::span(pieces).first(whole) : std::span(&rest, 1);
      done += HDB_TRY(write_at(file, path_, begin + done, next));
    }
    return {};
  }

  // Whether there is a way past the page cache. Tried once: what refuses it once refuses it always.
  bool open_direct() {
    if (is_direct()) return true;
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

  Status write_aligned(std::uint64_t offset, ByteView piece, bool is_durable) {
    const FasterWay::Way way = is_durable ? kDirect : large_.next();
    const auto began = std::chrono::steady_clock::now();
    if (way == kDirect && open_direct()) {
      HDB_TRY(write_directly(offset, piece, 0));
    } else {
      HDB_TRY(write_at(file_, path_, offset, {&piece, 1}));
    }
    large_.note(way, piece.size(), began);
    return {};
  }

  // In the buffer, with zeros up to the end of the last block.
  ByteView copied(std::span<const ByteView> pieces, std::uint64_t bytes) {
    const std::uint64_t whole_bytes = round_up_to_direct(bytes);
    buffer_.reserve(whole_bytes);
    std::byte* end = buffer_.data();
    for (const ByteView piece : pieces) {
      if (!piece.empty()) std::memcpy(end, piece.data(), piece.size());
      end += piece.size();
    }
    std::memset(end, 0, static_cast<std::size_t>(buffer_.data() + whole_bytes - end));
    return {buffer_.data(), whole_bytes};
  }

  Status write_durably(std::uint64_t offset, ByteView whole) {
    const FasterWay::Way way = small_.next();
    const auto began = std::chrono::steady_clock::now();
    HDB_TRY(write_directly(offset, whole, way == kSyncWith ? RWF_DSYNC : 0));
    if (way == kSyncAfter || !is_direct()) HDB_TRY(sync_file(file_, path_));
    small_.note(way, 1, began);
    return {};
  }

  bool is_direct() const noexcept { return direct_.number() >= 0; }

  // Through the page cache if it must be: is_direct() is false then.
  Status write_directly(std::uint64_t offset, ByteView piece, int flags) {
    const iovec whole{const_cast<std::byte*>(piece.data()), piece.size()};
    const ssize_t written =
        uninterrupted([&] { return ::pwritev2(direct_.number(), &whole, 1, static_cast<off_t>(offset), flags); });
    if (written == static_cast<ssize_t>(piece.size())) return {};
    const bool is_refused = written < 0 && (errno == EINVAL || errno == EOPNOTSUPP);
    if (written < 0 && !is_refused) return system_error(path_, at_byte("write", offset), errno);
    direct_ = FileDescriptor();  // a file system may take the flag and refuse the write
    return write_at(file_, path_, offset, {&piece, 1}).status();
  }

  FileDescriptor file_;
  std::string path_;
  std::uint64_t prepared_;  // the size of the file
  FileDescriptor direct_;   // the same file, opened with O_DIRECT; none: not yet, or refused
  bool is_direct_refused_ = false;
  AlignedBuffer buffer_;
  FasterWay large_;  // kCached or kDirect, of large writes that nobody needs on the device yet
  FasterWay small_;  // kSyncAfter or kSyncWith, of small durable ones
  Ticket last_ticket_ = 0;
  std::vector<Done> done_;  // not waited for yet
};

}  // namespace

std::unique_ptr<LogFile> make_posix_log_file(FileDescriptor file, std::string path, std::uint64_t bytes) {
  return std::make_unique<PosixLogFile>(std::move(file), std::move(path), bytes);
}

}  // namespace hdb
