// compaction/manifest.h: what the store consists of, durably: a log of edits (manifest_format.h), and the file CURRENT
// that names it.
//
// A manifest is appended to only by whoever made it: opening a store for writing recovers the state and makes a fresh
// manifest from it, so nothing is ever written behind a torn tail.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/batch.h"
#include "base/ids.h"
#include "compaction/manifest_format.h"
#include "compaction/version_edit.h"
#include "io/env.h"

namespace hdb::compaction {

struct Recovered {
  ManifestState state;
  FileNumber manifest;            // the file it was read from
  std::uint64_t edit_number = 0;  // of the last edit in `state`; for create()
  std::uint64_t torn_bytes = 0;   // at its end, of an edit that was never acknowledged
};

// Reads the state of the store in directory `store`. Writes nothing; works beside a store that is open for writing.
// kNotFound if there is no store, kUnsupported if it is newer, kCorruption if it is damaged; each kind of damage has
// its own message with file, offset and remedy. A store whose creation died before its first manifest was current is
// none.
Result<Recovered> recover(Env& env, const std::string& store);

// Whether a table of this number, which the state does not name, was made after the state's last edit was lost: an open
// records itself before it makes tables, and a close records the numbers that were used. In a copy they may be of a
// later one that was interrupted.
bool is_unknown_to(const ManifestState& state, FileNumber number) noexcept;
// kCorruption: `path` is such a table.
Status manifest_lost_edits(const std::string& path);
// kCorruption if the batch, or a table of the state, has a key of a keyspace that the state does not name: each is
// named durably before its first change, so the state's last edits were lost, and its number would be given to another.
// The message says where the table is; where the batch is the caller knows.
Status check_keyspaces(const ManifestState& state, const BatchView& batch);
Status check_keyspaces(const ManifestState& state, const std::string& store);

// The manifest of a store that is open for writing. Single-owner.
class Manifest {
 public:
  // Gives a number no file of the store has.
  using FileNumbers = std::function<FileNumber()>;

  // Makes a manifest that begins with `state` current: for a new store (store_id set, edit_number 0) and at each open
  // for writing (what recover() returned, changed as the open needs: a new epoch is one). Durable on return; until
  // then, or after an error, the store is as it was before. Removes other manifests. The directory must exist; a new
  // store has no tables and no log before its first manifest. The file number given by `numbers` must be at or above
  // state.next_file_number.
  static Result<std::unique_ptr<Manifest>> create(Env& env, std::string store, ManifestState state,
                                                  std::uint64_t edit_number, FileNumbers numbers);
  ~Manifest();

  // Makes the edit durable and then part of state(). kCorruption if it does not fit state(): nothing was written.
  // A write that fails is made good by a fresh manifest. If that fails too, or memory runs out (std::bad_alloc),
  // state() is without the edit, and the store on disk may be with or without it: the caller must not delete a table of
  // either. A later append starts with a fresh manifest, after which the disk is as state() again.
  Status append(const VersionEdit& edit);

  const ManifestState& state() const noexcept { return state_; }
  FileNumber number() const noexcept { return file_.number; }
  std::uint64_t edit_number() const noexcept { return edit_number_; }
  std::uint64_t file_bytes() const noexcept { return file_.offset; }
  // By this object, into all its files.
  std::uint64_t bytes_written() const noexcept { return replaced_bytes_ + file_.offset; }

 private:
  Manifest(Env& env, std::string store, ManifestState state, std::uint64_t edit_number, FileNumbers numbers);

  // The file appended to, and what the next record in it depends on.
  struct File {
    std::unique_ptr<WritableFile> file;  // null after an error: the next append makes a new one
    FileNumber number;
    std::uint64_t header_checksum = 0;
    std::uint64_t chain = 0;           // checksum of the last record
    std::uint64_t offset = 0;          // its end
    std::uint64_t durable_end = 0;     // of this, synced
    std::uint64_t snapshot_bytes = 0;  // of this, the header and the state it began with
  };

  static Buffer encode_next(File& file, RecordKind kind, std::uint64_t edit_number, ByteView payload);
  Status write_edit(const VersionEdit& edit);
  static void write_durable(File& file, std::uint64_t edit_number) noexcept;
  void rewrite_if_large() noexcept;
  // Makes a new file that begins with `state`, and CURRENT name it. An error before CURRENT is touched leaves file_ as
  // it was; one after it, null.
  Status start_file(ManifestState state, std::uint64_t edit_number);
  void remove_other_manifests() noexcept;

  Env& env_;
  const std::string store_;
  const FileNumbers numbers_;
  ManifestState state_;
  std::uint64_t edit_number_;
  File file_;
  std::uint64_t replaced_bytes_ = 0;  // of the files before file_
};

}  // namespace hdb::compaction
