// bench/input_files.h: real logs in memory, for workloads that take --input.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/event.h>

namespace hdb::bench {

struct InputFile {
  std::filesystem::path path;
  std::string text;  // unpacked
};

// Reads the files, unpacking those that begin as gzip or zstd do.
Result<std::vector<InputFile>> load_input_files(std::span<const std::filesystem::path> paths);

// What `gzip -6` and `zstd -3` would make of the text, each file by itself.
std::uint64_t gzip6_bytes(std::string_view text);
std::uint64_t zstd3_bytes(std::string_view text);

// A line of NDJSON and the attributes found in it, by the field names of Zeek (_path, uid, id.orig_h, id.resp_h, ts) or
// of `hdb-bench generate` (type, entity, host, tags, time). Absent attributes are empty.
struct InputLine {
  std::string_view text;
  std::string type;
  std::string entity;
  std::string host;
  std::vector<std::string> tags;
  std::optional<Timestamp> time;
};

// The lines of the files, which must outlive them. kInvalidArgument names the file and line that is not a JSON object.
Result<std::vector<InputLine>> parse_input_lines(std::span<const InputFile> files);

}  // namespace hdb::bench
