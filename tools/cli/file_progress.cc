// The bytes of a file's place, as kept in the store.
#include "base/bytes.h"
#include "base/checksum.h"
#include "tools/cli/ingest_progress.h"

namespace hdb::cli {

namespace {

constexpr std::uint8_t kProgressVersion = 2;

void append_text(Buffer& to, std::string_view text) {
  append_varint(to, text.size());
  append(to, as_bytes(text));
}

Result<std::string> take_text(Cursor& cursor) {
  return std::string(as_text(HDB_TRY(cursor.sized_bytes())));
}

}  // namespace

void LinePlace::advance(const Line& end) {
  std::string tail(end.text.substr(end.text.size() - std::min(end.text.size(), FileHead::kBytesMax)));
  if (end.has_newline) tail.push_back('\n');
  offset = end.end_offset;
  hash = end.end_hash;
  line = end.number;
  is_line_open = !end.has_newline;
  tail_bytes = static_cast<std::uint32_t>(tail.size());
  tail_hash = hash64(as_bytes(tail));
}

std::string FileProgress::encode() const {
  Buffer value;
  append_fixed(value, kProgressVersion);
  append_text(value, path);
  for (const std::uint64_t number : {stamp.device, stamp.inode, stamp.bytes}) append_varint(value, number);
  append_fixed(value, stamp.modified_ns);
  append_varint(value, head_bytes);
  append_fixed(value, head_hash);
  append_varint(value, offset);
  append_varint(value, line);
  append_varint(value, tail_bytes);
  append_fixed(value, tail_hash);
  append_fixed(value, hash);
  append_fixed(value, static_cast<std::uint8_t>(is_finished ? 1 : 0));
  append_fixed(value, static_cast<std::uint8_t>(is_line_open ? 1 : 0));
  append_varint(value, headers.size());
  for (const std::string& header : headers) append_text(value, header);
  return std::string(as_text(value));
}

Result<FileProgress> FileProgress::decode(std::string_view key, ByteView value) {
  Cursor cursor(value);
  FileProgress progress;
  progress.key = key;
  if (HDB_TRY(cursor.fixed<std::uint8_t>()) != kProgressVersion) {
    return Status::unsupported("the place of an input file was kept by another version of hdb; use that, or --restart");
  }
  progress.path = HDB_TRY(take_text(cursor));
  progress.stamp.device = HDB_TRY(cursor.varint());
  progress.stamp.inode = HDB_TRY(cursor.varint());
  progress.stamp.bytes = HDB_TRY(cursor.varint());
  progress.stamp.modified_ns = HDB_TRY(cursor.fixed<std::int64_t>());
  progress.head_bytes = static_cast<std::uint32_t>(HDB_TRY(cursor.varint()));
  progress.head_hash = HDB_TRY(cursor.fixed<std::uint64_t>());
  progress.offset = HDB_TRY(cursor.varint());
  progress.line = HDB_TRY(cursor.varint());
  progress.tail_bytes = static_cast<std::uint32_t>(HDB_TRY(cursor.varint()));
  progress.tail_hash = HDB_TRY(cursor.fixed<std::uint64_t>());
  progress.hash = HDB_TRY(cursor.fixed<std::uint64_t>());
  progress.is_finished = HDB_TRY(cursor.fixed<std::uint8_t>()) != 0;
  progress.is_line_open = HDB_TRY(cursor.fixed<std::uint8_t>()) != 0;
  for (std::uint64_t left = HDB_TRY(cursor.varint()); left > 0; --left) {
    progress.headers.push_back(HDB_TRY(take_text(cursor)));
  }
  const bool is_sound = progress.head_bytes <= FileHead::kBytesMax && progress.tail_bytes <= progress.offset &&
                        progress.tail_bytes <= FileHead::kBytesMax + 1;
  if (!is_sound) return Status::corruption("the place of an input file makes no sense; use --restart");
  return progress;
}

}  // namespace hdb::cli
