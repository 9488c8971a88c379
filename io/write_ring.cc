#include "io/write_ring.h"

#include <liburing.h>

#include <cerrno>
#include <new>
#include <thread>
#include <utility>

#include <hdb/status.h>

namespace hdb {

struct WriteRing::Ring {
  io_uring uring;
};

std::unique_ptr<WriteRing> WriteRing::create(unsigned writes_max) noexcept {
  std::unique_ptr<Ring> ring(new (std::nothrow) Ring);
  if (ring == nullptr || ::io_uring_queue_init(writes_max, &ring->uring, 0) != 0) return nullptr;
  std::unique_ptr<WriteRing> made(new (std::nothrow) WriteRing(std::move(ring)));
  return made;
}

WriteRing::WriteRing(std::unique_ptr<Ring> ring) noexcept : ring_(std::move(ring)) {}

WriteRing::~WriteRing() {
  while (under_way_ > 0) wait();
  ::io_uring_queue_exit(&ring_->uring);
}

bool WriteRing::submit(int file, std::uint64_t offset, ByteView bytes, std::uint64_t tag) noexcept {
  io_uring_sqe* const entry = is_broken_ ? nullptr : ::io_uring_get_sqe(&ring_->uring);
  if (entry == nullptr) return false;
  ::io_uring_prep_write(entry, file, bytes.data(), static_cast<unsigned>(bytes.size()), offset);
  entry->user_data = tag;
  int submitted = 0;
  do {
    submitted = ::io_uring_submit(&ring_->uring);
  } while (submitted == -EINTR);
  if (submitted != 1) {
    is_broken_ = true;  // the entry is still queued: the next submission would write it too
    return false;
  }
  ++under_way_;
  return true;
}

WriteRing::Done WriteRing::wait() noexcept {
  HDB_CHECK(under_way_ > 0);
  io_uring_cqe* entry = nullptr;
  while (::io_uring_peek_batch_cqe(&ring_->uring, &entry, 1) == 0) {
    // Where the system refuses to be waited on, what it has taken is done all the same, and is found here.
    if (::io_uring_wait_cqe(&ring_->uring, &entry) != 0) std::this_thread::yield();
  }
  const Done done{entry->user_data, entry->res};
  ::io_uring_cqe_seen(&ring_->uring, entry);
  --under_way_;
  return done;
}

}  // namespace hdb
