#include "tools/program/program.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace hdb {

void prepare_program() noexcept {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The wrong way round on purpose, but for errors, which nobody could be told of. open() takes the lowest free
    // number, which is this one.
    const int direction = descriptor == STDOUT_FILENO ? O_RDONLY : O_WRONLY;
    if (::open("/dev/null", direction) != descriptor) std::abort();
  }
  std::signal(SIGXFSZ, SIG_IGN);
}

Status finish_output() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return {};
  return Status::io_error(std::string("standard output cannot be written: ") +
                          (errno != 0 ? std::strerror(errno) : "an earlier write failed"));
}

}  // namespace hdb
