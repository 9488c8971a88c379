// tests/support/logged_hashes.h: the log's events against their leaf hashes.
#pragma once

#include <cstdint>
#include <string>

#include "io/env.h"

namespace hdb::test {

// Of the store in `directory`, which no engine has open: how many events of its log have leaf hashes. kCorruption if
// one of them differs from its own.
Result<std::uint64_t> check_logged_hashes(Env& env, const std::string& directory);

}  // namespace hdb::test
