#include "tests/support/faulty_calls.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <liburing.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <hdb/status.h>

#include "tests/support/faults.h"

extern "C" {
int __real_open64(const char* path, int flags, ...);
ssize_t __real_pread64(int file, void* bytes, size_t count, off_t offset);
ssize_t __real_pwritev64(int file, const iovec* pieces, int count, off_t offset);
ssize_t __real_pwritev64v2(int file, const iovec* pieces, int count, off_t offset, int flags);
int __real_io_uring_submit(io_uring* ring);
int __real_io_uring_queue_init(unsigned entries, io_uring* ring, unsigned flags);
unsigned __real_io_uring_peek_batch_cqe(io_uring* ring, io_uring_cqe** done, unsigned count);
int __real___io_uring_get_cqe(io_uring* ring, io_uring_cqe** done, unsigned submit, unsigned wait, sigset_t* signals);
int __real_fdatasync(int file);
int __real_fsync(int file);
int __real_ftruncate64(int file, off_t bytes);
int __real_fallocate64(int file, int mode, off_t offset, off_t bytes);
int __real_flock(int file, int operation);
int __real_close(int file);
int __real_rename(const char* from, const char* to);
int __real_link(const char* from, const char* to);
int __real_unlink(const char* path);
int __real_mkdir(const char* path, mode_t mode);
dirent64* __real_readdir64(DIR* stream);
int __real_fstatvfs64(int file, struct statvfs64* attributes);
}

