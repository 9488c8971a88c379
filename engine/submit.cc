// Appends whose callers do not wait: their first half, up to the queue, runs in the caller's thread, the rest in a task
// of the background.
#include <algorithm>
#include <array>

#include "engine/store.h"

namespace hdb {

namespace {

// The events and changes of an encoded batch, as an append takes them. Views of its bytes. Not movable.
class DecodedBatch {
 public:
  explicit DecodedBatch(const EncodedBatch& encoded) {
    const BatchView batch = BatchView::trusted(encoded.bytes());
    std::size_t tag_count = 0;
    batch.for_each_record([&](const RecordView& record) { tag_count += record.tag_count(); });
    tags_.reserve(tag_count);  // events have views of it
    batch.for_each_record([&](const RecordView& record) { add(record); });
    batch.for_each_change([&](const BatchView::Change& change) { add(change); });
  }
  DecodedBatch(const DecodedBatch&) = delete;
  DecodedBatch& operator=(const DecodedBatch&) = delete;

  Batch as(Durability durability) const { return {.events = events_, .changes = changes_, .durability = durability}; }

 private:
  void add(const RecordView& record) {
    const std::size_t first_tag = tags_.size();
    record.for_each_tag([&](std::string_view tag) { tags_.push_back(tag); });
    Event event;
    if (record.has_caller_id()) event.id = record.id(0);
    if (!record.time_is_default()) event.time = record.time();
    event.type = record.text(TextField::kType);
    event.entity = record.text(TextField::kEntity);
    event.host = record.text(TextField::kHost);
    event.tags = std::span(tags_).subspan(first_tag);
    event.stream = record.text(TextField::kStream);
    event.source = record.text(TextField::kSource);
    event.collector = record.text(TextField::kCollector);
    event.format = record.text(TextField::kFormat);
    event.content_type = record.text(TextField::kContentType);
    event.schema = record.text(TextField::kSchema);
    event.metadata = record.metadata();
    event.payload = record.payload();
    events_.push_back(event);
  }

  void add(const BatchView::Change& change) {
    const ByteView key = change.key.subspan(kKeyspacePrefixBytes);
    const auto value = change.kind == EntryKind::kPut ? std::optional(change.value) : std::nullopt;
    changes_.push_back({Keyspace(load_be32(change.key.data())), key, value});
  }

  std::vector<std::string_view> tags_;
  std::vector<Event> events_;
  std::vector<KeyValueChange> changes_;
};

// The places in the caller's batch of those events that `appending` has encoded.
std::vector<std::size_t> places_of_fresh(const Appending& appending) {
  std::vector<std::size_t> left_out;
  for (const AppendResult::Duplicate& duplicate : appending.duplicates) left_out.push_back(duplicate.index);
  for (const Appending::Twin& twin : appending.twins) left_out.push_back(twin.index);
  std::sort(left_out.begin(), left_out.end());
  std::vector<std::size_t> places;
  places.reserve(appending.count);
  auto next = left_out.begin();
  for (std::size_t index = 0; places.size() < appending.count; ++index) {
    if (next != left_out.end() && *next == index) {
      ++next;
    } else {
      places.push_back(index);
    }
  }
  return places;
}

}  // namespace

Result<std::shared_ptr<Submission>> Store::submit(const Batch& batch, AppendCallback callback) {
  HDB_TRY(check_batch(batch));
  if (is_read_only_) {
    MutexLock lock(state_mutex_);
    return write_error_;
  }
  auto submission = std::make_shared<Submission>(*background_, std::move(callback));
  HDB_TRY(prepare(batch, submission->appending()));
  submission->appending().pending.is_submitted = true;
  if (submissions_->add(submission)) return submission;
  return Status::error(StatusCode::kClosed, directory_ + ": the engine is being closed; open it again");
}

Result<AppendResult> Store::finish_submitted(CommitQueue::Place place, Appending& appending) {
  if (!appending.is_in_store) commit_queue_.wait(place, [this] { return lead_commit(); });
  if (appending.pending.outcome != PendingAppend::Outcome::kRetry) return finish(appending);
  HDB_TRY(visibility_->wait_published(appending.pending.retry_after));
  return append_again(appending);
}

// Somebody else committed one of its ids since it was looked up. The caller's events may be gone: they are taken from
// the encoded batch.
Result<AppendResult> Store::append_again(Appending& appending) {
  const DecodedBatch fresh(appending.pending.batch);
  const std::vector<std::size_t> places = places_of_fresh(appending);
  std::vector<Position> positions(places.size());
  std::vector<AppendResult::Duplicate> duplicates = std::move(appending.duplicates);
  duplicates.reserve(duplicates.size() + places.size() + appending.twins.size());
  AppendResult result = HDB_TRY(append(fresh.as(appending.pending.durability)));
  // What was committed is told: nothing below needs memory.
  counters_.duplicates.fetch_add(duplicates.size() + appending.twins.size(), std::memory_order_relaxed);
  auto duplicate = result.duplicates.begin();
  Position next_position = result.first_position;
  for (std::size_t index = 0; index < places.size(); ++index) {
    const bool is_duplicate = duplicate != result.duplicates.end() && duplicate->index == index;
    positions[index] = is_duplicate ? duplicate->position : next_position++;
    if (is_duplicate) duplicates.push_back({places[index], (duplicate++)->position});
  }
  for (const Appending::Twin& twin : appending.twins) duplicates.push_back({twin.index, positions[twin.of_fresh]});
  std::sort(duplicates.begin(), duplicates.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  result.duplicates = std::move(duplicates);
  return result;
}

}  // namespace hdb
