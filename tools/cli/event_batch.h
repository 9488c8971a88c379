// tools/cli/event_batch.h: events that outlive the lines they were made of, until they are appended.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <hdb/event.h>

namespace hdb::cli {

// Single-owner.
class EventBatch {
 public:
  // Copies the event with everything its views point at.
  void add(const Event& event);
  void clear() noexcept;

  std::span<const Event> events() noexcept;
  std::size_t size() const noexcept { return events_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }  // of texts, tags and payloads

 private:
  std::string_view keep(std::string_view text);

  struct Block {
    std::unique_ptr<char[]> bytes;
    std::size_t size;
  };

  std::vector<Event> events_;           // `tags` are set by events(): tags_ moves as it grows
  std::vector<std::string_view> tags_;  // of all events, one after the other
  std::vector<std::size_t> tag_ends_;   // by event, in tags_
  std::vector<Block> blocks_;           // the first is kept by clear()
  std::size_t used_ = 0;                // of the last block
  std::size_t bytes_ = 0;
};

}  // namespace hdb::cli
