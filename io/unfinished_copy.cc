#include "io/unfinished_copy.h"

#include <iterator>

#include <hdb/event.h>

#include "io/file_name.h"

namespace hdb {

namespace {

constexpr std::uint64_t kMarkBytesMax = 256;
constexpr std::string_view kNames[] = {"backup", "restore", "repair"};  // by CopyKind; in the file: never renamed
constexpr std::string_view kOf = " of ";

// "repair of 0190...": as it is in the file.
std::string text_of(const UnfinishedCopy& copy) {
  return std::string(name_of(copy.kind)) + std::string(kOf) + copy.source;
}

// Empty if the file says something else.
std::optional<UnfinishedCopy> parse(std::string_view text) {
  for (std::size_t kind = 0; kind < std::size(kNames); ++kind) {
    const std::string begin = std::string(kNames[kind]) + std::string(kOf);
    if (text.starts_with(begin)) return UnfinishedCopy{CopyKind(kind), std::string(text.substr(begin.size()))};
  }
  return std::nullopt;
}

Result<std::optional<UnfinishedCopy>> read_mark(Env& env, const std::string& directory) {
  const auto content = read_file(env, unfinished_path(directory), kMarkBytesMax);
  if (content.ok()) return parse(as_text(bytes_of(content.value())));
  if (content.status().code() == StatusCode::kCorruption) return std::optional<UnfinishedCopy>();
  return content.status();
}

std::string kind_text(const std::optional<UnfinishedCopy>& mark) {
  return mark ? std::string(name_of(mark->kind)) : "backup, restore or repair";
}

}  // namespace

std::string_view name_of(CopyKind kind) noexcept {
  return kNames[static_cast<std::size_t>(kind)];
}

UnfinishedCopy copy_of(CopyKind kind, const StoreId& source) {
  return {kind, EventId(source).to_string()};
}

Status check_finished(Env& env, const std::string& directory) {
  if (!HDB_TRY(env.exists(unfinished_path(directory)))) return {};
  const auto mark = HDB_TRY(read_mark(env, directory));
  return Status::invalid_argument(directory + ": is an unfinished " + kind_text(mark) + "; run that again");
}

Status check_copy_target(Env& env, const std::string& directory, const UnfinishedCopy& copy) {
  const auto names = env.list(directory);
  if (names.status().code() == StatusCode::kNotFound) return {};
  if (!names.ok()) return names.status();
  const std::string mark_path = unfinished_path(directory);
  if (HDB_TRY(env.exists(mark_path))) {
    const auto mark = HDB_TRY(read_mark(env, directory));
    if (mark && mark->kind == copy.kind && (copy.source.empty() || mark->source == copy.source)) return {};
    return Status::invalid_argument(directory + ": is an unfinished " + kind_text(mark) +
                                    (mark && mark->kind == copy.kind ? " of another store" : "") +
                                    "; choose an empty or a new directory");
  }
  for (const std::string& name : names.value()) {
    const std::string path = directory + "/" + name;
    if (path == lock_path(directory) || path == temporary_path(mark_path)) continue;
    return Status::invalid_argument(directory + ": holds other files (" + name +
                                    "); choose an empty or a new directory");
  }
  return {};
}

Result<std::unique_ptr<FileLock>> begin_copy(Env& env, const std::string& directory, const UnfinishedCopy& copy) {
  HDB_TRY(check_copy_target(env, directory, copy));
  HDB_TRY(env.create_directory(directory));
  std::unique_ptr<FileLock> lock = HDB_TRY(env.lock(lock_path(directory)));
  HDB_TRY(check_copy_target(env, directory, copy));  // another process may have come first
  if (!HDB_TRY(env.exists(unfinished_path(directory)))) {
    HDB_TRY(replace_file(env, unfinished_path(directory), as_bytes(text_of(copy))));
  } else {
    HDB_TRY(env.sync_directory(directory));  // who made it may have died before
  }
  return lock;
}

Status remove_mark(Env& env, const std::string& directory) {
  const std::string path = unfinished_path(directory);
  if (!HDB_TRY(env.exists(path))) return {};
  HDB_TRY(env.remove(path));
  return env.sync_directory(directory);
}

}  // namespace hdb
