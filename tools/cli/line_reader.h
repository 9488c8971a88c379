// tools/cli/line_reader.h: a stream as lines, with the place of each.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tools/cli/input_stream.h"

namespace hdb::cli {

struct Line {
  std::string_view text;         // without the newline; at least LineReader::kSlackBytes readable bytes follow it
  std::uint64_t number = 0;      // from 1
  std::uint64_t end_offset = 0;  // behind its newline, in unpacked bytes
  std::uint64_t end_hash = 0;    // of everything before end_offset
  bool has_newline = false;      // only the last line of a file may lack one
  bool is_too_long = false;      // longer than line_bytes_max: `text` is empty, the line was passed over
};

// A hash of all bytes before a place that goes on from there: the same bytes in other pieces give the same.
std::uint64_t extended_hash(std::uint64_t hash, ByteView bytes) noexcept;

// Single-owner. Memory is bounded by the longest line allowed.
class LineReader {
 public:
  static constexpr std::size_t kSlackBytes = 64;  // what simdjson reads behind a document

  // Lines are counted from `line_number` + 1, offsets from where the stream is; `hash` is of what is before that.
  LineReader(InputStream& stream, std::size_t line_bytes_max, std::uint64_t line_number = 0, std::uint64_t hash = 0)
      : stream_(stream), line_bytes_max_(line_bytes_max), number_(line_number), offset_(stream.offset()), hash_(hash) {}

  // Called before a read that would wait: what was read so far should wait for nothing. Its error ends the reading.
  void set_before_wait(std::function<Status()> before_wait) { before_wait_ = std::move(before_wait); }

  // The next line; its text is valid until the next call. Empty at the end. An error comes after the lines before it.
  Result<std::optional<Line>> next();

 private:
  Status fill();
  std::optional<Line> finish(std::size_t text_bytes, bool has_newline);

  InputStream& stream_;
  const std::size_t line_bytes_max_;
  std::uint64_t number_;
  std::uint64_t offset_;  // of begin_ in the stream
  std::uint64_t hash_;    // of everything before begin_
  std::function<Status()> before_wait_;
  Buffer buffer_;
  std::size_t begin_ = 0;  // of the current line
  std::size_t seen_ = 0;   // searched for a newline up to here
  std::size_t end_ = 0;    // of what was read
  bool is_at_end_ = false;
  bool is_passing_over_ = false;  // the current line is too long and its beginning was dropped
};

}  // namespace hdb::cli
