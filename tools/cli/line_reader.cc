#include "tools/cli/line_reader.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

namespace hdb::cli {

namespace {

constexpr std::size_t kReadBytes = 256u << 10;
constexpr std::chrono::milliseconds kPatience{100};  // a pipe that gives nothing for so long is waited for

constexpr std::uint64_t kHashFactor = 0x9e3779b97f4a7c15;  // odd

constexpr std::array<std::uint64_t, 9> powers_of_factor() noexcept {
  std::array<std::uint64_t, 9> powers{1};
  for (std::size_t power = 1; power < powers.size(); ++power) powers[power] = powers[power - 1] * kHashFactor;
  return powers;
}

}  // namespace

// The bytes as digits of a number to the base kHashFactor, modulo 2^64 (Karp and Rabin 1987), plus one so that zeros
// count. It tells files apart that were not made to deceive.
std::uint64_t extended_hash(std::uint64_t hash, ByteView bytes) noexcept {
  constexpr std::array<std::uint64_t, 9> kPowers = powers_of_factor();
  const auto digit = [](std::byte byte) { return std::to_integer<std::uint64_t>(byte) + 1; };
  while (bytes.size() >= 8) {
    std::uint64_t sum = 0;
    for (std::size_t index = 0; index < 8; ++index) sum += digit(bytes[index]) * kPowers[7 - index];
    hash = hash * kPowers[8] + sum;
    bytes = bytes.subspan(8);
  }
  for (const std::byte byte : bytes) hash = hash * kHashFactor + digit(byte);
  return hash;
}

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
  if (before_wait_ && !stream_.is_ready(kPatience)) HDB_TRY(before_wait_());
  const std::size_t count = HDB_TRY(stream_.read(MutableBytes(buffer_).subspan(end_, kReadBytes)));
  end_ += count;
  is_at_end_ = count == 0;
  return {};
}

std::optional<Line> LineReader::finish(std::size_t text_bytes, bool has_newline) {
  const std::size_t line_bytes = text_bytes + (has_newline ? 1 : 0);
  offset_ += line_bytes;
  hash_ = extended_hash(hash_, ByteView(buffer_).subspan(begin_, line_bytes));
  Line line{.text = as_text(ByteView(buffer_).subspan(begin_, text_bytes)),
            .number = ++number_,
            .end_offset = offset_,
            .end_hash = hash_,
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
      hash_ = extended_hash(hash_, ByteView(buffer_).subspan(begin_, end_ - begin_));
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
