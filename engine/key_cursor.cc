#include "engine/key_cursor.h"

#include <limits>

#include "compaction/merge_iterator.h"

namespace hdb {

namespace {

constexpr SequenceNumber kNewest{std::numeric_limits<std::uint64_t>::max()};

// Above every stored key there can be: keyspaces are numbered from 1 up.
const Buffer kEndOfAllKeys(kKeyspacePrefixBytes, std::byte{0xff});

// The smallest key that is larger than all with this prefix; empty if there is none.
std::optional<Buffer> end_of_prefix(Buffer prefix) {
  while (!prefix.empty()) {
    if (prefix.back() != std::byte{0xff}) {
      prefix.back() = static_cast<std::byte>(static_cast<unsigned>(prefix.back()) + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return std::nullopt;
}

bool is_less(ByteView a, ByteView b) {
  return compare_bytes(a, b) < 0;
}

}  // namespace

Buffer stored_key(Keyspace keyspace, ByteView key) {
  Buffer stored(kKeyspacePrefixBytes + key.size());
  store_be32(stored.data(), keyspace.id());
  if (!key.empty()) std::memcpy(stored.data() + kKeyspacePrefixBytes, key.data(), key.size());
  return stored;
}

Result<std::unique_ptr<EntryIterator>> merged_entries(Store& store, const ReadView& view, ByteView lower,
                                                      ByteView upper) {
  std::vector<std::unique_ptr<EntryIterator>> sources;
  sources.push_back(view.active->entries());
  for (auto sealed = view.sealed.rbegin(); sealed != view.sealed.rend(); ++sealed) {
    sources.push_back((*sealed)->table->entries());
  }
  for (const auto& meta : view.version->tables_for_range(0, lower, upper)) {
    const auto table = HDB_TRY(store.tables().get_keys(*meta));
    sources.push_back(table->entries());
  }
  for (std::uint32_t level = 1; level < view.version->level_count(); ++level) {
    auto tables = view.version->tables_for_range(level, lower, upper);
    if (!tables.empty()) sources.push_back(compaction::concatenate(store.tables(), std::move(tables)));
  }
  return compaction::merge(std::move(sources));
}

KeyCursor::Impl::Impl(std::shared_ptr<Store> store, std::shared_ptr<const Snapshot::Pin> pin, Keyspace keyspace,
                      const KeyRange& range)
    : store_(std::move(store)),
      pin_(std::move(pin)),
      at_(pin_->at().next_sequence.raw() - 1),
      is_backward_(range.is_backward) {
  const Buffer prefix = stored_key(keyspace, range.prefix.value_or(ByteView()));
  lower_ = prefix;
  upper_ = end_of_prefix(prefix);
  if (range.lower) {
    Buffer lower = stored_key(keyspace, *range.lower);
    if (is_less(bytes_of(lower_), bytes_of(lower))) lower_ = std::move(lower);
  }
  if (range.upper) {
    Buffer upper = stored_key(keyspace, *range.upper);
    if (!upper_ || is_less(bytes_of(upper), bytes_of(*upper_))) upper_ = std::move(upper);
  }
}

bool KeyCursor::Impl::is_in_range(ByteView key) const {
  if (is_backward_) return !is_less(key, bytes_of(lower_));
  return !upper_ || is_less(key, bytes_of(*upper_));
}

// To the first entry not yet looked at, in the current view.
Status KeyCursor::Impl::reposition() {
  generation_ = store_->generation();
  view_ = store_->view();
  entries_ = HDB_TRY(merged_entries(*store_, *view_, bytes_of(lower_), bytes_of(upper_ ? *upper_ : kEndOfAllKeys)));
  if (!is_backward_) {
    // Past every version of the last key: sequence 0 is older than all.
    is_on_entry_ =
        last_key_ ? entries_->seek(bytes_of(*last_key_), SequenceNumber(0)) : entries_->seek(bytes_of(lower_), kNewest);
    return entries_->status();
  }
  const std::optional<Buffer>& end = last_key_ ? last_key_ : upper_;
  if (!end) {
    is_on_entry_ = entries_->seek_to_last();
  } else if (entries_->seek(bytes_of(*end), kNewest)) {
    is_on_entry_ = entries_->previous();
  } else {
    HDB_TRY(entries_->status());
    is_on_entry_ = entries_->seek_to_last();
  }
  return entries_->status();
}

// The next key's newest visible version, if it is no tombstone.
Status KeyCursor::Impl::step_forward() {
  while (is_on_entry_ && is_in_range(entries_->entry().key)) {
    const Entry& entry = entries_->entry();
    const bool is_seen = last_key_ && equal_bytes(bytes_of(*last_key_), entry.key);
    if (!is_seen && entry.sequence <= at_) {
      last_key_.emplace(entry.key.begin(), entry.key.end());
      if (entry.kind == EntryKind::kPut) {
        key_.assign(entry.key.begin(), entry.key.end());
        value_.assign(entry.value.begin(), entry.value.end());
        has_result_ = true;
        is_on_entry_ = entries_->next();
        return entries_->status();
      }
    }
    is_on_entry_ = entries_->next();
  }
  return entries_->status();
}

// Backward, a key's versions come oldest first: the last visible one met counts.
Status KeyCursor::Impl::step_backward() {
  while (is_on_entry_ && is_in_range(entries_->entry().key)) {
    last_key_.emplace(entries_->entry().key.begin(), entries_->entry().key.end());
    std::optional<EntryKind> newest;
    for (; is_on_entry_ && equal_bytes(entries_->entry().key, bytes_of(*last_key_));
         is_on_entry_ = entries_->previous()) {
      const Entry& entry = entries_->entry();
      if (entry.sequence > at_) continue;
      newest = entry.kind;
      if (entry.kind == EntryKind::kPut) value_.assign(entry.value.begin(), entry.value.end());
    }
    HDB_TRY(entries_->status());
    if (newest == EntryKind::kPut) {
      key_ = *last_key_;
      has_result_ = true;
      return {};
    }
  }
  return entries_->status();
}

Result<std::optional<KeyValue>> KeyCursor::Impl::next() {
  HDB_TRY(store_->check_open());
  if (is_done_) return std::optional<KeyValue>();
  has_result_ = false;
  is_done_ = true;  // unless it ends well: an exception must not leave a cursor that skips what it was at
  Status status;
  if (view_ == nullptr || generation_ != store_->generation()) status = reposition();
  if (status.ok()) status = is_backward_ ? step_backward() : step_forward();
  if (!status.ok() || !has_result_) {
    entries_.reset();
    view_.reset();
    if (!status.ok()) return status;
    return std::optional<KeyValue>();
  }
  is_done_ = false;
  return std::optional<KeyValue>(KeyValue{bytes_of(key_).subspan(kKeyspacePrefixBytes), bytes_of(value_)});
}

}  // namespace hdb
