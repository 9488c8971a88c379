#include "tests/fuzz/repair.h"

#include <vector>

#include "base/batch.h"
#include "base/checksum.h"
#include "compaction/manifest_format.h"
#include "sstable/attribute_index.h"
#include "sstable/compression.h"
#include "sstable/event_block.h"
#include "sstable/key_block.h"
#include "wal/format.h"

namespace hdb::fuzz {

void repair_batch(MutableBytes batch) noexcept {
  if (batch.size() < kBatchHeaderBytes) return;
  store(batch.data() + 8, static_cast<std::uint32_t>(batch.size()));
  store(batch.data(), checksum64(batch.subspan(8)));
}

void repair_group(MutableBytes group, const StoreId& store_id, LogPoint at) {
  if (group.size() < wal::kGroupHeaderBytes) return;
  const auto epoch = load<std::uint64_t>(group.data() + 24);
  const std::uint64_t log_key = checksum64(std::as_bytes(std::span(store_id)));
  const std::uint64_t seed = seed_of(seed_of(log_key, epoch, at.segment.raw()), at.offset, 0);
  const ByteView header = group.first(wal::kGroupHeaderBytes);

  Buffer covered;
  append(covered, header.first(8));
  append(covered, header.subspan(16, 84 - 16));
  store(group.data() + 84, static_cast<std::uint32_t>(checksum64(covered, seed)));

  covered.resize(8);
  append(covered, header.subspan(16));
  const std::size_t extras_bytes = load<std::uint32_t>(group.data() + 80);
  MutableBytes rest = group.subspan(wal::kGroupHeaderBytes);
  const ByteView extras = rest.first(std::min(extras_bytes, rest.size()));
  append(covered, extras);
  rest = rest.subspan(extras.size());
  for (auto left = load<std::uint32_t>(group.data() + 20); left > 0 && rest.size() >= kBatchHeaderBytes; --left) {
    const std::size_t bytes = BatchView::size_in_header(rest);
    if (bytes < kBatchHeaderBytes || bytes > rest.size()) break;
    repair_batch(rest.first(bytes));
    append(covered, rest.first(kBatchHeaderBytes));
    rest = rest.subspan(bytes);
  }
  store(group.data() + 8, checksum64(covered, seed));
}

void repair_segment(MutableBytes file, const StoreId& store_id, SegmentNumber segment) {
  if (file.size() < wal::kSegmentHeaderBytes) return;
  store(file.data() + 120, checksum64(file.first(120)));
  std::uint64_t at = wal::kSegmentHeaderBytes;
  const auto begins_group = [&file](std::uint64_t offset) {
    return offset + wal::kGroupHeaderBytes <= file.size() &&
           load<std::uint32_t>(file.data() + offset) == load<std::uint32_t>(reinterpret_cast<const std::byte*>("HGRP"));
  };
  while (true) {
    if (!begins_group(at)) at = wal::round_up(at, wal::kBlockBytes);
    if (!begins_group(at)) return;
    const std::uint64_t bytes = load<std::uint32_t>(file.data() + at + 4);
    if (bytes < wal::kGroupHeaderBytes || bytes > file.size() - at) return;
    repair_group(file.subspan(at, bytes), store_id, {segment, at});
    at += bytes;
  }
}

void repair_manifest(MutableBytes file) noexcept {
  if (file.size() < sizeof(compaction::ManifestHeader)) return;
  const std::uint64_t header_checksum = checksum64(file.first(56));
  store(file.data() + 56, header_checksum);
  std::uint64_t chain = header_checksum;
  std::size_t at = sizeof(compaction::ManifestHeader);
  while (at + sizeof(compaction::RecordHeader) <= file.size()) {
    const std::size_t payload_bytes = load<std::uint32_t>(file.data() + at + 32);
    const std::size_t bytes = (sizeof(compaction::RecordHeader) + payload_bytes + 7) / 8 * 8;
    if (bytes > file.size() - at) return;
    store(file.data() + at + 8, chain);
    chain = checksum64(file.subspan(at + 8, bytes - 8), seed_of(header_checksum, at, chain));
    store(file.data() + at, chain);
    at += bytes;
  }
}

void repair_footer(MutableBytes footer) noexcept {
  store(footer.data() + 48, checksum64(footer.first(48)));
}

namespace {

// The blocks of one table.
class Blocks {
 public:
  Blocks(MutableBytes file, FileNumber number) : file_(file), number_(number) {}

