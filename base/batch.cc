#include "base/batch.h"

#include <array>
#include <string>
#include <utility>

#include "base/checksum.h"

namespace hdb {

namespace {

constexpr std::size_t kSectionHeaderBytes = 8;
constexpr std::uint16_t kSectionVersion = 1;  // of every kind written now
constexpr std::size_t kStoredKeyBytesMax = kKeyspacePrefixBytes + kKeyBytesMax;
static_assert(kStoredKeyBytesMax <= UINT16_MAX);

struct BatchHeader {
  std::uint64_t checksum;
  std::uint32_t batch_bytes;
  std::uint32_t event_count;
  std::uint32_t change_count;
  std::uint16_t section_count;
  std::uint16_t reserved;
};
static_assert(sizeof(BatchHeader) == kBatchHeaderBytes);
static_assert(offsetof(BatchHeader, batch_bytes) == 8);
static_assert(offsetof(BatchHeader, section_count) == 20);
static_assert(std::has_unique_object_representations_v<BatchHeader>, "no hidden padding reaches the disk");

struct SectionHeader {
  SectionKind kind;
  std::uint16_t version;
  std::uint32_t bytes;
};
static_assert(sizeof(SectionHeader) == kSectionHeaderBytes);

constexpr std::size_t round_up_to_8(std::size_t bytes) noexcept {
  return (bytes + 7) & ~std::size_t{7};
}

std::size_t change_bytes(const KeyValueChange& change) noexcept {
  return kChangeHeaderBytes + kKeyspacePrefixBytes + change.key.size() + (change.value ? change.value->size() : 0);
}

// Bytes of the sections without their headers, 0 for one that is not there, and of the whole batch.
struct BatchSizes {
  std::size_t events = 0;
  std::size_t leaf_hashes = 0;
  std::size_t changes = 0;
  std::size_t batch = 0;
};

BatchSizes sizes_of(std::span<const Event> events, std::span<const KeyValueChange> changes,
                    bool with_leaf_hashes) noexcept {
  BatchSizes sizes;
  for (const Event& event : events) sizes.events += record_bytes(event);
  if (with_leaf_hashes) sizes.leaf_hashes = events.size() * sizeof(LeafHash);
  for (const KeyValueChange& change : changes) sizes.changes += change_bytes(change);
  std::size_t bytes = kBatchHeaderBytes;
  for (const std::size_t section : {sizes.events, sizes.leaf_hashes, sizes.changes}) {
    if (section != 0) bytes += kSectionHeaderBytes + section;
  }
  sizes.batch = round_up_to_8(bytes);
  return sizes;
}

std::byte* put_section_header(std::byte* at, SectionKind kind, std::size_t bytes) noexcept {
  store(at, SectionHeader{kind, kSectionVersion, static_cast<std::uint32_t>(bytes)});
  return at + kSectionHeaderBytes;
}

std::byte* put_bytes(std::byte* at, ByteView bytes) noexcept {
  if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
  return at + bytes.size();
}

std::byte* put_events(std::byte* at, std::span<const Event> events, const RecordStamp& stamp) noexcept {
  for (const Event& event : events) {
    encode_record(event, stamp, at);
    at += load<std::uint32_t>(at);
  }
  return at;
}

// Of the records that begin at `record`.
std::byte* put_leaf_hashes(std::byte* at, const std::byte* record, std::size_t count) {
  LeafHasher hasher;
  for (; count > 0; --count) {
    const ByteView bytes(record, load<std::uint32_t>(record));
    store(at, hasher.hash(RecordView::trusted(bytes)));
    at += sizeof(LeafHash);
    record += bytes.size();
  }
  return at;
}

std::byte* put_change(std::byte* at, const KeyValueChange& change) noexcept {
  const ByteView value = change.value.value_or(ByteView());
  store(at, static_cast<std::uint32_t>(value.size()));
  store(at + 4, static_cast<std::uint16_t>(kKeyspacePrefixBytes + change.key.size()));
  store(at + 6, change.value ? EntryKind::kPut : EntryKind::kErase);
  store(at + 7, std::uint8_t{0});
  store_be32(at + kChangeHeaderBytes, change.keyspace.id());
  at = put_bytes(at + kChangeHeaderBytes + kKeyspacePrefixBytes, change.key);
  return put_bytes(at, value);
}

Status damaged_batch(std::size_t offset, const std::string& what) {
  return Status::corruption("batch, byte " + std::to_string(offset) + ": " + what);
}

Status unknown_section(std::size_t offset, const SectionHeader& section) {
  return Status::unsupported("batch, byte " + std::to_string(offset) + ": section of kind " +
                             std::to_string(static_cast<unsigned>(section.kind)) + " version " +
                             std::to_string(section.version) + " is not known to this build; use a newer one");
}

// Of a batch's header, and that it says as many bytes as there are.
Status check_size(ByteView bytes) {
  if (bytes.size() < kBatchHeaderBytes) {
    return damaged_batch(0, "has " + std::to_string(bytes.size()) + " of 24 header bytes");
  }
  const std::size_t stated = BatchView::size_in_header(bytes);
  if (stated == bytes.size() && bytes.size() % 8 == 0 && bytes.size() <= kBatchBytesMax) return {};
  return damaged_batch(
      8, "says it has " + std::to_string(stated) + " bytes, with " + std::to_string(bytes.size()) + " present");
}

Status check_events(Cursor& section, std::size_t section_offset, std::uint32_t count) {
  for (std::uint32_t left = count; left > 0; --left) {
    const Result<RecordView> record = RecordView::decode(section.rest());
    if (!record.ok())
      return record.status().in_context("batch, byte " + std::to_string(section_offset + section.offset()));
    if (record->kind() != RecordKind::kEvent)
      return damaged_batch(section_offset + section.offset(), "holds a lost event");
    HDB_TRY(section.bytes(record->bytes().size()));
  }
  return {};
}

Status check_changes(Cursor& section, std::size_t section_offset, std::uint32_t count) {
  for (std::uint32_t left = count; left > 0; --left) {
    const std::size_t at = section_offset + section.offset();
    const auto value_bytes = HDB_TRY(section.fixed<std::uint32_t>());
    const auto key_bytes = HDB_TRY(section.fixed<std::uint16_t>());
    const auto kind = HDB_TRY(section.fixed<EntryKind>());
    const auto zero = HDB_TRY(section.fixed<std::uint8_t>());
    if ((kind != EntryKind::kPut && kind != EntryKind::kErase) || zero != 0) {
      return Status::unsupported("batch, byte " + std::to_string(at) +
                                 ": a key-value change of a kind this build does not know; use a newer one");
    }
    if (key_bytes < kKeyspacePrefixBytes || key_bytes > kStoredKeyBytesMax || value_bytes > kValueBytesMax ||
        (kind == EntryKind::kErase && value_bytes != 0)) {
      return damaged_batch(at, "a key-value change has a key of " + std::to_string(key_bytes) + " and a value of " +
                                   std::to_string(value_bytes) + " bytes");
    }
    HDB_TRY(section.bytes(key_bytes));
    HDB_TRY(section.bytes(value_bytes));
  }
  return {};
}

}  // namespace

std::byte* EncodedBatch::allocate(std::size_t bytes, BatchMemory* memory) {
  size_ = bytes;
  if (memory == nullptr || bytes < kLargeBatchBytes) {
    own_ = std::make_unique_for_overwrite<std::byte[]>(bytes);
    return bytes_ = own_.get();
  }
  const std::size_t end = kBatchRoomBytes + bytes;
  block_bytes_ = (end + BatchMemory::kAlignment - 1) / BatchMemory::kAlignment * BatchMemory::kAlignment;
  std::shared_ptr<std::byte> block = memory->allocate(block_bytes_);
  bytes_ = block.get() + kBatchRoomBytes;
  std::memset(block.get() + end, 0, block_bytes_ - end);
  shared_ = std::move(block);
  return bytes_;
}

void EncodedBatch::swap(EncodedBatch& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(own_, other.own_);
  std::swap(shared_, other.shared_);
  std::swap(block_bytes_, other.block_bytes_);
  std::swap(size_, other.size_);
  std::swap(event_count_, other.event_count_);
  std::swap(change_count_, other.change_count_);
}

EncodedBatch EncodedBatch::copy_of(ByteView batch) {
  const BatchView view = BatchView::trusted(batch);
  EncodedBatch copy;
  std::memcpy(copy.allocate(batch.size(), nullptr), batch.data(), batch.size());
  copy.event_count_ = view.event_count();
  copy.change_count_ = view.change_count();
  return copy;
}

EncodedBatch EncodedBatch::view_of(ByteView batch, std::shared_ptr<void> owner) noexcept {
  const BatchView view = BatchView::trusted(batch);
  EncodedBatch shared;
  // Nobody writes to it: it has no block.
  shared.bytes_ = const_cast<std::byte*>(batch.data());
  shared.shared_ = std::move(owner);
  shared.size_ = batch.size();
  shared.event_count_ = view.event_count();
  shared.change_count_ = view.change_count();
  return shared;
}

Status validate_batch(std::span<const Event> events, std::span<const KeyValueChange> changes, bool with_leaf_hashes) {
  const std::size_t items = events.size() + changes.size();
  if (items == 0) return Status::invalid_argument("the batch is empty; append at least one event or change");
  if (items > kBatchItemsMax) {
    return Status::invalid_argument("the batch has " + std::to_string(items) + " events and changes; at most " +
                                    std::to_string(kBatchItemsMax) + " are allowed, append it in parts");
  }
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Status status = validate_event(events[i]);
    if (!status.ok()) return status.in_context("events[" + std::to_string(i) + "]");
  }
  for (std::size_t i = 0; i < changes.size(); ++i) {
    const auto over_limit = [i](const char* part, std::size_t bytes, std::size_t limit) {
      return Status::invalid_argument("changes[" + std::to_string(i) + "] has a " + part + " of " +
                                      std::to_string(bytes) + " bytes; at most " + std::to_string(limit) +
                                      " are allowed");
    };
    if (changes[i].key.size() > kKeyBytesMax) return over_limit("key", changes[i].key.size(), kKeyBytesMax);
    const std::size_t value_bytes = changes[i].value ? changes[i].value->size() : 0;
    if (value_bytes > kValueBytesMax) return over_limit("value", value_bytes, kValueBytesMax);
  }
  const std::size_t bytes = sizes_of(events, changes, with_leaf_hashes).batch;
  if (bytes > kBatchBytesMax) {
    return Status::invalid_argument("the batch takes " + std::to_string(bytes) + " bytes; at most " +
                                    std::to_string(kBatchBytesMax) + " are allowed, append it in parts");
  }
  return {};
}

