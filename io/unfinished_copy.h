// io/unfinished_copy.h: the mark of a directory in which a copy of a store is being made, the file UNFINISHED-COPY.
//
// It is there before any other part of the copy, and is removed once that is a store. Until then no open takes the
// directory for a store, and the same copy, of the same store by the same tool, may be made there again: nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "io/env.h"

namespace hdb {

enum class CopyKind : std::uint8_t { kBackup, kRestore, kRepair };

std::string_view name_of(CopyKind kind) noexcept;

struct UnfinishedCopy {
  CopyKind kind{};
  std::string source;  // the id of the store that is copied, as text

  friend bool operator==(const UnfinishedCopy&, const UnfinishedCopy&) = default;
};

UnfinishedCopy copy_of(CopyKind kind, const StoreId& source);

// OK if the directory has no mark; else kInvalidArgument: "backup: is an unfinished backup; run that again".
Status check_finished(Env& env, const std::string& directory);

// OK if a copy may be made in the directory, which may not exist: it holds nothing, or what was made of the same copy.
// An empty source is that of any store. kInvalidArgument says what is there instead. Changes nothing.
Status check_copy_target(Env& env, const std::string& directory, const UnfinishedCopy& copy);

// Makes the directory, if it is none yet, locked and durably marked. One that is refused stays as it was.
Result<std::unique_ptr<FileLock>> begin_copy(Env& env, const std::string& directory, const UnfinishedCopy& copy);

// Removes the mark, if there is one, durably: a copy that is whole is no copy to be made again.
Status remove_mark(Env& env, const std::string& directory);

}  // namespace hdb
