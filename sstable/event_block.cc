#include "sstable/event_block.h"

#include <algorithm>

namespace hdb::sstable {

namespace {

constexpr std::size_t kRunBytes = 12;

std::uint64_t bits_of(Timestamp time) noexcept {
  return static_cast<std::uint64_t>(time.time_since_epoch().count());
}
Timestamp time_of_bits(std::uint64_t bits) noexcept {
  return Timestamp(std::chrono::nanoseconds(static_cast<std::int64_t>(bits)));
}

std::uint64_t zigzag(std::uint64_t difference) noexcept {
  return (difference << 1) ^ (0 - (difference >> 63));
}
std::uint64_t unzigzag(std::uint64_t value) noexcept {
  return (value >> 1) ^ (0 - (value & 1));
}

}  // namespace

Buffer encode_event_index(const std::vector<EventBlockEntry>& blocks) {
  Buffer to;
  Timestamp time{};
  Timestamp commit_time{};
  for (const EventBlockEntry& block : blocks) {
    append_varint(to, block.count);
    append_varint(to, block.handle.bytes);
    append_varint(to, zigzag(bits_of(block.time_min) - bits_of(time)));
    append_varint(to, zigzag(bits_of(block.commit_time_min) - bits_of(commit_time)));
    append_varint(to, bits_of(block.time_max) - bits_of(block.time_min));
    append_varint(to, bits_of(block.commit_time_max) - bits_of(block.commit_time_min));
    time = block.time_min;
    commit_time = block.commit_time_min;
  }
  return to;
}

Result<std::vector<EventBlockEntry>> decode_event_index(ByteView bytes, std::uint64_t entry_count,
                                                        std::uint64_t data_end) {
  std::vector<EventBlockEntry> blocks;
  Cursor cursor(bytes);
  std::uint64_t first = 0;
  std::uint64_t offset = 0;
  std::uint64_t time = 0;
  std::uint64_t commit_time = 0;
  while (!cursor.at_end()) {
    const std::uint64_t count = HDB_TRY(cursor.varint());
    const std::uint64_t stored = HDB_TRY(cursor.varint());
    const std::uint64_t raw_bytes_max = std::max<std::uint64_t>(stored, kCompressedBlockBytesMax);
    if (count == 0 || count > entry_count - first || stored > UINT32_MAX ||
        count > raw_bytes_max / kRecordHeaderBytes) {
      return Status::corruption("event index entry " + std::to_string(blocks.size()) + " has " + std::to_string(count) +
                                " events in " + std::to_string(stored) + " bytes");
    }
    if (offset + stored + kBlockTrailerBytes > data_end) {
      return Status::corruption("event index entry " + std::to_string(blocks.size()) + " ends behind byte " +
                                std::to_string(data_end) + ", where the data blocks end at the latest");
    }
    time += unzigzag(HDB_TRY(cursor.varint()));
    commit_time += unzigzag(HDB_TRY(cursor.varint()));
    EventBlockEntry block;
    block.handle = {offset, static_cast<std::uint32_t>(stored)};
    block.first = static_cast<std::uint32_t>(first);
    block.count = static_cast<std::uint32_t>(count);
    block.time_min = time_of_bits(time);
    block.commit_time_min = time_of_bits(commit_time);
    block.time_max = time_of_bits(time + HDB_TRY(cursor.varint()));
    block.commit_time_max = time_of_bits(commit_time + HDB_TRY(cursor.varint()));
    blocks.push_back(block);
    first += count;
    offset = block.handle.end();
  }
  if (first != entry_count) {
    return Status::corruption("event index has " + std::to_string(first) + " events, the table " +
                              std::to_string(entry_count));
  }
  return blocks;
}

void EventBlockBuilder::add(Timestamp commit_time, const RecordView& record) {
  const Timestamp time = record.time();
  if (entry_.count == 0) {
    entry_.time_min = entry_.time_max = time;
    entry_.commit_time_min = commit_time;
  }
  entry_.time_min = std::min(entry_.time_min, time);
  entry_.time_max = std::max(entry_.time_max, time);
  entry_.commit_time_max = commit_time;
  ++entry_.count;
  if (runs_.empty() || runs_.back().commit_time != commit_time) runs_.push_back({0, commit_time});
  ++runs_.back().records;
  append(records_, record.bytes());
}

ByteView EventBlockBuilder::finish() {
  for (const Run& run : runs_) {
    append_fixed(records_, run.records);
    append_fixed(records_, bits_of(run.commit_time));
  }
  append_fixed(records_, entry_.count);
  append_fixed(records_, static_cast<std::uint32_t>(runs_.size()));
  return bytes_of(records_);
}

void EventBlockBuilder::reset(std::uint32_t first) {
  records_.clear();
  runs_.clear();
  entry_ = EventBlockEntry{};
  entry_.first = first;
}

Result<EventBlock> EventBlock::decode(Buffer bytes) {
  if (bytes.size() < 8 || bytes.size() > UINT32_MAX) return Status::corruption("event block is too short or too long");
  const auto count = load<std::uint32_t>(bytes.data() + bytes.size() - 8);
  const auto runs = load<std::uint32_t>(bytes.data() + bytes.size() - 4);
  const std::size_t before_tail = bytes.size() - 8;
  if (count == 0 || runs == 0 || runs > before_tail / kRunBytes ||
      count > (before_tail - runs * kRunBytes) / kRecordHeaderBytes) {
    return Status::corruption("event block says it has " + std::to_string(count) + " records, " + std::to_string(runs) +
                              " commit times");
  }
  EventBlock block;
  block.records_end_ = static_cast<std::uint32_t>(before_tail - runs * kRunBytes);
  block.runs_.reserve(runs);
  std::uint64_t covered = 0;
  for (std::uint32_t run = 0; run < runs; ++run) {
    const std::byte* const at = bytes.data() + block.records_end_ + run * kRunBytes;
    covered += load<std::uint32_t>(at);
    if (covered > count) break;
    block.runs_.push_back({static_cast<std::uint32_t>(covered), time_of_bits(load<std::uint64_t>(at + 4))});
  }
  if (covered != count) return Status::corruption("event block has commit times for another number of records");

  block.offsets_.reserve(count);
  std::size_t at = 0;
  const ByteView records = bytes_of(bytes).first(block.records_end_);
  while (at < records.size()) {
    const Result<RecordView> record = RecordView::decode(records.subspan(at));
    if (!record.ok()) return record.status().in_context("record at byte " + std::to_string(at) + " of the block");
    block.offsets_.push_back(static_cast<std::uint32_t>(at));
    at += record->bytes().size();
  }
  if (block.offsets_.size() != count) {
    return Status::corruption("event block has " + std::to_string(block.offsets_.size()) + " records, and says " +
                              std::to_string(count));
  }
  block.bytes_ = std::move(bytes);
  return block;
}

RecordView EventBlock::record(std::uint32_t index) const noexcept {
  const std::uint32_t begin = offsets_[index];
  const std::uint32_t end = index + 1 < offsets_.size() ? offsets_[index + 1] : records_end_;
  return RecordView::trusted(bytes_of(bytes_).subspan(begin, end - begin));
}

Timestamp EventBlock::commit_time(std::uint32_t index) const noexcept {
  const auto run = std::upper_bound(runs_.begin(), runs_.end(), index,
                                    [](std::uint32_t wanted, const Run& candidate) { return wanted < candidate.end; });
  return run->commit_time;
}

}  // namespace hdb::sstable
