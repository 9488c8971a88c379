// base/seeded_defect.h: deliberate bugs, one line each, that prove the tests would find such a bug.
//
// HDB_SEEDED(name) is false, and nothing of it is in the program, unless the build is made with -Dseeded_defects=true;
// there it is true if the environment names it: HDB_SEEDED_DEFECT=name. tests/seeded_defects.py runs the tests with
// each.
#pragma once

#ifdef HDB_SEEDED_DEFECTS

#include <cstdlib>
#include <string_view>

namespace hdb {

inline bool is_seeded(std::string_view name) noexcept {
  static const char* const chosen = std::getenv("HDB_SEEDED_DEFECT");
  return chosen != nullptr && name == chosen;
}

}  // namespace hdb

#define HDB_SEEDED(name) ::hdb::is_seeded(#name)

#else

#define HDB_SEEDED(name) false

#endif
