#include "io/file_name.h"

#include <charconv>

namespace hdb {

namespace {

constexpr std::string_view kManifestPrefix = "MANIFEST-";
constexpr std::string_view kSegmentSuffix = ".wal";
constexpr std::string_view kTableSuffix = ".sst";
constexpr std::string_view kTemporarySuffix = ".tmp";
constexpr std::size_t kDigitsMin = 6;

std::string numbered(std::string_view prefix, std::uint64_t number, std::string_view suffix) {
  const std::string digits = std::to_string(number);
  std::string name(prefix);
  if (digits.size() < kDigitsMin) name.append(kDigitsMin - digits.size(), '0');
  return name.append(digits).append(suffix);
}

// The number of a name that numbered() makes, and of no other: "12.wal" and "0000012.wal" would be second names of
// segment 12.
std::optional<std::uint64_t> parse_numbered(std::string_view prefix, std::string_view name, std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() <= prefix.size() + suffix.size()) {
    return std::nullopt;
  }
  const std::string_view digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || numbered(prefix, number, suffix) != name) return std::nullopt;
  return number;
}

}  // namespace

std::string lock_path(const std::string& store) {
  return store + "/LOCK";
}
std::string current_path(const std::string& store) {
  return store + "/CURRENT";
}

std::string reserve_path(const std::string& store) {
  return store + "/RESERVE";
}

std::string unfinished_path(const std::string& store) {
  return store + "/UNFINISHED-COPY";
}

std::string manifest_name(FileNumber number) {
  return numbered(kManifestPrefix, number.raw(), "");
}
std::string manifest_path(const std::string& store, FileNumber number) {
  return store + "/" + manifest_name(number);
}

std::string log_directory(const std::string& store) {
  return store + "/wal";
}
std::string segment_name(SegmentNumber number) {
  return numbered("", number.raw(), kSegmentSuffix);
}
std::string segment_path(const std::string& store, SegmentNumber number) {
  return log_directory(store) + "/" + segment_name(number);
}

std::string table_directory(const std::string& store) {
  return store + "/sstables";
}
std::string table_name(FileNumber number) {
  return numbered("", number.raw(), kTableSuffix);
}
std::string table_path(const std::string& store, FileNumber number) {
  return table_directory(store) + "/" + table_name(number);
}

std::optional<FileNumber> parse_manifest_name(std::string_view name) {
  const auto number = parse_numbered(kManifestPrefix, name, "");
  return number ? std::optional(FileNumber(*number)) : std::nullopt;
}

std::optional<SegmentNumber> parse_segment_name(std::string_view name) {
  const auto number = parse_numbered("", name, kSegmentSuffix);
  return number ? std::optional(SegmentNumber(*number)) : std::nullopt;
}

std::optional<FileNumber> parse_table_name(std::string_view name) {
  const auto number = parse_numbered("", name, kTableSuffix);
  return number ? std::optional(FileNumber(*number)) : std::nullopt;
}

std::string temporary_path(const std::string& path) {
  return path + std::string(kTemporarySuffix);
}
bool is_temporary_name(std::string_view name) {
  return name.ends_with(kTemporarySuffix);
}

std::string without_trailing_slashes(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string parent_directory(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace hdb
