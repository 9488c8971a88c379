#include "engine/store_copy.h"

#include <algorithm>
#include <utility>

#include "base/seeded_defect.h"
#include "io/file_name.h"
#include "io/unfinished_copy.h"
#include "sstable/verify.h"

namespace hdb {

namespace {

using compaction::TableRef;

class StoreCopy {
 public:
  StoreCopy(Env& env, std::string from, const compaction::ManifestState& state, std::string to, CopyKind kind)
      : env_(env),
        from_(std::move(from)),
        state_(state),
        to_(std::move(to)),
        mark_(copy_of(kind, state.store_id)),
        next_number_(state.next_file_number) {}

  // Takes the directory: afterwards it is locked, and is either unfinished or an earlier copy of the same store.
  Status begin(std::uint64_t edit_number) {
    if (!HDB_TRY(env_.exists(current_path(to_)))) {
      lock_ = HDB_TRY(begin_copy(env_, to_, mark_));
      if (!HDB_TRY(env_.exists(current_path(to_)))) return {};
    } else {
      HDB_TRY(check_earlier(edit_number));  // before the lock: what is refused stays as it was
      lock_ = HDB_TRY(env_.lock(lock_path(to_)));
    }
    return check_earlier(edit_number);
  }

  Status take_tables(BackupMode mode, BackupReport& report) {
    HDB_TRY(env_.create_directory(table_directory(to_)));
    HDB_TRY(env_.create_directory(log_directory(to_)));
    bool may_link = mode == BackupMode::kLink;
    for (const TableRef& table : state_.version->all_tables()) HDB_TRY(take_table(*table, may_link, report));
    if (HDB_SEEDED(forget_the_sync_of_copied_names)) return {};
    if (HDB_SEEDED(hard_link_a_mutable_file)) {
      const SegmentNumber newest = state_.log_floor.segment;
      ignore(env_.link(segment_path(from_, newest), segment_path(to_, newest)), "there may be none");
    }
    return env_.sync_directory(table_directory(to_));
  }

  // From here on the directory is the copy.
  Status finish(std::uint64_t edit_number) {
    compaction::ManifestState state = state_;
    state.is_log_open = false;
    state.is_copy = !HDB_SEEDED(let_a_copy_keep_its_id);
    state.next_file_number = next_number_;
    auto numbers = [this] { return std::exchange(next_number_, next_number_.next()); };
    HDB_TRY(compaction::Manifest::create(env_, to_, std::move(state), edit_number, numbers));
    if (HDB_TRY(env_.exists(unfinished_path(to_)))) HDB_TRY(env_.remove(unfinished_path(to_)));
    return remove_others();
  }

 private:
  Status check_earlier(std::uint64_t edit_number) {
    // One that was made but for the removal of its mark may have one.
    if (HDB_TRY(env_.exists(unfinished_path(to_)))) HDB_TRY(check_copy_target(env_, to_, mark_));
    const auto recovered = compaction::recover(env_, to_);
    if (recovered.status().code() == StatusCode::kCorruption) {
      return Status::corruption(to_ + ": is damaged, so that nothing can be added to it; choose another directory (" +
                                std::string(recovered.status().message()) + ")");
    }
    HDB_TRY(recovered.status());
    const compaction::Recovered& there = recovered.value();
    if (!there.state.is_copy || there.state.store_id != state_.store_id || there.edit_number > edit_number) {
      return Status::invalid_argument(to_ + ": is not an earlier backup of this store; choose another directory");
    }
    earlier_ = there.state.version;
    next_number_ = std::max({next_number_, there.state.next_file_number, there.manifest.next()});
    return {};
  }

  Status take_table(const sstable::TableMeta& table, bool& may_link, BackupReport& report) {
    const std::string source = table_path(from_, table.number);
    const std::string target = table_path(to_, table.number);
    if (earlier_ != nullptr) {
      const TableRef known = earlier_->find(table.number);
      const auto bytes = env_.file_bytes(target);
      if (known != nullptr && *known == table && bytes.ok() && bytes.value() == table.file_bytes) {
        return keep_table(source, target, table, report);
      }
    }
    const Status removed = env_.remove(target);
    if (!removed.ok() && removed.code() != StatusCode::kNotFound) return removed;
    if (may_link) {
      const Status linked = env_.link(source, target);
      if (linked.ok()) {
        ++report.tables_linked;
        return verify(source, table);  // the same file, and what is wrong with it is wrong with the store
      }
      if (linked.code() != StatusCode::kUnsupported) return linked;
      may_link = false;
    }
    HDB_TRY(copy_table(source, target, table, report));
    ++report.tables_copied;
    return {};
  }

