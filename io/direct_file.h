// io/direct_file.h: a large file written past the page cache.
#pragma once

#include <memory>
#include <string>

#include "io/env.h"
#include "io/posix_file.h"

namespace hdb {

// `file`: new, open for writing. What is shorter than one buffer, and where the system refuses, goes through the page
// cache.
std::unique_ptr<WritableFile> make_direct_file(FileDescriptor file, std::string path);

}  // namespace hdb
