#include "base/utf8.h"
#include "tools/cli/fields.h"

namespace hdb::cli {

namespace {

constexpr std::size_t kHeaderBytesMax = 64u << 10;  // of one header line: they are kept with the place of a resume

int hex_digit(char letter) noexcept {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

// Zeek writes bytes it cannot show as \x09, and a backslash as \\.
std::string unescape(std::string_view raw) {
  std::string text;
  for (std::size_t at = 0; at < raw.size(); ++at) {
    if (raw[at] == '\\' && at + 3 < raw.size() && raw[at + 1] == 'x') {
      const int high = hex_digit(raw[at + 2]);
      const int low = hex_digit(raw[at + 3]);
      if (high >= 0 && low >= 0) {
        text.push_back(static_cast<char>(high * 16 + low));
        at += 3;
        continue;
      }
    }
    if (raw[at] == '\\' && at + 1 < raw.size() && raw[at + 1] == '\\') ++at;
    text.push_back(raw[at]);
  }
  return text;
}

// "a,b" of ",": a and b; the whole if there is no separator.
void split(std::string_view text, std::string_view separator, std::vector<std::string_view>& parts) {
  parts.clear();
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + separator.size());
  }
}

}  // namespace

Status ZeekFields::take_header(std::string_view line) {
  if (line.size() > kHeaderBytesMax) return Status::invalid_argument("the Zeek header line is longer than 64 KiB");
  if (!is_utf8(line)) return Status::invalid_argument("the Zeek header line is not UTF-8");
  // All of them: what is kept for a resume must be taken there as it was here.
  while (line.ends_with('\r')) line.remove_suffix(1);
  const auto name_of = [this](std::string_view header) {
    return header.substr(0, header.find_first_of(separator_ + ' '));
  };
  const std::string_view name = name_of(line);
  std::string_view rest = line.substr(name.size());
  if (name == "#separator") {
    // The first line of a header: what was before it no longer holds. It alone is separated by a blank.
    rest.remove_prefix(rest.empty() ? 0 : 1);
    *this = ZeekFields();
    separator_ = unescape(rest);
    if (separator_.empty()) return Status::invalid_argument("the Zeek header has an empty #separator");
    headers_.emplace_back(line);
    return {};
  }
  rest.remove_prefix(rest.empty() ? 0 : rest.starts_with(separator_) ? separator_.size() : 1);
  if (name == "#set_separator" && !rest.empty()) {
    set_separator_ = rest;
  } else if (name == "#empty_field") {
    empty_field_ = rest;
  } else if (name == "#unset_field") {
    unset_field_ = rest;
  } else if (name == "#path") {
    path_ = rest;
  } else if (name == "#fields") {
    std::vector<std::string_view> names;
    split(rest, separator_, names);
    columns_.clear();
    for (const std::string_view column : names) columns_.push_back({std::string(column), false});
  } else if (name == "#types") {
    std::vector<std::string_view> types;
    split(rest, separator_, types);
    if (types.size() != columns_.size()) {
      return Status::invalid_argument("the Zeek header has " + std::to_string(columns_.size()) + " #fields but " +
                                      std::to_string(types.size()) + " #types");
    }
    for (std::size_t column = 0; column < types.size(); ++column) {
      columns_[column].is_list = types[column].starts_with("set[") || types[column].starts_with("vector[");
    }
  } else {
    return {};  // #open, #close and comments say nothing about fields
  }
  // What is no longer in effect is dropped: a file may say the same for ever.
  std::erase_if(headers_, [&](const std::string& header) {
    const std::string_view earlier = name_of(header);
    return earlier == name || (name == "#fields" && earlier == "#types");
  });
  headers_.emplace_back(line);
  return {};
}

Status ZeekFields::parse(std::string_view line) {
  unescaped_.clear();
  if (!is_utf8(line)) return Status::invalid_argument("not UTF-8; convert the line, or use --format lines");
  if (line.ends_with('\r')) line.remove_suffix(1);
  split(line, separator_, cells_);
  if (cells_.size() != columns_.size()) {
    return Status::invalid_argument("has " + std::to_string(cells_.size()) + " columns, but #fields names " +
                                    std::to_string(columns_.size()));
  }
  return {};
}

void ZeekFields::add(std::string_view raw, std::vector<std::string_view>& texts) {
  if (raw.empty() || raw == unset_field_ || raw == empty_field_) return;
  if (raw.find('\\') == std::string_view::npos) return texts.push_back(raw);
  std::string text = unescape(raw);
  if (!is_utf8(text)) return texts.push_back(raw);  // bytes of no text: as Zeek shows them
  unescaped_.push_back(std::move(text));
  texts.push_back(unescaped_.back());
}

void ZeekFields::find(const FieldName& name, std::vector<std::string_view>& texts) {
  for (std::size_t column = 0; column < columns_.size(); ++column) {
    if (columns_[column].name != name.key) continue;
    const std::string_view cell = cells_[column];
    if (!columns_[column].is_list) return add(cell, texts);
    if (cell == unset_field_ || cell == empty_field_) return;
    std::vector<std::string_view> elements;
    split(cell, set_separator_, elements);
    for (const std::string_view element : elements) add(element, texts);
    return;
  }
  if (name.key == "_path" && !path_.empty() && path_ != unset_field_) texts.push_back(path_);
}

}  // namespace hdb::cli
