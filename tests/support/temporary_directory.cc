#include "tests/support/temporary_directory.h"

#include <cstdlib>

#include <doctest/doctest.h>

namespace hdb::test {

TemporaryDirectory::TemporaryDirectory(const std::filesystem::path& parent)
    : path_(((parent.empty() ? std::filesystem::temp_directory_path() : parent) / "hdb test XXXXXX").string()) {
  REQUIRE(::mkdtemp(path_.data()) != nullptr);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;  // what cannot be removed is in the way of nobody
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace hdb::test
