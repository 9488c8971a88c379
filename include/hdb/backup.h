// hdb/backup.h: copies of a store, to be put away and brought back.
//
// A backup is a directory of its own with table files and a manifest, as a store has after a clean close. It is made by
// Engine::backup() and brought back by restore(). Opened for writing, a copy becomes a store with an id of its own, so
// resume tokens of the original are refused there.
//
// Each backup and each restore reads the whole copy, also what is linked and what is there from an earlier backup, and
// checks every byte of its tables before it counts as made. That takes as long as reading the store once.
#pragma once

#include <cstdint>
#include <filesystem>

#include <hdb/event.h>
#include <hdb/status.h>

namespace hdb {

// How table files, which never change, get into a backup. Everything else is written anew.
enum class BackupMode : std::uint8_t {
  kLink,  // hard links where the file system can: no space, but damage to a file is in both
  kCopy,  // copies: the backup shares no byte with the store
};

struct BackupReport {
  std::uint64_t tables_linked = 0;
  std::uint64_t tables_copied = 0;
  std::uint64_t tables_kept = 0;      // were there from an earlier backup
  std::uint64_t tables_replaced = 0;  // likewise, but damaged: copied again
  std::uint64_t bytes_copied = 0;     // of tables
  std::uint64_t events = 0;           // in the copy: all positions below
};

// Copies the backup in `from` into the new or empty directory `to`, and reads the whole copy to check it: an error,
// which names the damaged file of the backup and the offset, leaves `to` without a store. `from` is never written but
// for its lock, and stays as it was. kInvalidArgument if `from` is no backup or `to` holds anything but the rest of an
// interrupted restore() of the same.
HDB_EXPORT Result<BackupReport> restore(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace hdb
