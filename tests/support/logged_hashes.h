// tests/support/logged_hashes.h: the log's events against their leaf hashes.
#pragma once

#include <cstdint>
#include <string>

#include "io/env.h"

namespace hdb::test {

struct LoggedEvents {
  std::uint64_t events = 0;
  std::uint64_t hashed = 0;  // of these, with a leaf hash
};

// Of the log of the store in `directory`, which no engine has open. kCorruption if an event differs from its leaf hash.
Result<LoggedEvents> check_logged_hashes(Env& env, const std::string& directory);

}  // namespace hdb::test
