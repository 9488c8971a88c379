#include "tools/cli/line_parser.h"

namespace hdb::cli {

Status LineParser::begin_file(std::string_view path, const std::vector<std::string>& headers) {
  mapper_.begin_file(path);
  zeek_ = ZeekFields();
  for (const std::string& header : headers) HDB_TRY(zeek_.take_header(header));
  return {};
}

Result<std::optional<Event>> LineParser::parse(std::string_view line) {
  if (format_ != InputFormat::kLines && line.find_first_not_of(" \t\r") == std::string_view::npos) {
    return std::optional<Event>();
  }
  if (format_ == InputFormat::kZeek && line.front() == '#') {
    HDB_TRY(zeek_.take_header(line));
    return std::optional<Event>();
  }
  Event event = HDB_TRY(format_ == InputFormat::kZeek     ? parse_zeek(line)
                        : format_ == InputFormat::kNdjson ? parse_json(line)
                                                          : parse_raw(line));
  // A tab-separated line says less than its log's name and header: the type keeps equal lines of two logs apart.
  if (has_content_ids_) event.id = EventId::from_name(std::string("hdb.content:") + std::string(event.type), line);
  return std::optional<Event>(event);
}

Result<Event> LineParser::parse_zeek(std::string_view line) {
  if (zeek_.has_header()) {
    HDB_TRY(zeek_.parse(line));
    return mapper_.map(line, zeek_);
  }
  if (line.front() != '{') {
    return Status::invalid_argument("neither a JSON object nor behind a #fields line; is --format zeek right?");
  }
  return parse_json(line);
}

Result<Event> LineParser::parse_json(std::string_view line) {
  HDB_TRY(json_.parse(line));
  return mapper_.map(line, json_);
}

Result<Event> LineParser::parse_raw(std::string_view line) {
  Event event;
  event.format = "Raw";
  event.payload = as_bytes(line);
  return event;
}

}  // namespace hdb::cli
