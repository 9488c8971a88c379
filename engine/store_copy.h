// engine/store_copy.h: makes one directory a copy of a store's tables, under a manifest of its own.
#pragma once

#include <string>

#include <hdb/backup.h>

#include "compaction/manifest.h"
#include "io/env.h"
#include "io/unfinished_copy.h"

namespace hdb {

// Makes `to` durably a copy of the store in `from` as of `state`, whose tables the caller keeps from being deleted.
// Until it succeeds, `to` is what it was: nothing, the rest of an attempt that was interrupted, or an earlier copy of
// the same store; anything else is kInvalidArgument. Every table of the copy is read and checked before the copy
// becomes one; an error names the file that is to blame, where the copy was made from or to.
Result<BackupReport> copy_store(Env& env, const std::string& from, const compaction::ManifestState& state,
                                std::uint64_t edit_number, const std::string& to, BackupMode mode, CopyKind kind);

// restore() of hdb/backup.h.
Result<BackupReport> restore_store(Env& env, const std::string& from, const std::string& to);

}  // namespace hdb
