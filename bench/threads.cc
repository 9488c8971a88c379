#include "bench/threads.h"

#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

namespace hdb::bench {

namespace {

enum class Signal : std::uint8_t { kWait, kWork, kEnd };

// One run's threads. Single-owner; what threads share is in the atomic and what it publishes.
class Team {
 public:
  explicit Team(std::uint64_t count) : statuses_(count) { threads_.reserve(count); }

  // Those started earlier wait on.
  Status start(const ThreadKind& kind) {
    std::uint64_t index = 0;
    try {
      for (; index < kind.count; ++index) {
        Status& status = statuses_[threads_.size()];
        threads_.emplace_back([this, &kind, index, &status] {
          signal_.wait(Signal::kWait);
          if (signal_.load() == Signal::kWork) status = kind.work(index, begin_);
        });
      }
    } catch (const std::system_error& error) {
      return Status::error(StatusCode::kBusy,
                           kind.name + " " + std::to_string(index + 1) + " of " + std::to_string(kind.count) +
                               " cannot be started: " + error.code().message() +
                               "; raise the limits on processes or memory, or take fewer --" + kind.name + "s");
    }
    return {};
  }

  // Returns when all have ended.
  Result<double> run(Signal signal) {
    begin_ = Clock::now();
    signal_.store(signal);
    signal_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    const double seconds = seconds_since(begin_);
    for (const Status& status : statuses_) HDB_TRY(status);
    return seconds;
  }

 private:
  std::atomic<Signal> signal_{Signal::kWait};
  Clock::time_point begin_;       // published by signal_
  std::vector<Status> statuses_;  // by thread
  std::vector<std::thread> threads_;
};

}  // namespace

Result<double> run_threads(std::span<const ThreadKind> kinds) {
  std::uint64_t count = 0;
  for (const ThreadKind& kind : kinds) count += kind.count;
  Team team(count);
  for (const ThreadKind& kind : kinds) {
    Status started = team.start(kind);
    if (started.ok()) continue;
    ignore(team.run(Signal::kEnd).status(), "none of them has worked");
    return started;
  }
  return team.run(Signal::kWork);
}

}  // namespace hdb::bench