  // Makes the block's trailer right, and gives its bytes decompressed; none if it is not in the file.
  Buffer repair(sstable::BlockHandle handle) {
    constexpr std::size_t kTrailer = sstable::kBlockTrailerBytes;
    if (handle.offset > file_.size() || handle.bytes + kTrailer > file_.size() - handle.offset) return {};
    const MutableBytes block = file_.subspan(handle.offset, handle.bytes + kTrailer);
    std::byte* const trailer = block.data() + handle.bytes;
    if (trailer[4] == std::byte{0}) store(trailer, handle.bytes);
    store(trailer + 8, checksum64(block.first(block.size() - 8), seed_of(number_.raw(), handle.offset, 0)));
    const auto decoded = sstable::decode_trailer(block, number_, handle.offset);
    if (!decoded.ok() || decoded->raw_bytes > kRawBytesMax) return {};
    auto raw = sstable::decompress(block.first(handle.bytes), decoded.value());
    return raw.ok() ? std::move(raw).value() : Buffer();
  }

  // The blocks that the values of a sorted block name.
  template <typename HandleOf>
  std::vector<sstable::BlockHandle> named_in(Buffer bytes, sstable::SortedBlock::CheckValue check, HandleOf handle_of) {
    std::vector<sstable::BlockHandle> handles;
    const auto block = sstable::SortedBlock::decode(std::move(bytes), check);
    if (!block.ok()) return handles;
    sstable::SortedBlock::Cursor cursor(block.value());
    for (bool more = cursor.first(); more && handles.size() < kHandlesMax; more = cursor.next()) {
      if (const auto handle = handle_of(cursor.value())) handles.push_back(*handle);
    }
    return handles;
  }

 private:
  static constexpr std::uint32_t kRawBytesMax = 1u << 20;
  static constexpr std::size_t kHandlesMax = 1000;

  MutableBytes file_;
  FileNumber number_;
};

std::optional<sstable::BlockHandle> decoded_handle(ByteView bytes) {
  Cursor cursor(bytes);
  const auto handle = sstable::decode_handle(cursor);
  return handle.ok() ? std::optional(handle.value()) : std::nullopt;
}

std::optional<sstable::BlockHandle> postings_handle(ByteView value) {
  if (static_cast<sstable::PostingsPlace>(value[0]) != sstable::PostingsPlace::kBlock) return std::nullopt;
  return decoded_handle(value.subspan(1));
}

}  // namespace

void repair_table(MutableBytes file, FileNumber number) {
  if (file.size() < sstable::kFooterBytes) return;
  const MutableBytes footer_bytes = file.last(sstable::kFooterBytes);
  store(footer_bytes.data() + 24, std::uint64_t{file.size()});
  repair_footer(footer_bytes);
  const auto footer = sstable::decode_footer(footer_bytes);
  if (!footer.ok()) return;
  Blocks blocks(file, number);
  const auto properties = sstable::decode_properties(blocks.repair(footer->properties), footer->kind);
  if (!properties.ok()) return;
  Buffer index = blocks.repair(properties->index);
  if (properties->filter) blocks.repair(*properties->filter);
  if (footer->kind == sstable::TableKind::kKeys) {
    const auto handle_of = [](ByteView value) { return std::optional(sstable::handle_of(value)); };
    for (const auto handle : blocks.named_in(std::move(index), &sstable::check_key_index, handle_of)) {
      blocks.repair(handle);
    }
    return;
  }
  if (const auto entries = sstable::decode_event_index(index, properties->entry_count, properties->index.offset);
      entries.ok()) {
    for (const sstable::EventBlockEntry& entry : entries.value()) blocks.repair(entry.handle);
  }
  if (!properties->dictionary_index) return;
  Buffer dictionaries = blocks.repair(*properties->dictionary_index);
  for (const auto dictionary :
       blocks.named_in(std::move(dictionaries), &sstable::check_dictionary_index, &decoded_handle)) {
    for (const auto postings :
         blocks.named_in(blocks.repair(dictionary), &sstable::check_dictionary, &postings_handle)) {
      blocks.repair(postings);
    }
  }
}

}  // namespace hdb::fuzz
