// engine/resume_token.h: where a query stopped, as text a client may keep.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <hdb/event.h>

#include "base/ids.h"

namespace hdb {

struct ResumeToken {
  StoreId store{};
  Epoch epoch;                          // of the open that made it
  std::uint64_t query_fingerprint = 0;  // QueryPlan::fingerprint()
  bool has_event = false;               // false: nothing was returned yet
  Position position = 0;                // of the last event returned
  Timestamp time{};                     // of that event

  // Hexadecimal, with a checksum.
  std::string encode() const;
  // kInvalidArgument if `text` is not what encode() made.
  static Result<ResumeToken> decode(std::string_view text);
};

}  // namespace hdb
