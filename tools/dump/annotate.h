// tools/dump/annotate.h: bytes with their offset and meaning beside them, as text to read or as JSON lines.
//
//   == group at 128
//   000128-000131  48475250          magic: "HGRP"
//   000132-000135  88010000          group bytes: 392
//   000184-000239  0000000000000000..0000  reserved
//
//   {"object":"group","offset":128,"magic":"HGRP","group_bytes":392,"reserved":"56 bytes"}
//
// The first pair of numbers are the offsets of the first and the last byte. More than 16 bytes are shown by their first
// eight and last two. A JSON line is one object of the file, with the fields' names in snake case; integers of more
// than 53 bits are still numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/record.h"

namespace hdb::dump {

// Takes one line, without its newline.
using Sink = std::function<void(std::string_view line)>;

enum class Form : std::uint8_t { kAnnotated, kJsonLines };

// Walks over a run of bytes, field by field: each call describes the bytes that follow those of the call before.
// Single-owner. finish() comes last, or the last object is not written.
class Annotator {
 public:
  Annotator(Form form, Sink sink) : form_(form), sink_(std::move(sink)) {}

  // Begins an object of the file, such as a header, a group or a block. `offset` is where it begins, in the file or,
  // for the inside of a decompressed block, in that.
  void object(std::string_view name, std::uint64_t offset);
  void finish();

  // A field: `bytes` are its own, `name` is in words ("group bytes").
  void number(ByteView bytes, std::string_view name, std::uint64_t value);
  void signed_number(ByteView bytes, std::string_view name, std::int64_t value);
  void hexadecimal(ByteView bytes, std::string_view name, std::uint64_t value);  // checksums
  void time(ByteView bytes, std::string_view name, Timestamp value);             // RFC 3339 with nanoseconds
  void text(ByteView bytes, std::string_view name, std::string_view value);      // escaped; cut when long
  void data(ByteView bytes, std::string_view name);                              // of no further meaning here: its size
  // Little-endian, from the bytes themselves, of 1, 2, 4 or 8.
  void number(ByteView bytes, std::string_view name);

  // Says something about the object that has no bytes of its own.
  void note(std::string_view name, std::string_view value);
  void note(std::string_view name, std::uint64_t value);

  std::uint64_t offset() const noexcept { return offset_; }

 private:
  void add(ByteView bytes, std::string_view name, std::string_view shown, std::string_view json);

  const Form form_;
  const Sink sink_;
  std::uint64_t offset_ = 0;
  std::string line_;  // the JSON object being made; empty: none
};

// The fields of a record, as part of the current object. `bytes` begin with a record that RecordView::decode accepts,
// and are described up to its end.
void annotate_record(Annotator& annotator, const RecordView& record);

// "…" around it, with control characters and bytes that are not UTF-8 escaped as JSON does; what is left of a text
// longer than `bytes_max` ends in "…". The result is a JSON string.
std::string quoted(std::string_view text, std::size_t bytes_max);

// "2018-03-24T17:15:20.600725000Z"
std::string rfc3339(Timestamp time);

}  // namespace hdb::dump
