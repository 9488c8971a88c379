// tools/cli/ingest_progress.h: how far each input file has been taken in, kept in the store beside its events.
//
// A file is known by its content, not by its name: by a hash of its first bytes and of all before the place reached. So
// a renamed, rotated or newly packed file goes on where it was, and another file of the same name, or one that is
// shorter now or was changed, starts anew. Of a log that only grew, the line before the place is looked at, not
// everything.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/engine.h>

#include "tools/cli/input_stream.h"
#include "tools/cli/line_reader.h"

namespace hdb::cli {

inline constexpr std::string_view kProgressKeyspace = "hdb.ingest";

// What a file begins with, unpacked: all of it if it is short.
struct FileHead {
  static constexpr std::size_t kBytesMax = 4096;

  std::string bytes;  // at most kBytesMax
};

// A packed file that is damaged has the head before the damage.
Result<FileHead> read_head(const std::string& path);

// The end of a line.
struct LinePlace {
  std::uint64_t offset = 0;  // in unpacked bytes
  std::uint64_t line = 0;
  std::uint32_t tail_bytes = 0;  // of the bytes just before `offset` that tail_hash covers
  std::uint64_t tail_hash = 0;
  std::uint64_t hash = 0;     // extended_hash() of everything before `offset`
  bool is_line_open = false;  // the line had no newline: the file ended there

  // To the end of the line.
  void advance(const Line& end);
};

// One file's place: the end of the last line whose events are committed.
struct FileProgress : LinePlace {
  std::string path;  // absolute, as last seen
  FileStamp stamp;   // before it was read
  std::uint32_t head_bytes = 0;
  std::uint64_t head_hash = 0;
  bool is_finished = false;          // the file ended there
  std::vector<std::string> headers;  // of Zeek's tab-separated form, in effect at `offset`
  std::string key;                   // where it is kept; not part of its value

  std::string encode() const;
  static Result<FileProgress> decode(std::string_view key, ByteView value);
};

// The files of one store that were taken in with the same settings. Single-owner.
class IngestProgress {
 public:
  // `settings` is whatever makes other events of the same file: format, mapping, id options.
  static Result<IngestProgress> load(Engine& engine, std::string_view settings);

  // Where to begin with a file: what is known of it, or a fresh entry. Opens the file, positioned there.
  struct Start {
    FileProgress progress;
    std::unique_ptr<InputStream> stream;  // null: finished, and not touched since
    std::vector<std::string> superseded;  // keys of other entries of the file, to be erased with the first batch
    bool goes_on = false;                 // in a file whose beginning is known, under whatever name
    bool has_moved = false;               // and it was another file then, or was written anew
  };
  // With `is_anew` nothing is taken as known.
  Result<Start> start(const std::string& path, bool is_anew) const;

  // The change that keeps the entry, for the batch that holds its events. Its bytes live as long as `value`.
  KeyValueChange change(const FileProgress& progress, const std::string& value) const;
  KeyValueChange erasure(const std::string& key) const {
    return {.keyspace = keyspace_, .key = as_bytes(key), .value = {}};
  }
  void remember(const FileProgress& progress);

 private:
  IngestProgress(Keyspace keyspace, std::uint64_t settings_hash) : keyspace_(keyspace), settings_hash_(settings_hash) {}
  std::vector<const FileProgress*> candidates(const std::string& path, const FileStamp& stamp,
                                              const FileHead& head) const;
  std::string key_of(const std::string& path, const FileStamp& stamp, const FileHead& head) const;

  Keyspace keyspace_;
  std::uint64_t settings_hash_;
  std::vector<FileProgress> known_;
};

}  // namespace hdb::cli