EncodedBatch encode_batch(std::span<const Event> events, std::span<const KeyValueChange> changes,
                          const BatchStamp& stamp, BatchMemory* memory) {
  const BatchSizes sizes = sizes_of(events, changes, stamp.with_leaf_hashes);
  EncodedBatch batch;
  std::byte* const begin = batch.allocate(sizes.batch, memory);
  batch.event_count_ = static_cast<std::uint32_t>(events.size());
  batch.change_count_ = static_cast<std::uint32_t>(changes.size());

  std::byte* const end = begin + sizes.batch;
  std::byte* at = begin + kBatchHeaderBytes;
  std::uint16_t sections = 0;
  if (!events.empty()) {
    ++sections;
    at = put_section_header(at, SectionKind::kEvents, sizes.events);
    const std::byte* const records = at;
    at = put_events(at, events, stamp.record);
    if (stamp.with_leaf_hashes) {
      ++sections;
      at = put_section_header(at, SectionKind::kLeafHashes, sizes.leaf_hashes);
      at = put_leaf_hashes(at, records, events.size());
    }
  }
  if (!changes.empty()) {
    ++sections;
    at = put_section_header(at, SectionKind::kKeyValues, sizes.changes);
    for (const KeyValueChange& change : changes) at = put_change(at, change);
  }
  HDB_CHECK(at <= end && end - at < 8);
  std::memset(at, 0, static_cast<std::size_t>(end - at));

  BatchHeader header{0, static_cast<std::uint32_t>(sizes.batch), batch.event_count_, batch.change_count_, sections, 0};
  store(begin, header);
  header.checksum = checksum64(batch.bytes().subspan(sizeof header.checksum));
  store(begin, header.checksum);
  return batch;
}

