// tests/fuzz/table_samples.h: tables, as their builders write them.
#pragma once

#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace hdb::fuzz {

inline constexpr FileNumber kSampleTable{1};

// Of events and of keys, uncompressed and compressed, all valid as kSampleTable.
std::vector<Buffer> table_seeds();

}  // namespace hdb::fuzz
