// Named keyspaces: each a number in the manifest before its first change is in the log.
#include <algorithm>

#include "engine/store.h"

namespace hdb {

namespace {
constexpr std::size_t kNameBytesMax = 255;
}

Result<Keyspace> Store::keyspace(std::string_view name) {
  HDB_TRY(check_open());
  if (name.empty() || name.size() > kNameBytesMax) {
    return Status::invalid_argument("keyspace name has " + std::to_string(name.size()) +
                                    " bytes; choose between 1 and 255");
  }
  MutexLock manifest_lock(manifest_mutex_);
  std::uint32_t next_id = 1;
  {
    MutexLock lock(state_mutex_);
    for (const auto& [existing, keyspace] : keyspaces_) {
      if (existing == name) return keyspace;
      next_id = std::max(next_id, keyspace.id() + 1);
    }
    if (!write_error_.ok()) return write_error_;
  }
  compaction::VersionEdit edit;
  edit.keyspaces.push_back({next_id, std::string(name)});
  // What can fail for want of memory comes before the edit is on disk.
  std::pair<std::string, Keyspace> added{std::string(name), Keyspace(next_id)};
  {
    MutexLock lock(state_mutex_);
    keyspaces_.reserve(keyspaces_.size() + 1);
  }
  HDB_TRY(record(edit));
  MutexLock lock(state_mutex_);
  const auto at = std::find_if(keyspaces_.begin(), keyspaces_.end(),
                               [&added](const auto& known) { return known.first > added.first; });
  keyspaces_.insert(at, std::move(added));
  keyspace_count_.store(next_id, std::memory_order_release);
  return Keyspace(next_id);
}

std::vector<std::pair<std::string, Keyspace>> Store::keyspaces() {
  MutexLock lock(state_mutex_);
  return keyspaces_;
}

Status Store::check_keyspace(Keyspace keyspace) const {
  const bool is_known = keyspace.id() >= 1 && keyspace.id() <= keyspace_count_.load(std::memory_order_acquire);
  if (is_known) return {};
  return Status::not_found("keyspace number " + std::to_string(keyspace.id()) +
                           " is not of this store; get it from Engine::keyspace(name)");
}

}  // namespace hdb