Result<BatchView> BatchView::decode(ByteView bytes) {
  HDB_TRY(check_size(bytes));
  const auto stored = load<std::uint64_t>(bytes.data());
  const std::uint64_t checksum = checksum64(bytes.subspan(sizeof stored));
  if (checksum != stored) return damaged_batch(0, "checksum is " + hex(checksum) + ", should be " + hex(stored));
  return decode_checked(bytes);
}

Result<BatchView> BatchView::decode_checked(ByteView bytes) {
  HDB_TRY(check_size(bytes));
  const auto header = load<BatchHeader>(bytes.data());
  if (header.reserved != 0) return Status::unsupported("batch, byte 22: written by a newer version; use a newer build");

  BatchView view(bytes);
  Cursor cursor(bytes.subspan(kBatchHeaderBytes));
  std::array<bool, 4> is_seen{};  // by SectionKind
  for (std::uint16_t left = header.section_count; left > 0; --left) {
    const std::size_t section_at = kBatchHeaderBytes + cursor.offset();
    const auto section = HDB_TRY(cursor.fixed<SectionHeader>());
    const std::size_t content_at = section_at + kSectionHeaderBytes;
    const auto kind = static_cast<std::size_t>(section.kind);
    if (kind >= is_seen.size() || section.version != kSectionVersion) return unknown_section(section_at, section);
    if (std::exchange(is_seen[kind], true)) return damaged_batch(section_at, "a section comes twice");
    const ByteView content = HDB_TRY(cursor.bytes(section.bytes));
    Cursor items(content);
    switch (section.kind) {
      case SectionKind::kEvents:
        HDB_TRY(check_events(items, content_at, header.event_count));
        view.events_ = content;
        break;
      case SectionKind::kLeafHashes:
        HDB_TRY(items.bytes(std::size_t{header.event_count} * sizeof(LeafHash)));
        view.leaf_hashes_ = content;
        break;
      case SectionKind::kKeyValues:
        HDB_TRY(check_changes(items, content_at, header.change_count));
        view.changes_ = content;
        break;
      default:
        return unknown_section(section_at, section);
    }
    if (!items.at_end()) return damaged_batch(content_at + items.offset(), "a section goes on after its last item");
  }
  const auto has = [&is_seen](SectionKind kind) { return is_seen[static_cast<std::size_t>(kind)]; };
  if (has(SectionKind::kEvents) != (header.event_count > 0) ||
      has(SectionKind::kKeyValues) != (header.change_count > 0) ||
      (has(SectionKind::kLeafHashes) && header.event_count == 0)) {
    return damaged_batch(12, "the counts do not fit the sections");
  }
  if (cursor.rest().size() >= 8)
    return damaged_batch(kBatchHeaderBytes + cursor.offset(), "bytes follow the last section");
  return view;
}

