// tools/cli/output.h: standard output, buffered, and events in the forms of --output.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/event.h>

namespace hdb::cli {

enum class OutputForm : std::uint8_t {
  kRaw,     // payload bytes as they came, one a line
  kNdjson,  // a JSON object a line: position, id, times, attributes, and `data` (text) or `data_base64`
  kTable,   // columns for people
  kCount,   // how many
};

// Single-owner. A reader that has gone away (`| head`) is not an error: is_closed() says to stop.
class Output {
 public:
  Output();
  // kIoError with errno's text.
  Status write(std::string_view text);
  Status flush();
  bool is_closed() const noexcept { return is_closed_; }

 private:
  std::string buffer_;
  bool is_closed_ = false;
};

// Prints events in one form. Single-owner; finish() comes last.
class EventPrinter {
 public:
  EventPrinter(Output& output, OutputForm form) : output_(output), form_(form) {}

  Status print(const StoredEvent& event);
  Status finish();

 private:
  using Row = std::vector<std::string>;

  void add_row(const StoredEvent& event);
  Status print_rows();

  Output& output_;
  const OutputForm form_;
  std::uint64_t count_ = 0;
  std::string line_;
  std::vector<Row> rows_;            // of a table: printed in groups, so that columns can be aligned in bounded memory
  std::vector<std::size_t> widths_;  // by column, in code points; never shrink
};

// The JSON object of kNdjson, without a newline, appended to `to`.
void append_envelope(std::string& to, const StoredEvent& event);

// `text`, which is UTF-8, as a JSON string with its quotes, appended to `to`.
void append_json_string(std::string& to, std::string_view text);

}  // namespace hdb::cli
