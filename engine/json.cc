#include "engine/json.h"

#include <simdjson.h>

namespace hdb {

Status check_metadata(std::string_view metadata) {
  if (metadata.empty()) return {};
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element root;
  const auto error = parser.parse(metadata.data(), metadata.size()).get(root);
  if (error == simdjson::MEMALLOC) return Status::error(StatusCode::kOutOfMemory, "event metadata: out of memory");
  if (error != simdjson::SUCCESS) {
    return Status::invalid_argument(std::string("event metadata is not valid JSON: ") + simdjson::error_message(error));
  }
  if (!root.is_object()) return Status::invalid_argument("event metadata is not a JSON object; wrap it in {}");
  return {};
}

}  // namespace hdb
