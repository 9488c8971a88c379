// tests/support/test_run.h: what the environment says of a test run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hdb::test {

// The seed of a random test: HDB_TEST_SEED, else drawn; printed with a failure by CAPTURE(seed).
std::uint64_t test_seed();
// How long random tests run: HDB_TEST_SCALE (default 1) times `count`, at least 1.
std::size_t scaled(std::size_t count);

// Counts the running test case as skipped unless an assertion of it failed, and prints why; the case then returns.
void skip(std::string_view why);

}  // namespace hdb::test
