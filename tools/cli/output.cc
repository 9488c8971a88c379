#include "tools/cli/output.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>

#include "base/utf8.h"
#include "tools/cli/time_text.h"

namespace hdb::cli {

namespace {

constexpr std::size_t kBufferBytes = 256u << 10;
constexpr std::size_t kTableGroup = 256;    // rows aligned together
constexpr std::size_t kTableDataMax = 100;  // code points of a payload shown
constexpr std::array kTableColumns = {"position", "time", "type", "host", "entity", "tags", "data"};

void append_base64(std::string& to, ByteView bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (std::size_t byte = 0; byte < 3; ++byte) {
      group = group << 8 | (at + byte < bytes.size() ? std::to_integer<std::uint32_t>(bytes[at + byte]) : 0);
    }
    const std::size_t letters = std::min<std::size_t>(3, bytes.size() - at) + 1;
    for (std::size_t letter = 0; letter < 4; ++letter) {
      to.push_back(letter < letters ? kLetters[group >> (18 - 6 * letter) & 0x3f] : '=');
    }
  }
}

bool begins_code_point(char byte) noexcept {
  return (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_code_point));
}

// One line of at most `points_max` code points: control characters as blanks, other bytes as '?'.
std::string cell_of(std::string_view text, std::size_t points_max) {
  const bool is_text = is_utf8(text);
  std::string cell;
  std::size_t points = 0;
  for (const char byte : text) {
    const auto value = static_cast<unsigned char>(byte);
    if ((!is_text || begins_code_point(byte)) && ++points > points_max) return cell + "…";
    cell.push_back(value < 0x20 || value == 0x7f ? ' ' : (!is_text && value >= 0x80) ? '?' : byte);
  }
  return cell;
}

}  // namespace

Output::Output() {
  // A closed pipe shows as EPIPE of a write.
  std::signal(SIGPIPE, SIG_IGN);
  buffer_.reserve(kBufferBytes);
}

Status Output::write(std::string_view text) {
  buffer_.append(text);
  return buffer_.size() < kBufferBytes ? Status() : flush();
}

Status Output::flush() {
  if (is_closed_) buffer_.clear();
  const bool is_written = std::fwrite(buffer_.data(), 1, buffer_.size(), stdout) == buffer_.size();
  buffer_.clear();
  if (is_written && std::fflush(stdout) == 0) return {};
  is_closed_ = true;
  const int error = errno;
  std::clearerr(stdout);          // told here, and only here
  if (error == EPIPE) return {};  // whoever read it has seen enough
  return Status::io_error(
      fmt::format("standard output: cannot write: {}; free space or write elsewhere", std::strerror(error)));
}

void append_json_string(std::string& to, std::string_view text) {
  to.push_back('"');
  for (const char letter : text) {
    switch (letter) {
      case '"':
        to += "\\\"";
        break;
      case '\\':
        to += "\\\\";
        break;
      case '\n':
        to += "\\n";
        break;
      case '\r':
        to += "\\r";
        break;
      case '\t':
        to += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(letter) < 0x20) {
          to += fmt::format("\\u{:04x}", static_cast<unsigned>(letter));
        } else {
          to.push_back(letter);
        }
    }
  }
  to.push_back('"');
}

void append_envelope(std::string& to, const StoredEvent& event) {
  to += fmt::format("{{\"position\":{},\"id\":\"{}\",\"time\":\"{}\",\"commit_time\":\"{}\"", event.position(),
                    event.id().to_string(), format_time(event.time()), format_time(event.commit_time()));
  const auto add_text = [&to](std::string_view name, std::string_view text) {
    if (text.empty()) return;
    to += fmt::format(",\"{}\":", name);
    append_json_string(to, text);
  };
  add_text("type", event.type());
  add_text("entity", event.entity());
  add_text("host", event.host());
  for (std::size_t index = 0; index < event.tag_count(); ++index) {
    to += index == 0 ? ",\"tags\":[" : ",";
    append_json_string(to, event.tag(index));
  }
  if (event.tag_count() > 0) to.push_back(']');
  add_text("stream", event.stream());
  add_text("source", event.source());
  add_text("collector", event.collector());
  add_text("format", event.format());
  add_text("content_type", event.content_type());
  add_text("schema", event.schema());
  if (!event.metadata().empty()) {
    // A JSON object; between its tokens there may be newlines, which one line must not have.
    std::string metadata(event.metadata());
    std::replace(metadata.begin(), metadata.end(), '\n', ' ');
    std::replace(metadata.begin(), metadata.end(), '\r', ' ');
    to += ",\"metadata\":" + metadata;
  }
  const std::string_view payload = as_text(event.payload());
  if (is_utf8(payload)) {
    to += ",\"data\":";
    append_json_string(to, payload);
  } else {
    to += ",\"data_base64\":\"";
    append_base64(to, event.payload());
    to.push_back('"');
  }
  to.push_back('}');
}

Status EventPrinter::print(const StoredEvent& event) {
  ++count_;
  switch (form_) {
    case OutputForm::kCount:
      return {};
    case OutputForm::kTable:
      add_row(event);
      return rows_.size() < kTableGroup ? Status() : print_rows();
    case OutputForm::kRaw:
      HDB_TRY(output_.write(as_text(event.payload())));
      return output_.write("\n");
    case OutputForm::kNdjson:
      line_.clear();
      append_envelope(line_, event);
      line_.push_back('\n');
      return output_.write(line_);
  }
  return {};
}

Status EventPrinter::finish() {
  if (form_ == OutputForm::kCount) HDB_TRY(output_.write(fmt::format("{}\n", count_)));
  if (form_ == OutputForm::kTable) HDB_TRY(print_rows());
  return output_.flush();
}

void EventPrinter::add_row(const StoredEvent& event) {
  if (widths_.empty()) {
    widths_.assign(kTableColumns.size(), 0);
    rows_.emplace_back(kTableColumns.begin(), kTableColumns.end());
  }
  std::string tags;
  for (std::size_t index = 0; index < event.tag_count(); ++index) {
    if (index > 0) tags += ' ';
    tags += event.tag(index);
  }
  rows_.push_back({std::to_string(event.position()), format_time(event.time()), cell_of(event.type(), 24),
                   cell_of(event.host(), 40), cell_of(event.entity(), 40), cell_of(tags, 60),
                   cell_of(as_text(event.payload()), kTableDataMax)});
}

Status EventPrinter::print_rows() {
  for (const Row& row : rows_) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths_[column] = std::max(widths_[column], code_points(row[column]));
    }
  }
  for (const Row& row : rows_) {
    line_.clear();
    for (std::size_t column = 0; column < row.size(); ++column) {
      line_ += row[column];
      if (column + 1 < row.size()) line_.append(widths_[column] - code_points(row[column]) + 2, ' ');
    }
    line_.erase(line_.find_last_not_of(' ') + 1);
    line_.push_back('\n');
    HDB_TRY(output_.write(line_));
  }
  rows_.clear();
  return {};
}

}  // namespace hdb::cli
