// A copy of the store while appends go on.
#include "base/seeded_defect.h"
#include "engine/store.h"
#include "engine/store_copy.h"

namespace hdb {

Result<BackupReport> Store::backup(const std::string& to, BackupMode mode) {
  HDB_TRY(check_open());
  if (mode > BackupMode::kCopy) {
    return Status::invalid_argument("backup mode " + std::to_string(static_cast<unsigned>(mode)) +
                                    " is none of enum BackupMode");
  }
  HDB_TRY(check_outside(env_, to, directory_));
  if (!HDB_SEEDED(back_up_without_a_flush)) HDB_TRY(flush());
  // The version in it keeps its tables from being deleted.
  compaction::ManifestState state;
  std::uint64_t edit_number = 0;
  {
    MutexLock lock(manifest_mutex_);
    state = manifest_->state();
    edit_number = manifest_->edit_number();
  }
  return copy_store(env_, directory_, state, edit_number, to, mode, CopyKind::kBackup);
}

}  // namespace hdb
