#include "memtable/event_columns.h"

#include <algorithm>
#include <limits>
#include <span>

namespace hdb {

// Each field is a column over kChunkEvents positions. Uninitialised where nothing was added.
struct EventColumns::Chunk {
  template <typename T>
  using Column = std::array<T, kChunkEvents>;

  Column<const std::byte*> records;
  Column<std::int64_t> times;         // ns
  Column<std::int64_t> commit_times;  // ns
  Column<std::uint32_t> types;
  Column<std::uint32_t> entities;
  Column<std::uint32_t> hosts;
  Column<std::uint64_t> tag_bits;           // tag_bit() of each tag
  Column<const std::uint32_t*> tag_hashes;  // a count and that many hashes; null without tags
};

namespace {

constexpr std::size_t kChunkEvents = EventColumns::kChunkEvents;
// Longer lists are searched by bisection rather than compared one by one.
constexpr std::size_t kShortList = 12;

using Hashes = std::vector<std::uint32_t>;
// 1 for each event of a chunk that still matches.
using Matches = std::array<std::uint8_t, kChunkEvents>;

// One of 64 bits for a tag: an event without the bit does not have the tag.
std::uint64_t tag_bit(std::uint32_t hash) noexcept {
  return std::uint64_t{1} << (hash >> 26);
}

std::uint64_t tag_bits(const Hashes& hashes) noexcept {
  std::uint64_t bits = 0;
  for (const std::uint32_t hash : hashes) bits |= tag_bit(hash);
  return bits;
}

// What a filter asks, ready for one chunk after the other.
struct Question {
  Hashes types, entities, hosts, tags_any, tags_all;  // sorted
  std::uint64_t tags_any_bits, tags_all_bits;
  std::int64_t time_from, time_to, commit_from, commit_to;  // ns; [from, to], both included

  explicit Question(const ColumnFilter& filter)
      : types(sorted(filter.types)),
        entities(sorted(filter.entities)),
        hosts(sorted(filter.hosts)),
        tags_any(sorted(filter.tags_any)),
        tags_all(sorted(filter.tags_all)),
        tags_any_bits(tag_bits(filter.tags_any)),
        tags_all_bits(tag_bits(filter.tags_all)),
        time_from(from_of(filter.time)),
        time_to(last_of(filter.time)),
        commit_from(from_of(filter.commit_time)),
        commit_to(last_of(filter.commit_time)) {}

  static Hashes sorted(Hashes hashes) {
    std::sort(hashes.begin(), hashes.end());
    hashes.erase(std::unique(hashes.begin(), hashes.end()), hashes.end());
    return hashes;
  }
  static std::int64_t from_of(const TimeRange& range) noexcept {
    return range.from ? range.from->time_since_epoch().count() : std::numeric_limits<std::int64_t>::min();
  }
  static std::int64_t last_of(const TimeRange& range) noexcept {
    if (!range.to) return std::numeric_limits<std::int64_t>::max();
    return range.to->time_since_epoch().count() - 1;  // is_impossible() has seen to the least value
  }
};

// An end at the least time there is has nothing before it.
bool is_impossible(const TimeRange& range) noexcept {
  return range.to && *range.to == Timestamp::min();
}

void keep_equal_to_any(std::span<const std::uint32_t> column, const Hashes& wanted, std::span<std::uint8_t> matches) {
  if (wanted.empty()) return;
  if (wanted.size() > kShortList) {
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (matches[i] != 0) matches[i] = std::binary_search(wanted.begin(), wanted.end(), column[i]) ? 1 : 0;
    }
    return;
  }
  std::array<std::uint8_t, kChunkEvents> any{};
  for (const std::uint32_t hash : wanted) {
    for (std::size_t i = 0; i < column.size(); ++i) any[i] |= static_cast<std::uint8_t>(column[i] == hash);
  }
  for (std::size_t i = 0; i < column.size(); ++i) matches[i] &= any[i];
}

void keep_between(std::span<const std::int64_t> column, std::int64_t from, std::int64_t to,
                  std::span<std::uint8_t> matches) {
  if (from == std::numeric_limits<std::int64_t>::min() && to == std::numeric_limits<std::int64_t>::max()) return;
  for (std::size_t i = 0; i < column.size(); ++i) {
    matches[i] &= static_cast<std::uint8_t>(column[i] >= from);
    matches[i] &= static_cast<std::uint8_t>(column[i] <= to);
  }
}

bool has_tags(std::span<const std::uint32_t> tags, const Question& question) noexcept {
  const auto has = [tags](std::uint32_t hash) { return std::find(tags.begin(), tags.end(), hash) != tags.end(); };
  if (!std::all_of(question.tags_all.begin(), question.tags_all.end(), has)) return false;
  if (question.tags_any.empty()) return true;
  return std::any_of(tags.begin(), tags.end(), [&question](std::uint32_t tag) {
    return std::binary_search(question.tags_any.begin(), question.tags_any.end(), tag);
  });
}

// First by bits, in a loop over numbers; then by the hashes of the events left.
void keep_tagged(std::span<const std::uint64_t> bits, std::span<const std::uint32_t* const> hashes,
                 const Question& question, std::span<std::uint8_t> matches) {
  const std::uint64_t all = question.tags_all_bits;
  const std::uint64_t any = question.tags_any_bits;
  if (all == 0 && any == 0) return;
  for (std::size_t i = 0; i < bits.size(); ++i) matches[i] &= static_cast<std::uint8_t>((bits[i] & all) == all);
  for (std::size_t i = 0; any != 0 && i < bits.size(); ++i) {
    matches[i] &= static_cast<std::uint8_t>((bits[i] & any) != 0);
  }
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (matches[i] == 0) continue;
    matches[i] = has_tags({hashes[i] + 1, hashes[i][0]}, question) ? 1 : 0;  // not null: it has one of the bits
  }
}