namespace hdb::test {

namespace {

// What a ring was given, until it is done.
struct RingOperation {
  bool is_sync = false;
  bool is_durable = false;  // with RWF_DSYNC
  int file = 0;
  std::uint64_t sync_after = 0;     // of a write: the operation linked to it, or 0
  bool is_canceled = false;         // of a sync: the write before it was not whole
  std::uint64_t result_wanted = 0;  // bytes of a write
};

// Which file an open one is, by whatever descriptor: a sync of one makes durable what was written by another.
using FileId = std::pair<dev_t, ino_t>;
FileId id_of(int file) {
  struct stat attributes {};
  HDB_CHECK(::fstat(file, &attributes) == 0);
  return {attributes.st_dev, attributes.st_ino};
}

struct Overwritten {
  off_t offset;
  std::vector<char> before;
};

// Of the FaultyCalls that lives; guarded by `mutex`.
struct State {
  CallFaults faults;
  std::mt19937_64 random;
  std::uint64_t numbered = 0;  // of those that count for fail_at
  std::array<std::uint64_t, kCalls> made{};
  std::uint64_t ring_writes = 0;
  std::uint64_t ring_calls = 0;  // of faults.ring_step
  std::uint64_t ring_refusals = 0;
  std::set<std::pair<const io_uring*, std::uint64_t>> refused{};  // writes, by ring and user_data
  std::uint64_t ring_syncs = 0;
  std::map<std::pair<io_uring*, std::uint64_t>, RingOperation> under_way{};  // by what the operation is tagged with
  bool has_failed = false;
  std::map<FileId, std::vector<Overwritten>> dirty{};  // oldest first
};
std::mutex mutex;
State* state = nullptr;  // null: every call is as it is

enum class Verdict : std::uint8_t { kDone, kInterrupted, kFailed };

// What becomes of the next call; of kFailed errno is set.
Verdict next(Call call, bool is_interruptible) {
  ++state->made[static_cast<std::size_t>(call)];
  if (!state->faults.is_of_one_kind || state->faults.kind == call) {
    if (state->numbered++ == state->faults.fail_at) {
      state->has_failed = true;
      count_fault(Fault::kFailedCall);
      errno = state->faults.error;
      return Verdict::kFailed;
    }
  }
  const std::uint64_t one_in = state->faults.interrupted_one_in;
  if (!is_interruptible || one_in == 0 || state->random() % one_in != 0) return Verdict::kDone;
  count_fault(Fault::kInterruptedCall);
  errno = EINTR;
  return Verdict::kInterrupted;
}

// Whether the system refuses this call of the step.
bool refuses(RingStep step) {
  if (state == nullptr || state->faults.ring_step != step) return false;
  if (state->ring_calls++ < state->faults.ring_calls_taken) return false;
  // Who may not wait asks again until there is something.
  if (step != RingStep::kWaiting || state->ring_refusals == 0) count_fault(Fault::kFailedCall);
  ++state->ring_refusals;
  return true;
}

// How many of `bytes` a call does; at least one.
std::size_t part_of(std::size_t bytes) {
  const std::uint64_t one_in = state->faults.partial_one_in;
  if (bytes < 2 || one_in == 0 || state->random() % one_in != 0) return bytes;
  count_fault(Fault::kPartialCall);
  return 1 + state->random() % (bytes - 1);
}

// The pieces' first `bytes` bytes.
std::vector<iovec> first_of(const iovec* pieces, int count, std::size_t bytes) {
  std::vector<iovec> first;
  for (int index = 0; index < count && bytes > 0; ++index) {
    first.push_back({pieces[index].iov_base, std::min(pieces[index].iov_len, bytes)});
    bytes -= first.back().iov_len;
  }
  return first;
}

void remember(int file, off_t offset, std::size_t bytes) {
  if (!state->faults.drops_dirty_data) return;
  Overwritten old{offset, std::vector<char>(bytes)};
  // Behind the end of the file, and where nothing was written, it was zero. The descriptor may be for writing only.
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const int readable = __real_open64(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (readable < 0) return;
  [[maybe_unused]] const ssize_t got = __real_pread64(readable, old.before.data(), bytes, offset);
  __real_close(readable);
  state->dirty[id_of(file)].push_back(std::move(old));
}

// What was written over comes back, as far as the file still reaches. Where there is nothing, it takes no memory.
void drop_dirty(int file) {
  const auto found = state->dirty.find(id_of(file));
  if (found == state->dirty.end()) return;
  std::vector<Overwritten> dirty = std::move(found->second);
  state->dirty.erase(found);
  // The descriptor may be for reading only, or for aligned bytes only.
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  const int writable = __real_open64(path.c_str(), O_WRONLY | O_CLOEXEC);
  struct stat attributes {};
  HDB_CHECK(writable >= 0 && ::fstat(writable, &attributes) == 0);
  for (auto old = dirty.rbegin(); old != dirty.rend(); ++old) {
    if (old->offset >= attributes.st_size) continue;
    const auto left = static_cast<std::size_t>(attributes.st_size - old->offset);
    const iovec piece{old->before.data(), std::min(left, old->before.size())};
    HDB_CHECK(__real_pwritev64(writable, &piece, 1, old->offset) == static_cast<ssize_t>(piece.iov_len));
  }
  __real_close(writable);
}

int sync_with(Call call, int file, int (*real)(int)) {
  const std::lock_guard lock(mutex);
  if (state == nullptr) return real(file);
  const Verdict verdict = next(call, true);
  if (verdict == Verdict::kFailed) {
    const int error = errno;
    drop_dirty(file);
    errno = error;
  }
  if (verdict != Verdict::kDone) return -1;
  // The machine does not lose power while a test runs: the page cache is as good as the device, and much faster.
  state->dirty.erase(id_of(file));
  return 0;
}

// Notes what is submitted. Syncs do nothing, and writes are not durable at once: see sync_with(). Nor does anything
// that is refused.
void note_submitted(io_uring* ring) {
  io_uring_sq& queue = ring->sq;
  io_uring_sqe* before = nullptr;
  for (unsigned at = queue.sqe_head; at != queue.sqe_tail; ++at) {
    io_uring_sqe& entry = queue.sqes[at & queue.ring_mask];
    RingOperation operation{.is_sync = entry.opcode == IORING_OP_FSYNC, .file = entry.fd};
    const std::uint64_t tag = entry.user_data;
    const std::uint8_t flags = entry.flags & IOSQE_IO_LINK;
    if (operation.is_sync) {
      if (before != nullptr) state->under_way[{ring, before->user_data}].sync_after = tag;
    } else {
      operation.is_durable = (entry.rw_flags & RWF_DSYNC) != 0;
      entry.rw_flags = 0;
      const iovec one{reinterpret_cast<void*>(entry.addr), entry.len};
      const bool is_vector = entry.opcode == IORING_OP_WRITEV;
      const std::span<const iovec> pieces =
          is_vector ? std::span(reinterpret_cast<const iovec*>(entry.addr), entry.len) : std::span(&one, 1);
      for (const iovec& piece : pieces) operation.result_wanted += piece.iov_len;
      if (!operation.is_durable) remember(entry.fd, static_cast<off_t>(entry.off), operation.result_wanted);
    }
    if (operation.is_sync || state->faults.ring_writes_refused != 0) {
      ::io_uring_prep_nop(&entry);
      entry.flags = flags;
      entry.user_data = tag;
    }
    state->under_way[{ring, tag}] = operation;
    before = &entry;
  }
}

// What becomes of an operation that is done.
int result_of(io_uring* ring, std::uint64_t tag, int result) {
  const auto found = state->under_way.find({ring, tag});
  if (found == state->under_way.end()) return result;  // submitted before there were faults
  const RingOperation operation = found->second;
  state->under_way.erase(found);
  const CallFaults& faults = state->faults;
  if (operation.is_sync) {
    if (operation.is_canceled) return -ECANCELED;
    if (faults.ring_syncs_refused != 0) return -faults.ring_syncs_refused;
    ++state->ring_syncs;
    const Verdict verdict = next(Call::kSync, true);
    const int error = errno;
    if (verdict == Verdict::kFailed) drop_dirty(operation.file);
    if (verdict != Verdict::kDone) return -error;
    state->dirty[id_of(operation.file)].clear();
    return 0;
  }
  if (faults.ring_writes_refused != 0) {
    result = -faults.ring_writes_refused;
  } else {
    ++state->ring_writes;
    if (next(Call::kWrite, true) != Verdict::kDone) {
      result = -errno;
    } else if (result > 0) {
      result = static_cast<int>(part_of(static_cast<std::size_t>(result)));
    }
  }
  const bool is_whole = result >= 0 && static_cast<std::uint64_t>(result) == operation.result_wanted;
  if (operation.sync_after != 0 && !is_whole) state->under_way[{ring, operation.sync_after}].is_canceled = true;
  return result;
}

// A new file may have the id of one that is gone.
void begin_file(int file) {
  if (state == nullptr || file < 0) return;
  struct stat attributes {};
  if (::fstat(file, &attributes) == 0 && attributes.st_size == 0) state->dirty.erase(id_of(file));
}

// A call that does all or nothing.
template <typename Real>
int whole(Call call, bool is_interruptible, Real real) {
  const std::lock_guard lock(mutex);
  if (state != nullptr && next(call, is_interruptible) != Verdict::kDone) return -1;
  return real();
}

}  // namespace

FaultyCalls::FaultyCalls(const CallFaults& faults) {
  const std::lock_guard lock(mutex);
  state = new State{.faults = faults, .random = std::mt19937_64(faults.seed)};
}

FaultyCalls::~FaultyCalls() {
  const std::lock_guard lock(mutex);
  delete state;
  state = nullptr;
}

std::uint64_t FaultyCalls::calls() const {
  std::uint64_t sum = 0;
  for (std::size_t call = 0; call < kCalls; ++call) sum += calls(static_cast<Call>(call));
  return sum;
}

std::uint64_t FaultyCalls::calls(Call call) const {
  const std::lock_guard lock(mutex);
  return state->made[static_cast<std::size_t>(call)];
}

std::uint64_t FaultyCalls::ring_writes() const {
  const std::lock_guard lock(mutex);
  return state->ring_writes;
}

std::uint64_t FaultyCalls::ring_refusals() const {
  const std::lock_guard lock(mutex);
  return state->ring_refusals;
}

std::uint64_t FaultyCalls::ring_syncs() const {
  const std::lock_guard lock(mutex);
  return state->ring_syncs;
}

bool FaultyCalls::has_failed() const {
  const std::lock_guard lock(mutex);
  return state->has_failed;
}

}  // namespace hdb::test

// The linker's names for what replaces a call: no other spelling is possible.
extern "C" {

using hdb::test::Call;
using hdb::test::RingStep;
using hdb::test::Verdict;

int __wrap_open64(const char* path, int flags, ...) {
  std::va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return hdb::test::whole(Call::kOpen, true, [&] {
    const int file = __real_open64(path, flags, mode);
    if ((flags & O_CREAT) != 0) hdb::test::begin_file(file);
    return file;
  });
}

ssize_t __wrap_pread64(int file, void* bytes, size_t count, off_t offset) {
  const std::lock_guard lock(hdb::test::mutex);
  if (hdb::test::state != nullptr) {
    if (hdb::test::next(Call::kRead, true) != Verdict::kDone) return -1;
    count = hdb::test::part_of(count);
  }
  return __real_pread64(file, bytes, count, offset);
}

// Also one that is durable at once: the page cache is as good as the device here.
ssize_t __wrap_pwritev64v2(int file, const iovec* pieces, int count, off_t offset, int flags) {
  const std::lock_guard lock(hdb::test::mutex);
  if (hdb::test::state == nullptr) return __real_pwritev64v2(file, pieces, count, offset, flags);
  const Verdict verdict = hdb::test::next(Call::kWrite, true);
  if (verdict == Verdict::kInterrupted) return -1;
  std::size_t bytes = 0;
  for (int index = 0; index < count; ++index) bytes += pieces[index].iov_len;
  const int error = errno;
  // A write that fails may have written some of it.
  const std::size_t done = verdict == Verdict::kFailed ? bytes / 2 : hdb::test::part_of(bytes);
  if ((flags & RWF_DSYNC) == 0) hdb::test::remember(file, offset, done);
  const std::vector<iovec> part = hdb::test::first_of(pieces, count, done);
  const ssize_t written =
      __real_pwritev64v2(file, part.data(), static_cast<int>(part.size()), offset, flags & ~RWF_DSYNC);
  if (verdict != Verdict::kFailed) return written;
  errno = error;
  return -1;
}
ssize_t __wrap_pwritev64(int file, const iovec* pieces, int count, off_t offset) {
  return __wrap_pwritev64v2(file, pieces, count, offset, 0);
}

// Rings are refused like any file that cannot be opened.
int __wrap_io_uring_queue_init(unsigned entries, io_uring* ring, unsigned flags) {
  {
    const std::lock_guard lock(hdb::test::mutex);
    if (hdb::test::refuses(RingStep::kSetup)) return -hdb::test::state->faults.ring_error;
    if (hdb::test::state != nullptr) {
      if (hdb::test::state->faults.rings_refused != 0) return -hdb::test::state->faults.rings_refused;
      if (hdb::test::next(Call::kOpen, false) != Verdict::kDone) return -errno;
    }
  }
  return __real_io_uring_queue_init(entries, ring, flags);
}

int __wrap_io_uring_submit(io_uring* ring) {
  const std::lock_guard lock(hdb::test::mutex);
  if (hdb::test::refuses(RingStep::kSubmission)) return -hdb::test::state->faults.ring_error;
  if (hdb::test::state != nullptr) {
    if (hdb::test::next(Call::kSubmit, true) != Verdict::kDone) return -errno;
    if (hdb::test::refuses(RingStep::kCompletion)) {
      // The newest entry becomes one that does nothing.
      io_uring_sqe& entry = ring->sq.sqes[(ring->sq.sqe_tail - 1) & *ring->sq.kring_mask];
      const std::uint64_t user_data = entry.user_data;
      io_uring_prep_nop(&entry);
      entry.user_data = user_data;
      hdb::test::state->refused.emplace(ring, user_data);
    } else {
      hdb::test::note_submitted(ring);
    }
  }
  return __real_io_uring_submit(ring);
}

int __wrap___io_uring_get_cqe(io_uring* ring, io_uring_cqe** done, unsigned submit, unsigned wait, sigset_t* signals) {
  {
    const std::lock_guard lock(hdb::test::mutex);
    if (wait > 0 && hdb::test::refuses(RingStep::kWaiting)) return -hdb::test::state->faults.ring_error;
  }
  return __real___io_uring_get_cqe(ring, done, submit, wait, signals);
}

// What is done in a ring: it failed, was interrupted, short or refused.
unsigned __wrap_io_uring_peek_batch_cqe(io_uring* ring, io_uring_cqe** done, unsigned count) {
  const unsigned found = __real_io_uring_peek_batch_cqe(ring, done, count);
  const std::lock_guard lock(hdb::test::mutex);
  if (found == 0 || hdb::test::state == nullptr) return found;
  if (hdb::test::state->refused.erase({ring, (*done)->user_data}) > 0) {
    (*done)->res = -hdb::test::state->faults.ring_error;
    return found;
  }
  (*done)->res = hdb::test::result_of(ring, (*done)->user_data, (*done)->res);
  return found;
}

int __wrap_fstatvfs64(int file, struct statvfs64* attributes) {
  const int result = __real_fstatvfs64(file, attributes);
  const std::lock_guard lock(hdb::test::mutex);
  const bool is_read_only = hdb::test::state != nullptr && hdb::test::state->faults.is_medium_read_only;
  if (result == 0 && is_read_only) attributes->f_flag |= ST_RDONLY;
  return result;
}
int __wrap_fdatasync(int file) {
  return hdb::test::sync_with(Call::kSync, file, &__real_fdatasync);
}
int __wrap_fsync(int file) {
  return hdb::test::sync_with(Call::kSync, file, &__real_fsync);
}
int __wrap_ftruncate64(int file, off_t bytes) {
  return hdb::test::whole(Call::kTruncate, true, [=] { return __real_ftruncate64(file, bytes); });
}
int __wrap_fallocate64(int file, int mode, off_t offset, off_t bytes) {
  const std::lock_guard lock(hdb::test::mutex);
  const Verdict verdict = hdb::test::state == nullptr ? Verdict::kDone : hdb::test::next(Call::kReserve, true);
  if (verdict == Verdict::kDone) return __real_fallocate64(file, mode, offset, bytes);
  const int error = errno;
  // One that fails may have got some of it, and the file is so much longer then.
  if (verdict == Verdict::kFailed) static_cast<void>(__real_fallocate64(file, mode, offset, bytes / 2));
  errno = error;
  return -1;
}
int __wrap_flock(int file, int operation) {
  return hdb::test::whole(Call::kLock, true, [=] { return __real_flock(file, operation); });
}
int __wrap_close(int file) {
  // Frees the descriptor whatever it reports.
  const int closed = __real_close(file);
  return hdb::test::whole(Call::kClose, true, [=] { return closed; });
}
int __wrap_rename(const char* from, const char* to) {
  return hdb::test::whole(Call::kName, false, [=] { return __real_rename(from, to); });
}
int __wrap_link(const char* from, const char* to) {
  return hdb::test::whole(Call::kName, false, [=] { return __real_link(from, to); });
}
int __wrap_unlink(const char* path) {
  return hdb::test::whole(Call::kName, false, [=] { return __real_unlink(path); });
}
int __wrap_mkdir(const char* path, mode_t mode) {
  return hdb::test::whole(Call::kName, false, [=] { return __real_mkdir(path, mode); });
}
dirent64* __wrap_readdir64(DIR* stream) {
  const std::lock_guard lock(hdb::test::mutex);
  if (hdb::test::state != nullptr && hdb::test::next(Call::kList, false) != Verdict::kDone) return nullptr;
  return __real_readdir64(stream);
}

}  // extern "C"