BatchView BatchView::trusted(ByteView bytes) noexcept {
  const auto header = load<BatchHeader>(bytes.data());
  BatchView view(bytes.first(header.batch_bytes));
  const std::byte* at = bytes.data() + kBatchHeaderBytes;
  for (std::uint16_t left = header.section_count; left > 0; --left) {
    const auto section = load<SectionHeader>(at);
    at += kSectionHeaderBytes;
    const ByteView content(at, section.bytes);
    if (section.kind == SectionKind::kEvents) view.events_ = content;
    if (section.kind == SectionKind::kLeafHashes) view.leaf_hashes_ = content;
    if (section.kind == SectionKind::kKeyValues) view.changes_ = content;
    at += section.bytes;
  }
  return view;
}

Status check_leaf_hashes(const BatchView& batch) {
  if (!batch.has_leaf_hashes()) return {};
  LeafHasher hasher;
  std::size_t index = 0;
  std::size_t first = 0;
  std::size_t different = 0;
  batch.for_each_record([&](const RecordView& record) {
    if (hasher.hash(record) != batch.leaf_hash(index) && different++ == 0) first = index;
    ++index;
  });
  if (different == 0) return {};
  return Status::corruption("events[" + std::to_string(first) + "]" +
                            (different == 1 ? "" : " and " + std::to_string(different - 1) + " more") +
                            " of the batch differ from their leaf hashes: the event or the hash was changed");
}

}  // namespace hdb
