#include "tools/cli/event_batch.h"

#include <algorithm>
#include <cstring>

namespace hdb::cli {

namespace {

constexpr std::size_t kBlockBytes = 1u << 20;

}  // namespace

std::string_view EventBatch::keep(std::string_view text) {
  if (text.empty()) return {};
  if (blocks_.empty() || blocks_.back().size - used_ < text.size()) {
    const std::size_t size = std::max(kBlockBytes, text.size());
    blocks_.push_back({std::unique_ptr<char[]>(new char[size]), size});
    used_ = 0;
  }
  char* const to = blocks_.back().bytes.get() + used_;
  std::memcpy(to, text.data(), text.size());
  used_ += text.size();
  bytes_ += text.size();
  return {to, text.size()};
}

void EventBatch::add(const Event& event) {
  Event kept = event;
  for (std::string_view Event::*text :
       {&Event::type, &Event::entity, &Event::host, &Event::stream, &Event::source, &Event::collector, &Event::format,
        &Event::content_type, &Event::schema, &Event::metadata}) {
    kept.*text = keep(event.*text);
  }
  for (const std::string_view tag : event.tags) tags_.push_back(keep(tag));
  kept.tags = {};
  kept.payload = as_bytes(keep(as_text(event.payload)));
  events_.push_back(kept);
  tag_ends_.push_back(tags_.size());
}

std::span<const Event> EventBatch::events() noexcept {
  std::size_t begin = 0;
  for (std::size_t event = 0; event < events_.size(); ++event) {
    events_[event].tags = std::span<const std::string_view>(tags_).subspan(begin, tag_ends_[event] - begin);
    begin = tag_ends_[event];
  }
  return events_;
}

void EventBatch::clear() noexcept {
  events_.clear();
  tags_.clear();
  tag_ends_.clear();
  if (blocks_.size() > 1) blocks_.erase(blocks_.begin() + 1, blocks_.end());
  used_ = 0;
  bytes_ = 0;
}

}  // namespace hdb::cli
