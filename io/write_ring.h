// io/write_ring.h: writes that go on while their owner works, by io_uring.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>

#include <sys/uio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "io/posix_file.h"

namespace hdb {

// Single-owner, and while anything is under way of the thread that submitted it: the kernel cancels what a thread has
// under way when it ends, and tells of direct writes in that thread's time. Whoever has waited for all of it may hand
// the ring to another thread.
class WriteRing {
 public:
  enum class Sync : std::uint8_t {
    kNone,
    kWith,   // the write is done when it is on the device
    kAfter,  // the file is synced once all of the write is done: wait() tells of both, in this order
  };

  struct Write {
    int file;
    std::uint64_t offset;
    std::span<const iovec> pieces;  // their bytes, and of more than one this list too, must live until it is done
    std::uint64_t tag;              // below 2^63
    Sync sync = Sync::kNone;
    // By a thread of the kernel, even where the system would rather copy it into the page cache in this one.
    bool is_in_background = false;
  };

  struct Done {
    std::uint64_t tag;
    bool is_sync;  // the one after the write
    int result;    // bytes written, 0 of a sync, or -errno; -ECANCELED of a sync whose write was not whole
  };

  // Whether `result` says that a ring cannot do this here, or may not by some policy, and not that it failed: a call
  // may do it.
  static constexpr bool is_refused(int result) noexcept {
    return is_refusal(-result) || result == -EPERM || result == -EACCES;
  }

  // For up to `completions_max` completions at a time, of writes and syncs. Null where the system has no io_uring, or
  // refuses it; errno says why.
  static std::unique_ptr<WriteRing> create(unsigned completions_max) noexcept;
  // Waits for what is under way: its memory is not the ring's. In a forked child it is the parent's to wait for.
  ~WriteRing();
  WriteRing(const WriteRing&) = delete;
  WriteRing& operator=(const WriteRing&) = delete;

  // Starts the write. Returns how often wait() will tell of it. 0 where the system takes no more, now or ever: the
  // write is the caller's then; 1 of a write with a sync after it: the sync is.
  unsigned submit(const Write& write) noexcept;
  // One write or sync that is done. At least one must be under way.
  Done wait() noexcept;
  unsigned under_way() const noexcept { return under_way_; }
  // Why nothing is taken any more, an errno; 0: the ring is sound.
  int error() const noexcept { return error_; }

 private:
  struct Ring;
  WriteRing(std::unique_ptr<Ring> ring, unsigned completions_max) noexcept;

  Done reap() noexcept;

  std::unique_ptr<Ring> ring_;
  const unsigned completions_max_;
  unsigned under_way_ = 0;
  std::thread::id thread_;  // of what is under way
  const pid_t process_ = ::getpid();
  int error_ = 0;  // of a submission
};

}  // namespace hdb
