#include "sstable/sorted_block.h"

#include <array>
#include <bit>

namespace hdb::sstable {

std::size_t common_prefix(ByteView a, ByteView b) noexcept {
  const std::size_t limit = std::min(a.size(), b.size());
  std::size_t same = 0;
  for (; same + 8 <= limit; same += 8) {
    const std::uint64_t differ = load<std::uint64_t>(a.data() + same) ^ load<std::uint64_t>(b.data() + same);
    if (differ != 0) return same + static_cast<std::size_t>(std::countr_zero(differ)) / 8;
  }
  while (same < limit && a[same] == b[same]) ++same;
  return same;
}

void BlockBuilder::add(ByteView key, std::size_t shared, ByteView value, ByteView rest_of_value) {
  if (restarts_.empty() || since_restart_ == restart_interval_) {
    restarts_.push_back(static_cast<std::uint32_t>(entries_.size()));
    since_restart_ = 0;
    shared = 0;
  }
  ++since_restart_;
  std::array<std::byte, 3 * kVarintBytesMax> lengths;
  std::byte* end = put_varint(lengths.data(), shared);
  end = put_varint(end, key.size() - shared);
  end = put_varint(end, value.size() + rest_of_value.size());
  append(entries_, ByteView(lengths.data(), end));
  append(entries_, key.subspan(shared));
  append(entries_, value);
  append(entries_, rest_of_value);
  HDB_CHECK(entries_.size() < UINT32_MAX);  // items have limits, and blocks end long before
}

void BlockBuilder::add(ByteView key, ByteView value) {
  const std::size_t shared = common_prefix(key, bytes_of(last_key_));
  add(key, shared, value);
  last_key_.resize(shared);
  append(last_key_, key.subspan(shared));
}

ByteView BlockBuilder::finish() {
  for (const std::uint32_t restart : restarts_) append_fixed(entries_, restart);
  append_fixed(entries_, static_cast<std::uint32_t>(restarts_.size()));
  return bytes_of(entries_);
}

void BlockBuilder::reset() {
  entries_.clear();
  restarts_.clear();
  last_key_.clear();
  since_restart_ = 0;
}

Result<SortedBlock> SortedBlock::decode(Buffer bytes, CheckValue check) {
  if (bytes.size() < 8 || bytes.size() > UINT32_MAX) return Status::corruption("sorted block is too short or too long");
  const auto size = static_cast<std::uint32_t>(bytes.size());
  const auto restarts = load<std::uint32_t>(bytes.data() + size - 4);
  if (restarts == 0 || restarts > size / 4 - 1) {
    return Status::corruption("sorted block says it has " + std::to_string(restarts) + " restart points");
  }
  SortedBlock block;
  block.bytes_ = std::move(bytes);
  block.entries_end_ = size - 4 - 4 * restarts;
  block.restart_count_ = restarts;

  hdb::Cursor cursor(bytes_of(block.bytes_).first(block.entries_end_));
  std::uint32_t restart = 0;
  std::uint64_t previous_bytes = 0;
  while (!cursor.at_end()) {
    const bool is_restart = restart < restarts && block.restart_offset(restart) == cursor.offset();
    if (is_restart) ++restart;
    const std::uint64_t shared = HDB_TRY(cursor.varint());
    const std::uint64_t unshared = HDB_TRY(cursor.varint());
    const std::uint64_t value_bytes = HDB_TRY(cursor.varint());
    const std::size_t rest = cursor.rest().size();
    if (unshared > rest || value_bytes > rest - unshared || shared > previous_bytes || (is_restart && shared != 0)) {
      return Status::corruption("sorted block has an entry before byte " + std::to_string(cursor.offset()) +
                                " that does not fit");
    }
    HDB_TRY(cursor.bytes(static_cast<std::size_t>(unshared)));
    const ByteView value = HDB_TRY(cursor.bytes(static_cast<std::size_t>(value_bytes)));
    if (check != nullptr) HDB_TRY(check(value));
    previous_bytes = shared + unshared;
  }
  if (restart != restarts || block.restart_offset(0) != 0) {
    return Status::corruption("sorted block has a restart point that is no entry");
  }
  return block;
}

void SortedBlock::Cursor::read(std::uint32_t offset) {
  const std::byte* const begin = block_->bytes_.data();
  const std::byte* at = begin + offset;
  const auto shared = static_cast<std::size_t>(read_trusted_varint(at));
  const auto unshared = static_cast<std::size_t>(read_trusted_varint(at));
  const auto value_bytes = static_cast<std::size_t>(read_trusted_varint(at));
  if (shared == 0) {
    key_ = {at, unshared};
  } else {
    if (key_.data() != key_bytes_.data())
      key_bytes_.assign(key_.begin(), key_.begin() + static_cast<std::ptrdiff_t>(shared));
    key_bytes_.resize(shared);
    append(key_bytes_, {at, unshared});
    key_ = bytes_of(key_bytes_);
  }
  value_ = {at + unshared, value_bytes};
  offset_ = offset;
  next_offset_ = static_cast<std::uint32_t>(at + unshared + value_bytes - begin);
}

bool SortedBlock::Cursor::to_restart(std::uint32_t restart) {
  restart_ = restart;
  read(block_->restart_offset(restart));
  return true;
}

bool SortedBlock::Cursor::first() {
  return to_restart(0);
}

bool SortedBlock::Cursor::last() {
  to_restart(block_->restart_count_ - 1);
  while (next_offset_ < block_->entries_end_) read(next_offset_);
  return true;
}

bool SortedBlock::Cursor::next() {
  if (next_offset_ >= block_->entries_end_) return false;
  if (restart_ + 1 < block_->restart_count_ && block_->restart_offset(restart_ + 1) == next_offset_) ++restart_;
  read(next_offset_);
  return true;
}

bool SortedBlock::Cursor::previous() {
  const std::uint32_t end = offset_;
  if (end == 0) return false;
  if (block_->restart_offset(restart_) == end) --restart_;
  read(block_->restart_offset(restart_));
  while (next_offset_ < end) read(next_offset_);
  return true;
}

}  // namespace hdb::sstable
