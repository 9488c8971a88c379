// The write path: an append is checked, deduplicated and encoded in its caller's thread, ordered and logged by a leader
// for everyone waiting, applied to the memtable by each caller, and published in order.
#include <algorithm>
#include <map>
#include <set>

#include "base/seeded_defect.h"
#include "engine/json.h"
#include "engine/ready_errors.h"
#include "engine/store.h"
#include "io/file_name.h"

namespace hdb {

// The events of a batch that the store does not have.
struct Store::Fresh {
  std::vector<Event> kept;  // backs `events` when some were left out
  std::span<const Event> events;
};

namespace {

// An event alone, encoded, for comparing it with a stored one.
Buffer encoded(const Event& event) {
  Buffer bytes(record_bytes(event));
  encode_record(event, {event.time.value_or(Timestamp{}), 0}, bytes.data());
  return bytes;
}

bool is_same(const Event& event, const RecordView& stored) {
  const Buffer bytes = encoded(event);
  return same_content(RecordView::trusted(bytes_of(bytes)), stored);
}

Status conflicting(const EventId& id, const std::string& where) {
  return Status::error(StatusCode::kConflict, "event id " + id.to_string() + " exists with other content " + where +
                                                  "; give the event another id, or append what is stored");
}

// Below what a log group can hold; beyond it a larger group saves nothing more.
constexpr std::uint64_t kGroupBatchBytesMax = kBatchBytesMax;
// A leader applies all batches of a small group, and the small ones of any: waking their callers, who would then wait
// for each other, would cost more.
constexpr std::uint64_t kSmallGroupBytes = 32u << 10;
constexpr std::uint64_t kSmallBatchBytes = 2u << 10;

// What a batch weighs in a memtable before it is there: its bytes and the index nodes of its items.
std::uint64_t weight_of(const EncodedBatch& batch) {
  constexpr std::uint64_t kItemBytes = 64;
  return batch.bytes().size() + kItemBytes * (batch.event_count() + batch.change_count());
}

}  // namespace

Result<AppendResult> Store::append(const Batch& batch) {
  HDB_TRY(check_batch(batch));
  if (HDB_SEEDED(append_a_batch_in_two_halves) && !batch.events.empty() && !batch.changes.empty()) {
    HDB_TRY(append({.events = {}, .changes = batch.changes, .durability = Durability::kNone}));
    return append({.events = batch.events, .changes = {}, .durability = batch.durability});
  }
  while (true) {
    Appending appending;
    HDB_TRY(prepare(batch, appending));
    PendingAppend& pending = appending.pending;
    if (!appending.is_in_store) commit_queue_.run(pending, [this] { return lead_commit(); });
    if (pending.outcome != PendingAppend::Outcome::kRetry) return finish(appending);
    HDB_TRY(visibility_->wait_published(pending.retry_after));
  }
}

Status Store::check_batch(const Batch& batch) const {
  HDB_TRY(check_open());
  if (batch.durability && *batch.durability > Durability::kSync) {
    return Status::invalid_argument("the batch asks for durability " +
                                    std::to_string(static_cast<unsigned>(*batch.durability)) +
                                    "; it is kNone, kInterval or kSync");
  }
  HDB_TRY(validate_batch(batch.events, batch.changes, options_.leaf_hashes));
  for (std::size_t index = 0; index < batch.events.size(); ++index) {
    const Status status = check_metadata(batch.events[index].metadata);
    if (!status.ok()) return status.in_context("events[" + std::to_string(index) + "]");
  }
  for (const KeyValueChange& change : batch.changes) HDB_TRY(check_keyspace(change.keyspace));
  return {};
}

Status Store::prepare(const Batch& batch, Appending& appending) {
  PendingAppend& pending = appending.pending;
  pending.durability = batch.durability.value_or(options_.durability);
  const Fresh fresh = HDB_TRY(leave_out_duplicates(batch.events, appending));
  appending.count = fresh.events.size();
  appending.is_in_store = fresh.events.empty() && batch.changes.empty();
  if (appending.is_in_store) return {};
  appending.duplicates.reserve(appending.duplicates.size() + appending.twins.size());
  const BatchStamp stamp{{clock_.wall(), id_random_}, options_.leaf_hashes};
  pending.batch = encode_batch(fresh.events, batch.changes, stamp, &batch_memory_);
  pending.ids = appending.ids;
  return wait_for_room(weight_of(pending.batch));
}

Result<AppendResult> Store::finish(Appending& appending) {
  PendingAppend& pending = appending.pending;
  AppendResult result;
  result.count = appending.count;
  result.duplicates = std::move(appending.duplicates);
  counters_.duplicates.fetch_add(result.duplicates.size() + appending.twins.size(), std::memory_order_relaxed);
  if (appending.is_in_store) {
    const Published published = visibility_->read().at;
    result.first_position = published.position_end;
    HDB_TRY(make_durable_as(pending.durability, published.position_end));
    return result;
  }
  if (pending.outcome == PendingAppend::Outcome::kFailed) return pending.error;
  result.first_position = pending.first_position;
  if (!pending.is_applied) HDB_TRY(apply(pending, Applier::kCaller));
  HDB_TRY(visibility_->wait_published(pending.group_end));
  for (const Appending::Twin& twin : appending.twins) {
    result.duplicates.push_back({twin.index, result.first_position + twin.of_fresh});
  }
  std::sort(result.duplicates.begin(), result.duplicates.end(),
            [](const auto& a, const auto& b) { return a.index < b.index; });
  return result;
}

Result<Store::Fresh> Store::leave_out_duplicates(std::span<const Event> events, Appending& appending) {
  Fresh fresh;
  fresh.events = events;
  if (std::none_of(events.begin(), events.end(), [](const Event& event) { return event.id.has_value(); })) return fresh;

  appending.look_up = look_ups_.begin(visibility_->read().at.next_sequence);
  const Visibility::Read read = visibility_->read();
  appending.pending.looked_up_to = read.at.next_sequence;
  std::map<EventId, std::size_t> places;  // of the batch's own ids, in `kept`
  fresh.kept.reserve(events.size());
  for (std::size_t index = 0; index < events.size(); ++index) {
    const Event& event = events[index];
    if (event.id) {
      const auto position = HDB_TRY(find_id(*read.view, read.at.position_end, *event.id));
      if (position) {
        const FoundEvent stored = HDB_TRY(fetch(*read.view, *position));
        if (!is_same(event, stored.record)) return conflicting(*event.id, "at position " + std::to_string(*position));
        appending.duplicates.push_back({index, *position});
        continue;
      }
      const auto [twin, is_new] = places.try_emplace(*event.id, fresh.kept.size());
      if (!is_new) {
        const Buffer first = encoded(fresh.kept[twin->second]);
        if (!is_same(event, RecordView::trusted(bytes_of(first)))) {
          return conflicting(*event.id, "earlier in the same batch");
        }
        appending.twins.push_back({index, twin->second});
        continue;
      }
      appending.ids.push_back(*event.id);
    }
    fresh.kept.push_back(event);
  }
  fresh.events = fresh.kept;
  return fresh;
}

// Whether the group was to be on the device, and small: then the next one gains by being larger.
bool Store::lead_commit() {
  std::span<PendingAppend* const> group;
  std::uint64_t bytes = 0;
  bool is_durable = false;
  {
    MutexLock log_lock(log_mutex_);
    group = commit_queue_.take();
    std::size_t begin = 0;
    std::uint64_t part_bytes = 0;
    for (std::size_t member = 0; member < group.size(); ++member) {
      const std::uint64_t batch_bytes = group[member]->batch.bytes().size();
      is_durable |= group[member]->durability == Durability::kSync;
      bytes += batch_bytes;
      if (member > begin && part_bytes + batch_bytes > kGroupBatchBytesMax) {
        settle(group.subspan(begin, member - begin));
        begin = member;
        part_bytes = 0;
      }
      part_bytes += batch_bytes;
    }
    settle(group.subspan(begin));
  }
  const bool is_small = bytes <= kSmallGroupBytes;
  for (PendingAppend* pending : group) {
    const bool is_for_leader = is_small || pending->batch.bytes().size() <= kSmallBatchBytes || pending->is_submitted;
    if (!is_for_leader) continue;
    if (pending->outcome != PendingAppend::Outcome::kWritten || pending->batch.bytes().empty()) continue;
    pending->error = apply(*pending, Applier::kLeader);
    if (!pending->error.ok()) pending->outcome = PendingAppend::Outcome::kFailed;
    pending->is_applied = true;
  }
  return is_durable && is_small;
}

// Writes the group, or as much of it as there is space for: a batch that is too large for the disk must not take down
// those that fit, nor requests to sync, which need none.
void Store::settle(std::span<PendingAppend* const> group) noexcept {
  Status status;
  try {
    status = write_group(group);
  } catch (...) {
    status = out_of_memory();
  }
  if (status.ok()) return;
  if (group.size() > 1 && status.code() == StatusCode::kNoSpace) {
    for (std::size_t member = 0; member < group.size(); ++member) settle(group.subspan(member, 1));
    return;
  }
  for (PendingAppend* pending : group) {
    pending->outcome = PendingAppend::Outcome::kFailed;
    pending->error = status;
  }
}

// After an error no member of the group has been accepted.
Status Store::write_group(std::span<PendingAppend* const> group) {
  if (!has_room_.load(std::memory_order_relaxed)) {
    MutexLock lock(state_mutex_);
    if (!write_error_.ok()) return write_error_;
  }
  bool is_durable = false;
  for (const PendingAppend* pending : group) is_durable |= pending->durability == Durability::kSync;
  HDB_TRY(check_log_place(is_durable));
  const Admitted& admitted = admit(group);
  if (!admitted.members.empty()) {
    HDB_TRY(log_group(admitted, is_durable));
  } else if (is_durable) {
    const Status synced = log_->sync();
    if (!synced.ok()) {
      stop_writes(synced);
      return synced;
    }
  }
  if (is_durable) durable_position_end_.store(next_position_, std::memory_order_release);

  last_append_ = clock_.monotonic();
  const bool has_interval = std::any_of(group.begin(), group.end(), [](const PendingAppend* pending) {
    return pending->durability == Durability::kInterval && pending->outcome == PendingAppend::Outcome::kWritten;
  });
  if (is_durable) {
    first_unsynced_.reset();
  } else if (has_interval && !first_unsynced_) {
    first_unsynced_ = last_append_;
  }
  if (!admitted.members.empty() || has_interval) arm_log_timer();
  return {};
}

// Asking where the lock is costs a system call, as much as a small write, so for what is not made durable it is asked
// once in a while.
Status Store::check_log_place(bool is_durable) {
  constexpr std::chrono::milliseconds kEvery{1};
  const auto now = clock_.monotonic();
  if (!is_durable && place_checked_ && now - *place_checked_ < kEvery) return {};
  HDB_TRY(check_place());
  place_checked_ = now;
  return {};
}

// Who goes: everyone whose ids nobody else has committed or is committing now.
const Store::Admitted& Store::admit(std::span<PendingAppend* const> group) {
  Admitted& admitted = admitted_;
  admitted.members.clear();
  admitted.batches.clear();
  admitted.bytes = admitted.events = admitted.changes = admitted.large = 0;
  std::set<EventId> group_ids;
  for (PendingAppend* pending : group) {
    pending->outcome = PendingAppend::Outcome::kWritten;
    if (pending->batch.bytes().empty()) continue;
    std::optional<SequenceNumber> retry_after = recent_ids_.conflict(pending->ids, pending->looked_up_to);
    if (HDB_SEEDED(trust_an_old_look_up_of_ids)) retry_after.reset();
    const bool meets_twin = std::any_of(pending->ids.begin(), pending->ids.end(),
                                        [&](const EventId& id) { return group_ids.contains(id); });
    if (retry_after || meets_twin) {
      pending->outcome = PendingAppend::Outcome::kRetry;
      pending->retry_after = retry_after.value_or(next_sequence_.next());
      continue;
    }
    group_ids.insert(pending->ids.begin(), pending->ids.end());
    admitted.members.push_back(pending);
    admitted.batches.push_back(pending->batch.bytes());
    admitted.bytes += pending->batch.bytes().size();
    admitted.events += pending->batch.event_count();
    admitted.changes += pending->batch.change_count();
    if (!pending->batch.block().empty()) ++admitted.large;
  }
  return admitted;
}

Status Store::log_group(const Admitted& admitted, bool is_durable) {
  if (const Status room = make_active_writable(admitted, is_durable); !room.ok()) {
    const bool may_retry = room.code() == StatusCode::kNoSpace || room.code() == StatusCode::kInvalidArgument;
    if (!may_retry) stop_writes(room);
    return room;
  }
  const Timestamp commit_time = std::max(last_commit_time_, clock_.wall());
  const LogPoint before = log_->end();
  const Status written = write_log(admitted, commit_time, is_durable);
  if (!written.ok()) {
    stop_writes(written);
    const Status unknown = without_exceptions([&] { return written.in_context("append: outcome unknown"); });
    return unknown.code() == StatusCode::kOutOfMemory ? logged_but_not_applied() : unknown;
  }
  const LogPoint end = log_->end();
  HDB_CHECK(end.segment == before.segment);  // there was room for all of it
  active_log_bytes_ += end.offset - before.offset;
  try {
    accept_group(
        admitted.members, commit_time,
        {SequenceNumber(next_sequence_.raw() + admitted.events + admitted.changes), next_position_ + admitted.events});
  } catch (...) {
    stop_writes(logged_but_not_applied());
    visibility_->fail(logged_but_not_applied());
    return logged_but_not_applied();
  }
  last_commit_time_ = commit_time;
  tell_log_fallback();
  counters_.log_groups.fetch_add(1, std::memory_order_relaxed);
  return {};
}

// A group of the log for each large batch, written from where it is, and one for all small ones between two of those.
Status Store::write_log(const Admitted& admitted, Timestamp commit_time, bool is_durable) {
  const LogPoint before = log_->end();
  try {
    return append_to_log(admitted, commit_time, is_durable);
  } catch (...) {
    if (log_->end() == before) throw;
    return logged_but_not_applied();  // after the first of several groups it is too late to refuse the append
  }
}

Status Store::append_to_log(const Admitted& admitted, Timestamp commit_time, bool is_durable) {
  wal::GroupInput group{
      .first_sequence = next_sequence_, .first_position = next_position_, .commit_time = commit_time, .batches = {}};
  const std::span<const ByteView> batches = admitted.batches;
  for (std::size_t begin = 0; begin < batches.size();) {
    group.block = admitted.members[begin]->batch.block();
    std::size_t end = begin + 1;
    while (group.block.empty() && end < batches.size() && admitted.members[end]->batch.block().empty()) ++end;
    group.batches = batches.subspan(begin, end - begin);
    HDB_TRY(log_->append(group, is_durable && end == batches.size()));
    for (; begin < end; ++begin) {
      const EncodedBatch& batch = admitted.members[begin]->batch;
      group.first_sequence = SequenceNumber(group.first_sequence.raw() + batch.event_count() + batch.change_count());
      group.first_position += batch.event_count();
    }
  }
  return {};
}

// The group is in the log: hands each member its numbers and its memtable.
void Store::accept_group(std::span<PendingAppend* const> members, Timestamp commit_time, Published end) {
  std::shared_ptr<MemTable> memtable;
  {
    MutexLock lock(state_mutex_);
    memtable = active_;
  }
  for (const PendingAppend* member : members) {
    if (!member->ids.empty()) recent_ids_.add(member->ids, end.next_sequence, look_ups_.oldest());
  }
  visibility_->open_slot(end, members.size());
  for (PendingAppend* member : members) {
    member->first_sequence = next_sequence_;
    member->first_position = next_position_;
    member->group_end = end.next_sequence;
    if (HDB_SEEDED(give_a_sequence_number_twice) && member->first_sequence.raw() % 8 == 7) {
      member->first_sequence = SequenceNumber(member->first_sequence.raw() - 1);
    }
    member->commit_time = commit_time;
    member->memtable = memtable;
    active_claimed_bytes_.fetch_add(weight_of(member->batch), std::memory_order_relaxed);
    next_sequence_ = SequenceNumber(next_sequence_.raw() + member->batch.event_count() + member->batch.change_count());
    next_position_ += member->batch.event_count();
  }
}

Status Store::apply(PendingAppend& pending, Applier applier) noexcept {
  const std::uint64_t events = pending.batch.event_count();
  const std::uint64_t changes = pending.batch.change_count();
  try {
    MemTable& memtable = *pending.memtable;
    if (applier == Applier::kLeader) {
      memtable.add_in_turn(std::move(pending.batch), pending.first_sequence, pending.first_position,
                           pending.commit_time);
    } else {
      memtable.add(std::move(pending.batch), pending.first_sequence, pending.first_position, pending.commit_time);
    }
  } catch (...) {
    stop_writes(logged_but_not_applied());
    visibility_->fail(logged_but_not_applied());
    return logged_but_not_applied();
  }
  visibility_->batch_applied(pending.group_end);
  counters_.events_appended.fetch_add(events, std::memory_order_relaxed);
  counters_.key_value_changes.fetch_add(changes, std::memory_order_relaxed);
  counters_.batches.fetch_add(1, std::memory_order_relaxed);
  return {};
}

Status Store::make_active_writable(const Admitted& admitted, bool is_durable) {
  if (!reserve_.is_held() && !HDB_SEEDED(give_kept_space_to_appends)) {
    const Status taken = reserve_.take();
    if (!taken.ok()) {
      return Status::error(StatusCode::kNoSpace, std::string(taken.message()) + "; or lower reserve_bytes, the " +
                                                     std::to_string(options_.reserve_bytes) +
                                                     " bytes kept free for flushes");
    }
  }
  const bool is_full = active_claimed_bytes_.load(std::memory_order_relaxed) >= options_.memtable_bytes ||
                       active_log_bytes_ >= options_.log_bytes_max / 2;
  if (is_full) {
    bool has_room = false;
    {
      MutexLock lock(state_mutex_);
      has_room = sealed_.size() < options_.sealed_memtables_max;
    }
    // Past the bound by what was let through together: wait_for_room() holds back everyone after that.
    if (has_room) HDB_TRY(seal_active());
  }
  return log_->prepare(admitted.bytes, is_durable, 1 + 2 * admitted.large);
}

// The new memtable's log begins with a segment of its own, whose header is durable: a floor that no power loss can put
// behind the end of the log.
Status Store::seal_active() {
  Status started = log_->start_segment();
  if (started.code() == StatusCode::kNoSpace && reserve_.release()) started = log_->start_segment();
  HDB_TRY(Status(started));
  // Everything that can fail comes before anything changes.
  auto fresh = std::make_shared<MemTable>(next_sequence_, next_position_);
  std::shared_ptr<ReadView> view = make_view();
  MutexLock lock(state_mutex_);
  sealed_.push_back(std::make_shared<const SealedMemTable>(SealedMemTable{.table = active_,
                                                                          .next_sequence = next_sequence_,
                                                                          .position_end = next_position_,
                                                                          .log_end = log_->end(),
                                                                          .last_commit_time = last_commit_time_}));
  active_ = std::move(fresh);
  active_claimed_bytes_.store(0, std::memory_order_relaxed);
  active_log_bytes_ = 0;
  publish_view(std::move(view));
  schedule_flush();
  return {};
}

void Store::stop_writes(const Status& error) noexcept {
  Status refusal = without_exceptions([&] {
    return Status::error(StatusCode::kClosed, "writes are refused after an error: " + std::string(error.message()) +
                                                  "; close the store, mend the cause and open it again");
  });
  if (refusal.code() != StatusCode::kClosed) refusal = writes_refused();
  {
    MutexLock lock(state_mutex_);
    if (!write_error_.ok()) return;
    write_error_ = std::move(refusal);
    update_room();
    state_signal_.notify_all();
  }
  notify(Notice::kError, error.message());
}

Status Store::sync() {
  HDB_TRY(check_open());
  if (is_read_only_) return {};  // all of it is durable
  PendingAppend pending;
  pending.durability = Durability::kSync;
  commit_queue_.run(pending, [this] { return lead_commit(); });
  return pending.outcome == PendingAppend::Outcome::kFailed ? pending.error : Status();
}

// For events that the store had already, perhaps by an append that asked for less.
Status Store::make_durable_as(Durability durability, Position position_end) {
  if (durability == Durability::kSync) return make_durable(position_end);
  if (durability == Durability::kNone || durable_position_end_.load(std::memory_order_acquire) >= position_end)
    return {};
  MutexLock lock(log_mutex_);
  if (first_unsynced_) return {};
  first_unsynced_ = clock_.monotonic();
  arm_log_timer();
  return {};
}

Status Store::make_durable(Position position_end) {
  if (durable_position_end_.load(std::memory_order_acquire) >= position_end) return {};
  if (HDB_SEEDED(give_out_tokens_that_are_not_durable)) return {};
  return sync();
}

}  // namespace hdb
