// tools/cli/fields.h: a log line taken apart into fields, whatever its form.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/status.h>

namespace hdb::cli {

// The name of a field: one key first ("id.orig_h"), then, split at its dots, a path into objects.
struct FieldName {
  explicit FieldName(std::string name);

  std::string key;
  std::vector<std::string> path;  // empty if the key has no dot
};

// The fields of the current line. Single-owner.
class Fields {
 public:
  virtual ~Fields() = default;
  // Appends the texts of a field: one for text, numbers (exactly as written) and true/false; one for each such element
  // of an array; none if it is absent, null, empty or an object. They are valid until the next line.
  virtual void find(const FieldName& name, std::vector<std::string_view>& texts) = 0;
};

// A JSON object.
class JsonFields final : public Fields {
 public:
  JsonFields();
  ~JsonFields() override;

  // kInvalidArgument if `line` is not one JSON object in UTF-8. `line` must be followed by LineReader::kSlackBytes
  // readable bytes, and live as long as the fields are used.
  Status parse(std::string_view line);
  void find(const FieldName& name, std::vector<std::string_view>& texts) override;

 private:
  struct Parsers;
  std::unique_ptr<Parsers> parsers_;
  std::string_view line_;
  std::deque<std::string> numbers_;  // texts made for this line
};

// Zeek's tab-separated form. Header lines ("#fields", ...) hold for the lines behind them.
class ZeekFields final : public Fields {
 public:
  // Takes a line that begins with '#'. kInvalidArgument if it is a header that cannot be right.
  Status take_header(std::string_view line);
  bool has_header() const noexcept { return !columns_.empty(); }
  // The header lines in effect, to be given to take_header() one by one where a file is resumed.
  const std::vector<std::string>& headers() const noexcept { return headers_; }

  // kInvalidArgument if `line` does not fit the header or is not UTF-8. It must live as long as the fields are used.
  Status parse(std::string_view line);
  // "_path" is the #path of the header where no column has that name.
  void find(const FieldName& name, std::vector<std::string_view>& texts) override;

 private:
  struct Column {
    std::string name;
    bool is_list;  // of type set[...] or vector[...]
  };

  void add(std::string_view raw, std::vector<std::string_view>& texts);

  std::vector<std::string> headers_;
  std::string separator_ = "\t";
  std::string set_separator_ = ",";
  std::string empty_field_ = "(empty)";
  std::string unset_field_ = "-";
  std::string path_;
  std::vector<Column> columns_;
  std::vector<std::string_view> cells_;  // of the current line, by column
  std::deque<std::string> unescaped_;    // texts made for this line
};

}  // namespace hdb::cli
