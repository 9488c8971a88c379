// io/posix_log_file.h: a log segment as a file of the operating system.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "io/env.h"
#include "io/posix_file.h"

namespace hdb {

// `bytes`: the size of the file, which is open for reading and writing.
std::unique_ptr<LogFile> make_posix_log_file(FileDescriptor file, std::string path, std::uint64_t bytes,
                                             LogWrites writes);

}  // namespace hdb
