// engine/json.h: whether metadata is what it must be.
#pragma once

#include <string_view>

#include <hdb/status.h>

namespace hdb {

// kOk for empty text and for a JSON object (RFC 8259); kInvalidArgument says what is wrong otherwise.
Status check_metadata(std::string_view metadata);

}  // namespace hdb
