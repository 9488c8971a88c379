// io/file_name.h: every file name of a store, built and parsed here only.
//
//   LOCK  CURRENT  MANIFEST-000007  wal/000012.wal  sstables/000031.sst  RESERVE  UNFINISHED-COPY
//
// Numbers have at least six digits. A name with the suffix ".tmp" is a file that was being made when the process died.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace hdb {

std::string lock_path(const std::string& store);
std::string current_path(const std::string& store);
std::string reserve_path(const std::string& store);
std::string unfinished_path(const std::string& store);  // there while a copy of a store is being made
std::string manifest_name(FileNumber number);           // "MANIFEST-000007"
std::string manifest_path(const std::string& store, FileNumber number);
std::string log_directory(const std::string& store);
std::string segment_name(SegmentNumber number);  // "000012.wal"
std::string segment_path(const std::string& store, SegmentNumber number);
std::string table_directory(const std::string& store);
std::string table_name(FileNumber number);  // "000031.sst"
std::string table_path(const std::string& store, FileNumber number);

// Empty if `name` is not one that the function above of the same kind builds.
std::optional<FileNumber> parse_manifest_name(std::string_view name);
std::optional<SegmentNumber> parse_segment_name(std::string_view name);
std::optional<FileNumber> parse_table_name(std::string_view name);
bool is_temporary_name(std::string_view name);

// The name under which the file `path` is made, before it is renamed.
std::string temporary_path(const std::string& path);

// "a/b" of "a/b//"; "/" of "//".
std::string without_trailing_slashes(std::string path);

// "/a/b" of "/a/b/c"; "/" of "/a"; "." of a bare name.
std::string parent_directory(const std::string& path);

}  // namespace hdb
