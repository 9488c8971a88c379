// Point reads: an event by position or id, the value of a key.
#include <algorithm>

#include "engine/key_cursor.h"
#include "engine/store.h"
#include "sstable/event_table.h"
#include "sstable/key_table.h"

namespace hdb {

Result<std::shared_ptr<const Snapshot::Pin>> Store::pin_for(const Snapshot* at) {
  HDB_TRY(check_open());
  if (at == nullptr) return visibility_->pin();
  if (at->pin()->owner() != visibility_.get()) {
    return Status::invalid_argument("the snapshot is of another store; take one from this engine");
  }
  return at->pin();
}

Result<Snapshot> Store::snapshot() {
  HDB_TRY(check_open());
  return Snapshot(visibility_->pin());
}

Result<FoundEvent> Store::fetch(const ReadView& view, Position position) {
  if (position >= view.active->position_begin()) {
    const StoredRecord stored = view.active->event(position);
    return FoundEvent{position, stored.commit_time, stored.record, view.active};
  }
  for (auto sealed = view.sealed.rbegin(); sealed != view.sealed.rend(); ++sealed) {
    const auto& table = (*sealed)->table;
    if (position < table->position_begin()) continue;
    const StoredRecord stored = table->event(position);
    return FoundEvent{position, stored.commit_time, stored.record, table};
  }
  const auto meta = view.version->event_table_at(position);
  HDB_CHECK(meta != nullptr);
  const auto table = HDB_TRY(tables_->get_events(*meta));
  sstable::PinnedRecord found = HDB_TRY(table->get(position));
  return FoundEvent{position, found.commit_time, found.record, std::move(found.pin)};
}

Result<std::optional<Position>> Store::find_id(const ReadView& view, Position position_end, const EventId& id) {
  if (const auto position = position_in(id); position && *position < position_end) {
    const FoundEvent found = HDB_TRY(fetch(view, *position));
    if (found.record.kind() == RecordKind::kEvent && found.record.id(*position) == id)
      return std::optional<Position>(*position);
  }
  if (const auto position = view.active->find_id(id, position_end)) return position;
  for (auto sealed = view.sealed.rbegin(); sealed != view.sealed.rend(); ++sealed) {
    if (const auto position = (*sealed)->table->find_id(id, position_end)) return position;
  }
  const auto& metas = view.version->event_tables();
  for (auto meta = metas.rbegin(); meta != metas.rend(); ++meta) {
    const auto table = HDB_TRY(tables_->get_events(**meta));
    const auto position = HDB_TRY(table->find_id(id));
    if (position && *position < position_end) return position;
  }
  return std::optional<Position>();
}

namespace {
StoredEvent as_stored_event(FoundEvent found) {
  return StoredEvent(found.position, found.commit_time, found.record.bytes(), std::move(found.pin));
}

Status lost_event(Position position) {
  return Status::error(StatusCode::kLost, "position " + std::to_string(position) +
                                              ": its event was damaged and is lost since the store was repaired");
}
}  // namespace

Result<std::optional<StoredEvent>> Store::get(Position position, const Snapshot* at) {
  HDB_TRY(check_open());
  if (at != nullptr) HDB_TRY(pin_for(at));
  const Visibility::Read read = visibility_->read();
  const Position end = at != nullptr ? at->position_end() : read.at.position_end;
  if (position >= end) return std::optional<StoredEvent>();
  FoundEvent found = HDB_TRY(fetch(*read.view, position));
  if (found.record.kind() == RecordKind::kLost) return lost_event(position);
  return std::optional<StoredEvent>(as_stored_event(std::move(found)));
}

Result<std::optional<StoredEvent>> Store::get(const EventId& id, const Snapshot* at) {
  HDB_TRY(check_open());
  if (at != nullptr) HDB_TRY(pin_for(at));
  const Visibility::Read read = visibility_->read();
  const Position end = at != nullptr ? at->position_end() : read.at.position_end;
  const auto position = HDB_TRY(find_id(*read.view, end, id));
  if (!position) {
    const auto named = position_in(id);
    if (!named || *named >= end) return std::optional<StoredEvent>();
    const FoundEvent there = HDB_TRY(fetch(*read.view, *named));
    if (there.record.kind() == RecordKind::kLost) return lost_event(*named);
    return std::optional<StoredEvent>();
  }
  return std::optional<StoredEvent>(as_stored_event(HDB_TRY(fetch(*read.view, *position))));
}

namespace {

std::optional<Value> value_in(const Entry& entry, std::shared_ptr<const void> pin) {
  if (entry.kind == EntryKind::kErase) return std::nullopt;
  return Value(entry.value, std::move(pin));
}

}  // namespace

Result<std::optional<Value>> Store::get(Keyspace keyspace, ByteView key, const Snapshot* at) {
  HDB_TRY(check_open());
  if (at != nullptr) HDB_TRY(pin_for(at));
  HDB_TRY(check_keyspace(keyspace));
  // A view holds every version its own published end can see, so only a snapshot needs its pin.
  const Visibility::Read read = visibility_->read();
  const auto& view = read.view;
  const Published& moment = at != nullptr ? at->pin()->at() : read.at;
  const SequenceNumber newest(moment.next_sequence.raw() - 1);
  const Buffer wanted_bytes = stored_key(keyspace, key);
  const ByteView wanted = bytes_of(wanted_bytes);

  if (const auto entry = view->active->find(wanted, newest)) return value_in(*entry, view->active);
  for (auto sealed = view->sealed.rbegin(); sealed != view->sealed.rend(); ++sealed) {
    if (const auto entry = (*sealed)->table->find(wanted, newest)) return value_in(*entry, (*sealed)->table);
  }
  for (std::uint32_t level = 0; level < view->version->level_count(); ++level) {
    for (const auto& meta : view->version->tables_for_key(level, wanted)) {
      const auto table = HDB_TRY(tables_->get_keys(*meta));
      auto found = HDB_TRY(table->get(wanted, newest));
      if (found) return value_in(found->entry, std::move(found->pin));
    }
  }
  return std::optional<Value>();
}

Result<KeyCursor> Store::scan(Keyspace keyspace, const KeyRange& range, const Snapshot* at) {
  auto pin = HDB_TRY(pin_for(at));
  HDB_TRY(check_keyspace(keyspace));
  return KeyCursor(std::make_unique<KeyCursor::Impl>(shared_from_this(), std::move(pin), keyspace, range));
}

}  // namespace hdb
