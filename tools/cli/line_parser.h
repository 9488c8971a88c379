// tools/cli/line_parser.h: lines of an input format as events.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/event.h>

#include "tools/cli/fields.h"
#include "tools/cli/mapping.h"

namespace hdb::cli {

enum class InputFormat : std::uint8_t {
  kZeek,    // JSON, or tab-separated with '#' header lines
  kNdjson,  // a JSON object a line
  kLines,   // any bytes; no attributes but the format's name
};

// Single-owner.
class LineParser {
 public:
  // With `has_content_ids` an event's id is made of its type and the line's bytes.
  LineParser(InputFormat format, const Mapping& mapping, bool has_content_ids)
      : format_(format), has_content_ids_(has_content_ids), mapper_(mapping) {}

  // The file whose lines follow, from a place where these header lines are in effect.
  Status begin_file(std::string_view path, const std::vector<std::string>& headers);
  const std::vector<std::string>& headers() const noexcept { return zeek_.headers(); }

  // The event of a line; empty for a header line and, except in kLines, for a blank one. Its texts are valid until the
  // next call. kInvalidArgument says what is wrong with the line. It must be followed by LineReader::kSlackBytes
  // readable bytes.
  Result<std::optional<Event>> parse(std::string_view line);

 private:
  Result<Event> parse_zeek(std::string_view line);
  Result<Event> parse_json(std::string_view line);
  Result<Event> parse_raw(std::string_view line);

  const InputFormat format_;
  const bool has_content_ids_;
  EventMapper mapper_;
  JsonFields json_;
  ZeekFields zeek_;
};

}  // namespace hdb::cli
