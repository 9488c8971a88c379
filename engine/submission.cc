#include "engine/submission.h"

#include <utility>

#include "engine/fork_watch.h"
#include "engine/ready_errors.h"

namespace hdb {

namespace {

// The background of the engine whose callback this thread is in; null: in none.
thread_local const Background* in_callback_of = nullptr;

const Result<AppendResult>& of_parent() {
  static const Result<AppendResult> error = Status::error(
      StatusCode::kClosed, "the append was submitted by the process that forked this one; wait for it there");
  return error;
}

const Result<AppendResult>& would_wait_for_itself() {
  static const Result<AppendResult> error = Status::invalid_argument(
      "wait: called in a callback of a submitted batch, which every other of the engine waits "
      "for; take the result in that batch's own callback");
  return error;
}

// Made when the program starts: a fork may come at any time.
[[maybe_unused]] const bool are_results_ready = !of_parent().ok() && !would_wait_for_itself().ok();

}  // namespace

Submission::Submission(Background& background, AppendCallback callback)
    : background_(background), process_generation_(process_generation()), callback_(std::move(callback)) {}

bool Submission::is_done() const {
  if (process_generation() != process_generation_) return false;  // the lock may be held by a thread that is not here
  MutexLock lock(mutex_);
  return result_.has_value();
}

const Result<AppendResult>& Submission::wait() const {
  if (process_generation() != process_generation_) return of_parent();
  MutexLock lock(mutex_);
  if (!result_ && in_callback_of == &background_) return would_wait_for_itself();
  while (!result_) background_.wait(mutex_, done_signal_);
  return *result_;
}

void Submission::finish(Result<AppendResult> result) noexcept {
  if (callback_) {
    const Background* const before = std::exchange(in_callback_of, &background_);
    callback_(result);
    callback_ = nullptr;  // what it holds on to is free when wait() returns
    in_callback_of = before;
  }
  appending_ = Appending();
  MutexLock lock(mutex_);
  result_ = std::move(result);
  done_signal_.notify_all();
}

Submissions::Submissions(Background& background, CommitQueue& queue, Finish finish)
    : background_(background), queue_(queue), finish_(std::move(finish)) {}

bool Submissions::add(const std::shared_ptr<Submission>& submission) {
  const std::uint64_t bytes = sizeof(Submission) + submission->appending().bytes();
  MutexLock lock(mutex_);
  // A callback that submits runs in the thread that makes room.
  while (bytes_ > 0 && bytes_ + bytes > kBytesMax && !is_in_callback()) {
    background_.wait(mutex_, finished_signal_);
  }
  if (is_stopped_) return false;
  entered_.push_back({submission, CommitQueue::Place(), bytes});
  try {
    if (!is_running_) background_.submit(Background::Priority::kCommit, [this] { run(); });
    is_running_ = true;
    if (!submission->appending().is_in_store) entered_.back().place = queue_.enter(submission->appending().pending);
  } catch (...) {
    entered_.pop_back();
    throw;
  }
  bytes_ += bytes;
  return true;
}

bool Submissions::is_in_callback() const noexcept {
  return in_callback_of == &background_;
}

void Submissions::resume() {
  MutexLock lock(mutex_);
  is_stopped_ = false;
}

void Submissions::stop() {
  MutexLock lock(mutex_);
  HDB_CHECK(!is_in_callback());
  is_stopped_ = true;
  while (is_running_) background_.wait(mutex_, finished_signal_);
}

void Submissions::run() noexcept {
  std::uint64_t bytes = 0;
  while (go_on(std::exchange(bytes, 0))) {
    const Entered next = take();
    bytes = next.bytes;
    Appending& appending = next.submission->appending();
    Result<AppendResult> result = out_of_memory();
    try {
      result = finish_(next.place, appending);
    } catch (...) {  // memory: what was not committed by then is not
    }
    next.submission->finish(std::move(result));
  }
}

Submissions::Entered Submissions::take() noexcept {
  MutexLock lock(mutex_);
  Entered next = std::move(entered_.front());
  entered_.pop_front();
  return next;
}

bool Submissions::go_on(std::uint64_t finished_bytes) noexcept {
  MutexLock lock(mutex_);
  bytes_ -= finished_bytes;
  if (entered_.empty()) is_running_ = false;
  finished_signal_.notify_all();
  return is_running_;
}

}  // namespace hdb
