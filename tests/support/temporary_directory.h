// tests/support/temporary_directory.h: a directory of the operating system, for as long as a test needs it.
#pragma once

#include <filesystem>
#include <string>

namespace hdb::test {

// Empty at first, with a space in its path; removed at the end with all that is in it.
class TemporaryDirectory {
 public:
  // Made in `parent`; empty: where temporary files belong.
  explicit TemporaryDirectory(const std::filesystem::path& parent = {});
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const noexcept { return path_; }
  // Of a store in it.
  std::string store() const { return path_ + "/store"; }

 private:
  std::string path_;
};

}  // namespace hdb::test
