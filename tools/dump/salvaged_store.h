// tools/dump/salvaged_store.h: the copy that is made of a damaged store.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "compaction/version_edit.h"
#include "io/env.h"
#include "sstable/event_table_builder.h"
#include "sstable/key_table_builder.h"
#include "tools/dump/survey_table.h"

namespace hdb::dump {

// OK if a repair may be made in the directory, of any store: there is nothing, or what an interrupted repair left and
// nobody wrote to since. kInvalidArgument says what is there instead. Changes nothing.
Status check_repair_target(Env& env, const std::string& directory);

// Writes tables, then the manifest that makes them a store; until that, the directory is marked as unfinished, which no
// open takes for a store. Single-owner.
class SalvagedStore {
 public:
  // Gives new files the numbers from `next_number` on: no table that is copied has one of them.
  SalvagedStore(Env& env, std::string directory, FileNumber next_number)
      : env_(env), directory_(std::move(directory)), next_number_(next_number) {}

  // kInvalidArgument if the directory holds anything but what an earlier repair of the same store left, which is
  // removed.
  Status begin(const StoreId& source);

  // A sound table, as it is, under its own number.
  Status copy(const SurveyedTable& table, std::uint32_t level);
  // Events come in order of position, also across tables that are copied.
  Status add_event(Position position, Timestamp commit_time, const RecordView& record);
  // A table of the entries that `fill` adds, if there are any.
  Status add_keys(std::uint32_t level, const std::function<Status(sstable::KeyTableBuilder&)>& fill);
  // What was written so far. Tables may be taken out of it, and their files be removed.
  compaction::VersionEdit& edit() noexcept { return edit_; }

  // Reads back what was written, and makes it a store: of `state`, its tables and what follows from them excepted.
  // Durable on return.
  Status finish(compaction::ManifestState state);

 private:
  Status remove_unfinished();
  FileNumber new_number();
  Status end_events();

  Env& env_;
  const std::string directory_;
  FileNumber next_number_;
  std::unique_ptr<FileLock> lock_;
  std::optional<sstable::EventTableBuilder> events_;  // the table being written; empty: none
  compaction::VersionEdit edit_;
};

}  // namespace hdb::dump
