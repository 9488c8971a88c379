// tests/support/file_contents.h: what tests write to files and logs of an Env, and read from them.
#pragma once

#include <cstdint>
#include <string>

#include "io/env.h"

namespace hdb::test {

// Bytes of which none is zero.
Buffer pattern(std::size_t size, std::uint64_t seed);

// As a new file, closed.
void write_whole(Env& env, const std::string& path, ByteView content, bool is_synced = true);
std::string text_of(Env& env, const std::string& path);

// One write to prepared space; checks that it was whole.
Status write_log(LogFile& log, std::uint64_t offset, ByteView piece, bool is_durable);

}  // namespace hdb::test
