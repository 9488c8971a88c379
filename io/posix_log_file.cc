// Two kinds of writes go past the page cache (O_DIRECT): small durable ones, from a buffer that is aligned for it (on a
// device that takes 35 us for such a write and its flush, the way through the page cache takes 50), and those whose
// pieces are aligned, as they lie, where that is not slower than a copy into the page cache.
//
// With a ring, what takes time goes on in the background until it is waited for. Whatever the ring does not take, or
// leaves undone, is written by calls, as all is without one: so errors read the same.
#include "io/posix_log_file.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstring>
#include <limits>
#include <list>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/seeded_defect.h"
#include "io/aligned_buffer.h"
#include "io/write_ring.h"

namespace hdb {

namespace {

constexpr std::uint64_t kDirectBytesMax = 256u << 10;   // more is not copied
constexpr std::uint64_t kRingBytesMin = 64u << 10;      // less is in the page cache before a ring has begun
constexpr std::uint64_t kRingBytesMax = 1u << 30;       // of one write; the system takes no more than 2 GiB
constexpr unsigned kRingCompletionsMax = 16;            // of eight durable writes
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

// Writes when submitted, but what a ring has taken. Single-owner, and with a ring of one thread from submit() to
// wait().
class PosixLogFile final : public LogFile {
 public:
  // `ring` null: without one; `ring_error`, an errno, says why although one was asked for.
  PosixLogFile(FileDescriptor file, std::string path, std::uint64_t bytes, std::unique_ptr<WriteRing> ring,
               int ring_error) noexcept
      : file_(std::move(file)),
        path_(std::move(path)),
        prepared_(bytes),
        ring_(std::move(ring)),
        refusal_{"set up", ring_error} {}

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
    return synced.ok() ? synced : as_io_error(synced);
  }

  Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) override {
    // What is written, or under way, cannot be taken back for want of memory: all of that comes first.
    std::list<Write> made;
    if (spare_.empty()) spare_.emplace_back();
    made.splice(made.end(), spare_, spare_.begin());
    Write& write = made.front();
    plan(write, offset, pieces, is_durable);
    if (!start(write)) HDB_TRY(write_by_calls(write));
    if (!HDB_SEEDED(give_a_ticket_twice) || last_ticket_ == 0) ++last_ticket_;
    write.ticket = last_ticket_;
    writes_.splice(writes_.end(), made);
    return last_ticket_;
  }

