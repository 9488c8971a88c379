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

std::unique_ptr<WriteRing> WriteRing::create(unsigned completions_max) noexcept {
  std::unique_ptr<Ring> ring(new (std::nothrow) Ring);
  errno = ENOMEM;
  if (ring == nullptr) return nullptr;
  const int result = ::io_uring_queue_init(completions_max, &ring->uring, 0);
  errno = -result;
  if (result != 0) return nullptr;
  io_uring* const uring = &ring->uring;
  std::unique_ptr<WriteRing> made(new (std::nothrow) WriteRing(std::move(ring), completions_max));
  if (made == nullptr) {
    ::io_uring_queue_exit(uring);
    errno = ENOMEM;
  }
  return made;
}

WriteRing::WriteRing(std::unique_ptr<Ring> ring, unsigned completions_max) noexcept
    : ring_(std::move(ring)), completions_max_(completions_max) {}

WriteRing::~WriteRing() {
  while (under_way_ > 0 && ::getpid() == process_) reap();
  ::io_uring_queue_exit(&ring_->uring);
}

unsigned WriteRing::submit(const Write& write) noexcept {
  const unsigned wanted = write.sync == Sync::kAfter ? 2 : 1;
  if (error_ != 0 || under_way_ + wanted > completions_max_) return 0;
  HDB_CHECK(under_way_ == 0 || thread_ == std::this_thread::get_id());
  thread_ = std::this_thread::get_id();
  // There is room: nothing stays queued after a submission.
  io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_->uring);
  const iovec* const pieces = write.pieces.data();
  if (write.pieces.size() == 1) {
    ::io_uring_prep_write(entry, write.file, pieces->iov_base, static_cast<unsigned>(pieces->iov_len), write.offset);
  } else {
    ::io_uring_prep_writev(entry, write.file, pieces, static_cast<unsigned>(write.pieces.size()), write.offset);
  }
  if (write.sync == Sync::kWith) entry->rw_flags = RWF_DSYNC;
  if (write.is_in_background) entry->flags |= IOSQE_ASYNC;
  entry->user_data = write.tag << 1;
  if (write.sync == Sync::kAfter) {
    entry->flags |= IOSQE_IO_LINK;
    io_uring_sqe* const sync = ::io_uring_get_sqe(&ring_->uring);
    ::io_uring_prep_fsync(sync, write.file, IORING_FSYNC_DATASYNC);
    sync->user_data = write.tag << 1 | 1;
  }
  int submitted = 0;
  do {
    submitted = ::io_uring_submit(&ring_->uring);
  } while (submitted == -EINTR);
  const unsigned taken = submitted > 0 ? static_cast<unsigned>(submitted) : 0;
  // What was not taken is still queued: the next submission would start it too.
  if (taken < wanted) error_ = submitted < 0 ? -submitted : EAGAIN;
  under_way_ += taken;
  return taken;
}

WriteRing::Done WriteRing::wait() noexcept {
  HDB_CHECK(under_way_ > 0 && thread_ == std::this_thread::get_id());
  return reap();
}

WriteRing::Done WriteRing::reap() noexcept {
  io_uring_cqe* entry = nullptr;
  while (::io_uring_peek_batch_cqe(&ring_->uring, &entry, 1) == 0) {
    // Where the system refuses to be waited on, what it has taken is done all the same, and is found here.
    if (::io_uring_wait_cqe(&ring_->uring, &entry) != 0) std::this_thread::yield();
  }
  const Done done{entry->user_data >> 1, (entry->user_data & 1) != 0, entry->res};
  ::io_uring_cqe_seen(&ring_->uring, entry);
  --under_way_;
  return done;
}

}  // namespace hdb
