#include "engine/recent_ids.h"

#include "base/checksum.h"

namespace hdb {

std::size_t RecentIds::Hash::operator()(const EventId& id) const noexcept {
  return hash64(std::as_bytes(std::span(id.bytes())));
}

void RecentIds::add(std::span<const EventId> ids, SequenceNumber group_end, SequenceNumber oldest_look_up) {
  for (const EventId& id : ids) {
    order_.push_back({id, group_end});
    ends_[id] = group_end;
  }
  while (order_.size() > kIdsMax && order_.front().group_end <= oldest_look_up) {
    const Committed& oldest = order_.front();
    forgotten_end_ = oldest.group_end;
    const auto found = ends_.find(oldest.id);
    if (found != ends_.end() && found->second == oldest.group_end) ends_.erase(found);
    order_.pop_front();
  }
}

std::optional<SequenceNumber> RecentIds::conflict(std::span<const EventId> ids, SequenceNumber looked_up_to) const {
  if (ids.empty()) return std::nullopt;
  if (forgotten_end_ > looked_up_to) return forgotten_end_;
  for (const EventId& id : ids) {
    const auto found = ends_.find(id);
    if (found != ends_.end() && found->second > looked_up_to) return found->second;
  }
  return std::nullopt;
}

}  // namespace hdb
