// io/write_ring.h: writes that go on while their owner works, by io_uring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace hdb {

// Single-owner, and of one thread from submit() to the wait() that follows: the kernel cancels what a thread has under
// way when it ends.
class WriteRing {
 public:
  struct Done {
    std::uint64_t tag;
    int result;  // bytes written, or -errno
  };

  // For up to `writes_max` at a time. Null where the system has no io_uring, or refuses it.
  static std::unique_ptr<WriteRing> create(unsigned writes_max) noexcept;
  // Waits for what is under way: its memory is not the ring's.
  ~WriteRing();
  WriteRing(const WriteRing&) = delete;
  WriteRing& operator=(const WriteRing&) = delete;

  // Starts writing `bytes`, which must live until the write is done. False where the system takes no more, now or ever:
  // the write is the caller's then.
  bool submit(int file, std::uint64_t offset, ByteView bytes, std::uint64_t tag) noexcept;
  // One write that is done. At least one must be under way.
  Done wait() noexcept;
  unsigned under_way() const noexcept { return under_way_; }

 private:
  struct Ring;
  explicit WriteRing(std::unique_ptr<Ring> ring) noexcept;

  std::unique_ptr<Ring> ring_;
  unsigned under_way_ = 0;
  bool is_broken_ = false;  // a submission failed
};

}  // namespace hdb