  // A table of the earlier copy. One that is damaged there is replaced: by a copy, since a link would lead to what may
  // be the same file.
  Status keep_table(const std::string& source, const std::string& target, const sstable::TableMeta& table,
                    BackupReport& report) {
    const Status sound = HDB_SEEDED(keep_a_table_without_checking) ? Status() : verify(target, table);
    if (sound.ok()) {
      ++report.tables_kept;
      return {};
    }
    if (sound.code() != StatusCode::kCorruption && sound.code() != StatusCode::kIoError) return sound;
    // Beside it: the rest of the earlier copy may be whole, and an error may have been of this reading only.
    const std::string replacement = temporary_path(target);
    Status replaced = copy_table(source, replacement, table, report);
    if (replaced.ok()) replaced = env_.rename(replacement, target);
    if (!replaced.ok()) {
      ignore(env_.remove(replacement), "the next backup removes what is left; the first error is the one to report");
      return replaced;
    }
    ++report.tables_replaced;
    return {};
  }

  // The copy is read back. An error names the file that is to blame.
  Status copy_table(const std::string& source, const std::string& target, const sstable::TableMeta& table,
                    BackupReport& report) {
    const std::uint64_t bytes = HDB_TRY(copy_file(env_, source, target));
    report.bytes_copied += bytes;
    if (bytes != table.file_bytes) {
      return Status::corruption(source + ": has " + std::to_string(bytes) + " bytes, the manifest says " +
                                std::to_string(table.file_bytes) + "; run 'hdb-dump verify " + from_ + "'");
    }
    const bool is_unchecked =
        mark_.kind == CopyKind::kRestore ? HDB_SEEDED(restore_without_checking) : HDB_SEEDED(back_up_without_checking);
    const Status sound = is_unchecked ? Status() : verify(target, table);
    if (sound.ok()) return {};
    HDB_TRY(verify(source, table));
    return sound.in_context(target + ": was copied from a sound file, but cannot be read back; check the disk");
  }

  Status verify(const std::string& path, const sstable::TableMeta& table) {
    return sstable::verify_table(env_, path, table.number, &table);
  }

  // Tables of earlier copies, or of attempts that were interrupted.
  Status remove_others() {
    for (const std::string& name : HDB_TRY(env_.list(table_directory(to_)))) {
      const auto number = parse_table_name(name);
      const bool is_other = number && state_.version->find(*number) == nullptr;
      if (!is_other && !is_temporary_name(name)) continue;
      HDB_TRY(env_.remove(table_directory(to_) + "/" + name));
    }
    HDB_TRY(env_.sync_directory(table_directory(to_)));
    return env_.sync_directory(to_);
  }

  Env& env_;
  const std::string from_;
  const compaction::ManifestState& state_;
  const std::string to_;
  const UnfinishedCopy mark_;
  FileNumber next_number_;                              // of the next manifest there
  std::shared_ptr<const compaction::Version> earlier_;  // null: there is no earlier copy
  std::unique_ptr<FileLock> lock_;
};

}  // namespace

Result<BackupReport> copy_store(Env& env, const std::string& from, const compaction::ManifestState& state,
                                std::uint64_t edit_number, const std::string& to, BackupMode mode, CopyKind kind) {
  StoreCopy copy(env, from, state, to, kind);
  BackupReport report;
  report.events = state.position_end;
  HDB_TRY(copy.begin(edit_number));
  HDB_TRY(copy.take_tables(mode, report));
  HDB_TRY(copy.finish(edit_number));
  return report;
}

Result<BackupReport> restore_store(Env& env, const std::string& from, const std::string& to) {
  const Status in_use =
      Status::invalid_argument(from + ": is a store in use, not a backup; make one with 'hdb backup'");
  // Before anything is read that counts: another backup into `from` changes its manifest and deletes tables.
  std::unique_ptr<FileLock> lock;
  if (HDB_TRY(env.exists(lock_path(from)))) {
    auto taken = env.lock_read_only(lock_path(from));
    if (taken.status().code() == StatusCode::kBusy) {
      const auto beside = compaction::recover(env, from);
      return beside.ok() && !beside->state.is_copy ? in_use : taken.status();
    }
    lock = HDB_TRY(std::move(taken));
  }
  HDB_TRY(check_finished(env, from));
  const compaction::Recovered recovered = HDB_TRY(compaction::recover(env, from));
  if (!recovered.state.is_copy) return in_use;
  const bool is_interrupted = HDB_TRY(env.exists(unfinished_path(to)));
  if (!is_interrupted && HDB_TRY(env.exists(current_path(to)))) {
    return Status::invalid_argument(to + ": is a store already; restore into a new directory");
  }
  HDB_TRY(check_outside(env, to, from));
  return copy_store(env, from, recovered.state, recovered.edit_number, to, BackupMode::kCopy, CopyKind::kRestore);
}

}  // namespace hdb
