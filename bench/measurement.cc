#include "bench/measurement.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

namespace hdb::bench {

namespace {

// The run going on, for the handler below.
volatile std::sig_atomic_t running_child = 0;
volatile std::sig_atomic_t stopping_signal = 0;

// The run ends, and its parent goes on to remove what it made.
void on_stop(int signal) {
  stopping_signal = signal;
  if (running_child > 0) ::kill(static_cast<pid_t>(running_child), SIGKILL);
}

void handle_stops(void (*handler)(int)) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, handler);
}

// How a child ends that did its work.
enum class End : std::uint8_t { kExit, kKill };

// First byte of what the child sends.
constexpr char kMeasured = 1;  // then the measurement
constexpr char kFailed = 0;    // then the error's text

bool write_all(int descriptor, const char* bytes, std::size_t count) {
  while (count > 0) {
    const ssize_t written = ::write(descriptor, bytes, count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    count -= static_cast<std::size_t>(written);
  }
  return true;
}

std::string read_all(int descriptor) {
  std::string all;
  char piece[4096];
  while (true) {
    const ssize_t count = ::read(descriptor, piece, sizeof piece);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return all;
    all.append(piece, static_cast<std::size_t>(count));
  }
}

// An engine of a peer may throw; what it threw is the run's error.
Status run_guarded(const std::function<Status()>& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return Status::io_error(std::string("the engine threw: ") + error.what());
  }
}

[[noreturn]] void run_child(const std::function<Status()>& work, const void* measurement, std::size_t bytes, End end,
                            int descriptor) {
  const Status status = run_guarded(work);
  std::string answer(1, status.ok() ? kMeasured : kFailed);
  if (status.ok()) {
    answer.append(static_cast<const char*>(measurement), bytes);
  } else {
    answer.append(status.message());
  }
  const bool is_sent = write_all(descriptor, answer.data(), answer.size());
  if (status.ok() && end == End::kKill) ::kill(::getpid(), SIGKILL);
  ::_exit(is_sent ? 0 : 1);
}

Status stopped() {
  return Status::error(StatusCode::kClosed, "stopped by signal " + std::to_string(stopping_signal));
}

Status run_forked(const std::function<Status()>& work, void* measurement, std::size_t bytes, End end) {
  handle_stops(&on_stop);
  if (stopping_signal != 0) return stopped();
  int ends[2];
  if (::pipe(ends) != 0) return Status::io_error(std::string("pipe: ") + std::strerror(errno));
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    const std::string reason = std::strerror(errno);
    ::close(ends[0]);
    ::close(ends[1]);
    return Status::io_error("fork: " + reason);
  }
  running_child = child;
  if (child == 0) {
    handle_stops(SIG_DFL);
    // Nobody waits for the figures of one whose parent was killed, maybe before this call.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ::close(ends[0]);
    run_child(work, measurement, bytes, end, ends[1]);
  }
  ::close(ends[1]);
  const std::string answer = read_all(ends[0]);
  ::close(ends[0]);
  int exit_status = 0;
  while (::waitpid(child, &exit_status, 0) < 0 && errno == EINTR) continue;
  running_child = 0;
  if (stopping_signal != 0) return stopped();
  const bool is_killed_as_planned = end == End::kKill && answer == std::string(1, kMeasured);
  if (WIFSIGNALED(exit_status) && !is_killed_as_planned) {
    return Status::io_error("the run was ended by signal " + std::to_string(WTERMSIG(exit_status)));
  }
  if (answer.empty()) return Status::io_error("the run ended without a result");
  if (answer[0] == kFailed) return Status::io_error(answer.substr(1));
  if (answer.size() != 1 + bytes) return Status::io_error("the run's result was cut short");
  if (bytes > 0) std::memcpy(measurement, answer.data() + 1, bytes);
  return {};
}

}  // namespace

Status run_in_child(const std::function<Status()>& work, void* measurement, std::size_t bytes) {
  return run_forked(work, measurement, bytes, End::kExit);
}

Status run_in_killed_child(const std::function<Status()>& work) {
  return run_forked(work, nullptr, 0, End::kKill);
}

}  // namespace hdb::bench