// Adds the matches in runs, which a bitmap takes faster than single positions.
void add_runs(std::span<const std::uint8_t> matches, std::uint32_t first, PositionSet& found) {
  const auto* const begin = matches.data();
  const auto* const end = begin + matches.size();
  for (const auto* at = begin; at != end;) {
    const auto* const run = std::find(at, end, 1);
    const auto* const run_end = std::find(run, end, 0);
    if (run == end) return;
    const auto relative = first + static_cast<std::uint32_t>(run - begin);
    if (run_end - run == 1) {
      found.add(relative);
    } else {
      found.add_range(relative, relative + static_cast<std::uint32_t>(run_end - run));
    }
    at = run_end;
  }
}

struct DirectoryPlace {
  std::size_t segment;
  std::size_t slot;
};

DirectoryPlace place_of(std::uint64_t chunk_number) noexcept {
  const auto segment = static_cast<std::size_t>(std::bit_width(chunk_number + 1)) - 1;
  return {segment, static_cast<std::size_t>(chunk_number + 1 - (std::uint64_t{1} << segment))};
}

}  // namespace

EventColumns::~EventColumns() {
  for (std::size_t segment = 0; segment < kSegments; ++segment) {
    Slot* const slots = segments_[segment].load(std::memory_order_acquire);
    if (slots == nullptr) continue;
    for (std::size_t slot = 0; slot < std::size_t{1} << segment; ++slot) {
      delete slots[slot].load(std::memory_order_acquire);
    }
    delete[] slots;
  }
}

const EventColumns::Chunk& EventColumns::chunk_of(Position position) const noexcept {
  HDB_CHECK(position >= position_begin_);
  const DirectoryPlace place = place_of((position - position_begin_) / kChunkEvents);
  HDB_CHECK(place.segment < kSegments);
  const Slot* const slots = segments_[place.segment].load(std::memory_order_acquire);
  HDB_CHECK(slots != nullptr);
  const Chunk* const chunk = slots[place.slot].load(std::memory_order_acquire);
  HDB_CHECK(chunk != nullptr);
  return *chunk;
}

