// One thread that never waits for the disk: it submits batches, and an eventfd wakes its loop when some are done.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <hdb/engine.h>

// Results on their way from the engine's thread to the loop. Thread-safe.
class Completions {
 public:
  int descriptor() const { return descriptor_; }
  bool is_open() const { return descriptor_ >= 0; }

  void add(const hdb::Result<hdb::AppendResult>& result) {
    {
      const std::lock_guard lock(mutex_);
      results_.push_back(result);
    }
    const std::uint64_t one = 1;
    static_cast<void>(!write(descriptor_, &one, sizeof one));  // fails only when the loop has yet to look anyway
  }

  std::vector<hdb::Result<hdb::AppendResult>> take() {
    std::uint64_t count = 0;
    static_cast<void>(!read(descriptor_, &count, sizeof count));
    const std::lock_guard lock(mutex_);
    return std::exchange(results_, {});
  }

  ~Completions() {
    if (is_open()) close(descriptor_);
  }

 private:
  const int descriptor_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  std::mutex mutex_;
  std::vector<hdb::Result<hdb::AppendResult>> results_;
};

hdb::Status run(const char* directory) {
  constexpr int kEvents = 10'000;
  constexpr int kInFlight = 64;
  Completions completions;  // outlives the engine, whose callbacks use it
  if (!completions.is_open()) return hdb::Status::io_error("the system gives no eventfd");
  const auto engine = HDB_TRY(hdb::Engine::open(directory, hdb::presets::durable()));
  int submitted = 0, done = 0;
  while (done < kEvents) {
    while (submitted < kEvents && submitted - done < kInFlight) {
      const std::string payload = "number " + std::to_string(submitted);
      const hdb::Event event{.type = "tick", .payload = hdb::as_bytes(payload)};
      HDB_TRY(engine->submit({.events = {&event, 1}},
                             [&](const hdb::Result<hdb::AppendResult>& result) { completions.add(result); }));
      ++submitted;
    }
    pollfd waited_for{.fd = completions.descriptor(), .events = POLLIN, .revents = 0};
    poll(&waited_for, 1, -1);  // sockets would be waited for here too
    for (const auto& result : completions.take()) {
      HDB_TRY(hdb::Status(result.status()));
      ++done;
    }
  }
  std::printf("%d events durable in %llu groups\n", done, static_cast<unsigned long long>(engine->stats().log_groups));
  return engine->close();
}

int main(int argc, char** argv) {
  const hdb::Status status = run(argc > 1 ? argv[1] : "event-loop-store");
  if (!status.ok()) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  return status.ok() ? 0 : 1;
}