  Result<std::uint64_t> wait(Ticket ticket) override {
    const auto found =
        std::find_if(writes_.begin(), writes_.end(), [ticket](const Write& write) { return write.ticket == ticket; });
    HDB_CHECK(found != writes_.end());
    while (found->under_way > 0) take_completion();
    const Status status = found->is_done ? Status() : settle(*found);
    const std::uint64_t bytes = found->bytes;
    spare_.splice(spare_.begin(), writes_, found);
    HDB_TRY(Status(status));
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
  std::string fallback() const override {
    if (refusal_.error == 0) return {};
    return path_ + ": written by pwrite, not by io_uring: " + refusal_.operation + ": " +
           std::generic_category().message(refusal_.error) +
           (refusal_.error == ENOMEM ? "; raise the limit on locked memory (ulimit -l)"
                                     : "; let the process use io_uring (sysctl kernel.io_uring_disabled, the sandbox's "
                                       "profile)") +
           ", or set log_writes to pwrite";
  }

 private:
  enum LargeWay : FasterWay::Way { kCached, kDirect };
  enum SmallWay : FasterWay::Way { kSyncAfter, kSyncWith };

  // From submit() to wait(); its address stays.
  struct Write {
    Ticket ticket = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;       // as submitted
    std::vector<ByteView> pieces;  // as written: with zeros up to the end of a block, if that
    AlignedBuffer copy;            // the pieces point to it, or to the caller's bytes
    bool is_direct = false;
    WriteRing::Sync sync = WriteRing::Sync::kNone;
    bool is_done = false;  // on the way it took; else the ring's completions say how it ended
    // Which ways are compared by it, if any.
    FasterWay* ways = nullptr;
    FasterWay::Way way = 0;
    std::uint64_t units = 0;
    std::chrono::steady_clock::time_point began;
    // Of the ring.
    std::vector<iovec> ring_pieces;
    unsigned under_way = 0;  // completions to come
    int result = 0;
    int sync_result = 0;
  };

  // Why the ring is not used (an errno), and what of it was refused.
  struct RingRefusal {
    const char* operation;
    int error;
  };

  Status prepare_step(std::uint64_t bytes) {
    const int result = uninterrupted(
        [&] { return ::fallocate(file_.number(), 0, static_cast<off_t>(prepared_), static_cast<off_t>(bytes)); });
    if (result == 0) return {};
    if (errno != EOPNOTSUPP && errno != ENOSYS) return system_error(path_, "reserve space", errno, prepared_);
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
    if (is_direct_tried_) return false;
    is_direct_tried_ = true;
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

  // Which way the write goes.
  void plan(Write& write, std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) {
    std::uint64_t bytes = 0;
    for (const ByteView piece : pieces) bytes += piece.size();
    HDB_CHECK(offset <= prepared_ && bytes <= prepared_ - offset);
    write.offset = offset;
    write.bytes = bytes;
    write.is_direct = write.is_done = false;
    write.sync = is_durable ? WriteRing::Sync::kAfter : WriteRing::Sync::kNone;
    write.ways = nullptr;
    const bool is_at_block = offset % kDirectAlignment == 0 && round_up_to_direct(bytes) <= prepared_ - offset;
    if (is_at_block && is_durable && bytes <= kDirectBytesMax && open_direct()) {
      write.pieces.assign(1, is_aligned(pieces) ? pieces[0] : copied(pieces, bytes, write.copy));
      write.is_direct = true;
      compare(write, small_, 1);
      if (write.way == kSyncWith) write.sync = WriteRing::Sync::kWith;
      return;
    }
    write.pieces.assign(pieces.begin(), pieces.end());
    if (!is_at_block || !is_aligned(pieces)) return;
    if (!is_durable) compare(write, large_, bytes);
    write.is_direct = (is_durable || write.way == kDirect) && open_direct();
  }

  static void compare(Write& write, FasterWay& ways, std::uint64_t units) noexcept {
    write.ways = &ways;
    write.began = std::chrono::steady_clock::now();
    write.way = ways.next();
    write.units = units;
  }

  // In the buffer, with zeros up to the end of the last block.
  static ByteView copied(std::span<const ByteView> pieces, std::uint64_t bytes, AlignedBuffer& buffer) {
    const std::uint64_t whole_bytes = round_up_to_direct(bytes);
    buffer.reserve(whole_bytes);
    std::byte* end = buffer.data();
    for (const ByteView piece : pieces) {
      if (!piece.empty()) std::memcpy(end, piece.data(), piece.size());
      end += piece.size();
    }
    std::memset(end, 0, static_cast<std::size_t>(buffer.data() + whole_bytes - end));
    return {buffer.data(), whole_bytes};
  }

  // Whether the ring has it now.
  bool start(Write& write) {
    const bool takes_time = write.sync != WriteRing::Sync::kNone || write.bytes >= kRingBytesMin;
    if (ring_ == nullptr || refusal_.error != 0 || !takes_time) return false;
    if (write.pieces.size() > IOV_MAX || write.bytes > kRingBytesMax) return false;
    write.ring_pieces.clear();
    for (const ByteView piece : write.pieces) {
      write.ring_pieces.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
    }
    // Without a completion, as if the write had not been whole.
    write.sync_result = -ECANCELED;
    write.under_way = ring_->submit({.file = (write.is_direct ? direct_ : file_).number(),
                                     .offset = write.offset,
                                     .pieces = write.ring_pieces,
                                     .tag = reinterpret_cast<std::uintptr_t>(&write),
                                     .sync = write.sync,
                                     .is_in_background = !write.is_direct});
    if (ring_->error() != 0) refusal_ = {"submit", ring_->error()};
    return write.under_way > 0;
  }

  // Of any write that the ring has.
  void take_completion() noexcept {
    const WriteRing::Done done = ring_->wait();
    auto& write = *reinterpret_cast<Write*>(static_cast<std::uintptr_t>(done.tag));
    (done.is_sync ? write.sync_result : write.result) = done.result;
    --write.under_way;
  }

  // Of a write that the ring is done with.
  Status settle(Write& write) {
    if (WriteRing::is_refused(write.result) || write.result == -EINTR) {
      const int error = -write.result;
      const bool was_direct = write.is_direct;
      HDB_TRY(write_by_calls(write));
      // Unless it was the way past the page cache that was refused, the same call is done without a ring.
      if (error != EINTR && was_direct == write.is_direct) refusal_ = {"write", error};
      return {};
    }
    if (WriteRing::is_refused(write.sync_result)) refusal_ = {"sync", -write.sync_result};
    ssize_t written = write.result;
    if (written >= 0 && HDB_SEEDED(lose_what_a_short_completion_left)) {
      written = static_cast<ssize_t>(bytes_of_pieces(write));
    }
    return finish(write, written, write.sync_result);
  }

  // Returns when it is done.
  Status write_by_calls(Write& write) {
    ssize_t written = 0;
    write.is_direct = write.is_direct && is_direct();
    if (write.is_direct) {
      const ByteView piece = write.pieces.front();
      const iovec whole{const_cast<std::byte*>(piece.data()), piece.size()};
      const int flags = write.sync == WriteRing::Sync::kWith ? RWF_DSYNC : 0;
      written = uninterrupted(
          [&] { return ::pwritev2(direct_.number(), &whole, 1, static_cast<off_t>(write.offset), flags); });
      if (written < 0) written = -errno;
      if (written < 0 && is_refusal(static_cast<int>(-written))) {
        is_direct_refused_ = true;  // a file system may take the flag and refuse the write
        write.is_direct = false;
        written = 0;
      }
    }
    return finish(write, written, -ECANCELED);
  }

  // Writes what is left after `written` bytes (or -errno), through the page cache, and syncs unless `sync_result` (0 or
  // -errno) says that this is done or failed.
  Status finish(Write& write, ssize_t written, int sync_result) {
    if (written < 0) return system_error(path_, "write", static_cast<int>(-written), write.offset);
    const auto done = static_cast<std::uint64_t>(written);
    const bool is_whole = done == bytes_of_pieces(write);
    if (!is_whole) {
      HDB_TRY(write_from(write, done));
      const bool came_before_the_rest = sync_result == 0 || sync_result == -ECANCELED;
      if (came_before_the_rest) sync_result = HDB_SEEDED(take_a_canceled_sync_for_done) ? 0 : -ECANCELED;
    }
    const bool came_with_it = is_whole && write.is_direct && write.sync == WriteRing::Sync::kWith;
    if (write.sync != WriteRing::Sync::kNone && !came_with_it) HDB_TRY(sync_after(sync_result));
    if (write.ways != nullptr) write.ways->note(write.way, write.units, write.began);
    write.is_done = true;
    return {};
  }

  static std::uint64_t bytes_of_pieces(const Write& write) noexcept {
    std::uint64_t bytes = 0;
    for (const ByteView piece : write.pieces) bytes += piece.size();
    return bytes;
  }

  Status write_from(Write& write, std::uint64_t done) {
    std::size_t left = done;
    std::size_t first = 0;
    while (left > 0 && left >= write.pieces[first].size()) left -= write.pieces[first++].size();
    if (left > 0) write.pieces[first] = write.pieces[first].subspan(left);
    return write_at(file_, path_, write.offset + done, std::span(write.pieces).subspan(first)).status();
  }

  // A sync that a ring did not begin is nobody's yet; one that failed is never tried again.
  Status sync_after(int sync_result) {
    if (sync_result == 0) return {};
    const bool was_not_begun = sync_result == -ECANCELED || sync_result == -EINTR || WriteRing::is_refused(sync_result);
    return was_not_begun ? sync_file(file_, path_) : system_error(path_, "sync", -sync_result);
  }

  bool is_direct() const noexcept { return direct_.number() >= 0 && !is_direct_refused_; }

  FileDescriptor file_;
  std::string path_;
  std::uint64_t prepared_;  // the size of the file
  FileDescriptor direct_;   // the same file, opened with O_DIRECT; open until close(): a ring may have its number
  bool is_direct_tried_ = false;
  bool is_direct_refused_ = false;  // its writes are
  FasterWay large_;                 // kCached or kDirect, of large writes that nobody needs on the device yet
  FasterWay small_;                 // kSyncAfter or kSyncWith, of small durable ones
  Ticket last_ticket_ = 0;
  std::list<Write> writes_;          // not waited for yet
  std::list<Write> spare_;           // their memory, for later ones
  std::unique_ptr<WriteRing> ring_;  // null: none; destroyed before the writes it has
  RingRefusal refusal_;
};

}  // namespace

std::unique_ptr<LogFile> make_posix_log_file(FileDescriptor file, std::string path, std::uint64_t bytes,
                                             LogWrites writes) {
  const bool asks_for_ring = writes == LogWrites::kIoUring;
  std::unique_ptr<WriteRing> ring = asks_for_ring ? WriteRing::create(kRingCompletionsMax) : nullptr;
  const int ring_error = asks_for_ring && ring == nullptr ? errno : 0;
  return std::make_unique<PosixLogFile>(std::move(file), std::move(path), bytes, std::move(ring), ring_error);
}

}  // namespace hdb
