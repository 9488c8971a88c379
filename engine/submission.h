// engine/submission.h: appends that no thread waits in: a task of the background takes them through the log.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <hdb/engine.h>

#include "base/mutex.h"
#include "engine/background.h"
#include "engine/commit_queue.h"
#include "engine/recent_ids.h"

namespace hdb {

// One append: what goes through the log, and what else its result will say. Single-owner.
struct Appending {
  struct Twin {
    std::size_t index;     // in the caller's events
    std::size_t of_fresh;  // the same event, earlier in the batch: its place among those in `pending`
  };

  PendingAppend pending;                            // without a batch if `is_in_store`
  std::vector<EventId> ids;                         // backs pending.ids
  LookUps::LookUp look_up;                          // until the ordered step has rechecked
  std::uint64_t count = 0;                          // events in `pending`
  std::vector<AppendResult::Duplicate> duplicates;  // has room for the twins
  std::vector<Twin> twins;
  bool is_in_store = false;  // all of it was: nothing goes through the log

  // Of memory, beside its own.
  std::uint64_t bytes() const noexcept {
    return pending.batch.bytes().size() + ids.capacity() * sizeof(EventId) +
           duplicates.capacity() * sizeof(AppendResult::Duplicate) + twins.capacity() * sizeof(Twin);
  }
};

// A submitted append, shared by its tickets and whoever finishes it. Thread-safe.
class Submission {
 public:
  // `background` must live until it is finished.
  Submission(Background& background, AppendCallback callback);

  bool is_done() const;
  const Result<AppendResult>& wait() const;

  // --- who finishes it
  Appending& appending() noexcept { return appending_; }
  // Once; appending() is empty then.
  void finish(Result<AppendResult> result) noexcept;

 private:
  Background& background_;
  const std::uint32_t process_generation_;
  Appending appending_;
  AppendCallback callback_;
  mutable Mutex mutex_;
  mutable CondVar done_signal_;
  std::optional<Result<AppendResult>> result_ HDB_GUARDED_BY(mutex_);  // empty: not done
};

// The submissions under way, finished one after the other in the order they came. Thread-safe.
class Submissions {
 public:
  // The most bytes of memory under way; beyond it add() waits.
  static constexpr std::uint64_t kBytesMax = 64u << 20;

  // Both references must outlive it. `finish` takes one that is in the queue, or has nothing for it, to its end; it
  // runs in one thread at a time.
  using Finish = std::function<Result<AppendResult>(CommitQueue::Place place, Appending& appending)>;
  Submissions(Background& background, CommitQueue& queue, Finish finish);

  // Lets it enter the queue. False after stop(). Throws std::bad_alloc with nothing changed.
  bool add(const std::shared_ptr<Submission>& submission) HDB_EXCLUDES(mutex_);
  // Takes no more, and returns when none is under way. Not for a callback, which would wait for itself.
  void stop() HDB_EXCLUDES(mutex_);
  // Whether the calling thread is in a callback of one of them.
  bool is_in_callback() const noexcept;
  // Takes them again.
  void resume() HDB_EXCLUDES(mutex_);

 private:
  struct Entered {
    std::shared_ptr<Submission> submission;
    CommitQueue::Place place;
    std::uint64_t bytes;
  };

  void run() noexcept HDB_EXCLUDES(mutex_);
  Entered take() noexcept HDB_EXCLUDES(mutex_);
  // False if there is none left to finish, and whoever comes next must start the task.
  bool go_on(std::uint64_t finished_bytes) noexcept HDB_EXCLUDES(mutex_);

  Background& background_;
  CommitQueue& queue_;
  const Finish finish_;
  Mutex mutex_;
  CondVar finished_signal_;
  std::deque<Entered> entered_ HDB_GUARDED_BY(mutex_);
  std::uint64_t bytes_ HDB_GUARDED_BY(mutex_) = 0;  // of those entered and the one being finished
  bool is_running_ HDB_GUARDED_BY(mutex_) = false;  // the task is, or soon will be
  bool is_stopped_ HDB_GUARDED_BY(mutex_) = false;
};

}  // namespace hdb