EventColumns::Chunk& EventColumns::make_chunk(std::uint64_t number) {
  const DirectoryPlace place = place_of(number);
  HDB_CHECK(place.segment < kSegments);
  Slot* slots = segments_[place.segment].load(std::memory_order_acquire);
  if (slots != nullptr) {
    if (Chunk* const chunk = slots[place.slot].load(std::memory_order_acquire)) return *chunk;
  }
  const MutexLock lock(growing_);
  slots = segments_[place.segment].load(std::memory_order_relaxed);
  if (slots == nullptr) {
    slots = new Slot[std::size_t{1} << place.segment]();
    segments_[place.segment].store(slots, std::memory_order_release);
  }
  Chunk* chunk = slots[place.slot].load(std::memory_order_relaxed);
  if (chunk == nullptr) {
    chunk = new Chunk;  // its pages are touched, and so take memory, only as events come
    slots[place.slot].store(chunk, std::memory_order_release);
  }
  return *chunk;
}

std::size_t EventColumns::add(const BatchView& batch, Position first_position, Timestamp commit_time) {
  HDB_CHECK(first_position >= position_begin_);
  std::uint64_t index = first_position - position_begin_;
  HDB_CHECK(index + batch.event_count() <= std::numeric_limits<std::uint32_t>::max());  // what a PositionSet can hold
  std::size_t bytes = batch.event_count() * kBytesPerEvent;
  Chunk* chunk = nullptr;
  batch.for_each_record([&](const RecordView& record) {
    const std::size_t at = index % kChunkEvents;
    if (chunk == nullptr || at == 0) chunk = &make_chunk(index / kChunkEvents);
    ++index;
    chunk->records[at] = record.bytes().data();
    chunk->times[at] = record.time().time_since_epoch().count();
    chunk->commit_times[at] = commit_time.time_since_epoch().count();
    chunk->types[at] = column_hash(record.text(TextField::kType));
    chunk->entities[at] = column_hash(record.text(TextField::kEntity));
    chunk->hosts[at] = column_hash(record.text(TextField::kHost));
    chunk->tag_bits[at] = 0;
    chunk->tag_hashes[at] = nullptr;
    const auto tag_count = static_cast<std::uint32_t>(record.tag_count());
    if (tag_count == 0) return;
    const std::size_t tag_bytes = (1 + tag_count) * sizeof(std::uint32_t);
    auto* const hashes = reinterpret_cast<std::uint32_t*>(arena_.allocate(tag_bytes));
    bytes += tag_bytes;
    chunk->tag_hashes[at] = hashes;
    std::uint32_t* hash = hashes;
    *hash++ = tag_count;
    record.for_each_tag([&](std::string_view tag) {
      *hash = column_hash(tag);
      chunk->tag_bits[at] |= tag_bit(*hash++);
    });
  });
  return bytes;
}

RecordView EventColumns::record(Position position) const noexcept {
  const std::byte* const record = chunk_of(position).records[(position - position_begin_) % kChunkEvents];
  return RecordView::trusted({record, load<std::uint32_t>(record)});
}

Timestamp EventColumns::commit_time(Position position) const noexcept {
  return Timestamp(
      std::chrono::nanoseconds(chunk_of(position).commit_times[(position - position_begin_) % kChunkEvents]));
}

PositionSet EventColumns::candidates(const ColumnFilter& filter, Position begin, Position end) const {
  PositionSet found;
  if (begin >= end || is_impossible(filter.time) || is_impossible(filter.commit_time)) return found;
  const Question question(filter);
  while (begin < end) {
    const Chunk& chunk = chunk_of(begin);
    const std::size_t from = (begin - position_begin_) % kChunkEvents;
    const std::size_t count = std::min<std::uint64_t>(kChunkEvents - from, end - begin);
    Matches all_matches;
    const std::span<std::uint8_t> matches(all_matches.data(), count);
    std::fill(matches.begin(), matches.end(), std::uint8_t{1});
    const auto part = [from, count](const auto& column) { return std::span(column).subspan(from, count); };
    keep_between(part(chunk.times), question.time_from, question.time_to, matches);
    keep_between(part(chunk.commit_times), question.commit_from, question.commit_to, matches);
    keep_equal_to_any(part(chunk.types), question.types, matches);
    keep_equal_to_any(part(chunk.entities), question.entities, matches);
    keep_equal_to_any(part(chunk.hosts), question.hosts, matches);
    keep_tagged(part(chunk.tag_bits), part(chunk.tag_hashes), question, matches);
    add_runs(matches, static_cast<std::uint32_t>(begin - position_begin_), found);
    begin += count;
  }
  return found;
}

}  // namespace hdb
