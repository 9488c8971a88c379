// Whoever waits is led exactly once, by one leader at a time, each caller's appends in their order.
#include "engine/commit_queue.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/test_run.h"

namespace hdb::test {

namespace {

// Marks those of a group as written, in order. Single-owner: the leader's.
class Leading {
 public:
  explicit Leading(CommitQueue& queue) : queue_(queue) {}

  bool lead(bool is_to_gather) {
    CHECK(leaders_.fetch_add(1) == 0);
    for (PendingAppend* const pending : queue_.take()) {
      CHECK(pending->outcome == PendingAppend::Outcome::kFailed);
      pending->outcome = PendingAppend::Outcome::kWritten;
      pending->first_position = led_++;
    }
    CHECK(leaders_.fetch_sub(1) == 1);
    return is_to_gather;
  }
  Position led() const { return led_; }

 private:
  CommitQueue& queue_;
  std::atomic<int> leaders_ = 0;
  Position led_ = 0;
};

}  // namespace

TEST_CASE("a caller alone leads itself each time") {
  CommitQueue queue;
  Leading leading(queue);
  for (Position append = 0; append < 100; ++append) {
    PendingAppend pending;
    queue.run(pending, [&] { return leading.lead(true); });
    CHECK(pending.outcome == PendingAppend::Outcome::kWritten);
    CHECK(pending.first_position == append);
  }
}

TEST_CASE("of many threads each append is led once, one group at a time, whether leaders wait for others or not") {
  constexpr int kThreads = 8;
  const int appends = static_cast<int>(scaled(2000));
  for (const bool is_to_gather : {false, true}) {
    CommitQueue queue;
    Leading leading(queue);
    std::atomic<int> misled = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        Position last = 0;
        for (int append = 0; append < appends; ++append) {
          PendingAppend pending;
          queue.run(pending, [&] { return leading.lead(is_to_gather); });
          const bool is_led = pending.outcome == PendingAppend::Outcome::kWritten;
          const bool is_later = append == 0 || pending.first_position > last;
          misled += is_led && is_later ? 0 : 1;
          last = pending.first_position;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(misled == 0);
    CHECK(leading.led() == static_cast<Position>(kThreads * appends));
  }
}

TEST_CASE("those who come while a group is written are led together by the next leader") {
  constexpr int kWaiting = 5;
  CommitQueue queue;
  std::atomic<int> began = 0;
  std::atomic<bool> may_end = false;
  std::vector<std::size_t> groups;
  const auto lead = [&] {
    const std::size_t size = queue.take().size();
    groups.push_back(size);
    ++began;
    while (!may_end) std::this_thread::yield();
    return false;
  };
  std::vector<std::thread> threads;
  const auto start = [&] {
    threads.emplace_back([&] {
      PendingAppend pending;
      queue.run(pending, lead);
    });
  };
  start();
  while (began == 0) std::this_thread::yield();
  for (int thread = 0; thread < kWaiting; ++thread) start();
  while (queue.waiting() < kWaiting) std::this_thread::yield();
  may_end = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(groups == std::vector<std::size_t>{1, kWaiting});
}

}  // namespace hdb::test
