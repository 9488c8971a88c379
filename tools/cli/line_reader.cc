#include "tools/cli/line_reader.h"

#include <algorithm>
#include <cstring>

namespace hdb::cli {

namespace {

constexpr std::size_t kReadBytes = 256u << 10;

}  // namespace

// Reads more behind end_, moving the current line to the front first.
Status LineReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    seen_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() < end_ + kReadBytes + kSlackBytes) {
    buffer_.resize(std::max(end_ + kReadBytes + kSlackBytes, 2 * end_));
  }
  const std::size_t count = HDB_TRY(stream_.read(MutableBytes(buffer_).subspan(end_, kReadBytes)));
  end_ += count;
  is_at_end_ = count == 0;
  return {};
}

std::optional<Line> LineReader::finish(std::size_t text_bytes, bool has_newline) {
  const std::size_t line_bytes = text_bytes + (has_newline ? 1 : 0);
  offset_ += line_bytes;
  Line line{.text = as_text(ByteView(buffer_).subspan(begin_, text_bytes)),
            .number = ++number_,
            .end_offset = offset_,
            .has_newline = has_newline,
            .is_too_long = is_passing_over_ || text_bytes > line_bytes_max_};
  if (line.is_too_long) line.text = {};
  begin_ += line_bytes;
  seen_ = begin_;
  is_passing_over_ = false;
  return line;
}

Result<std::optional<Line>> LineReader::next() {
  while (true) {
    const void* const newline = seen_ == end_ ? nullptr : std::memchr(buffer_.data() + seen_, '\n', end_ - seen_);
    if (newline != nullptr) {
      return finish(static_cast<std::size_t>(static_cast<const std::byte*>(newline) - (buffer_.data() + begin_)), true);
    }
    seen_ = end_;
    if (end_ - begin_ > line_bytes_max_) {
      is_passing_over_ = true;
      offset_ += end_ - begin_;
      begin_ = end_;
    }
    if (is_at_end_) {
      if (begin_ == end_ && !is_passing_over_) return std::optional<Line>();
      return finish(end_ - begin_, false);
    }
    HDB_TRY(fill());
  }
}

}  // namespace hdb::cli
