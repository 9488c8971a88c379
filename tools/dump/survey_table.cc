#include "tools/dump/survey_table.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "io/file_name.h"
#include "sstable/compression.h"
#include "sstable/event_block.h"
#include "sstable/event_table.h"
#include "sstable/key_block.h"
#include "sstable/table_reader.h"
#include "sstable/verify.h"

namespace hdb::dump {

namespace {

using sstable::BlockHandle;
using sstable::BlockKind;
using sstable::BlockTrailer;
using sstable::TableKind;

constexpr std::uint64_t kSurveyCacheBytes = 1u << 20;
// The block that begins where the last one ended is sought by its trailer: at each place that looks like one, all bytes
// up to it are hashed. Real blocks have hardly any other such place; this bounds the work where there is no block.
constexpr std::uint64_t kScanHashedBytesMax = 1u << 30;
constexpr std::uint32_t kZstdMagic = 0xfd2fb528;  // at the begin of each zstd frame (RFC 8878, section 3.1.1)
constexpr std::uint64_t kScanBlockBytesMax = 64u << 20;
constexpr std::uint64_t kSectorBytes = 512;  // the least that a device can lose

constexpr int kDeviceErrors[] = {EIO, EUCLEAN, EBADMSG, ENODATA, EREMOTEIO};

std::string at_offset(const std::string& path, std::uint64_t offset) {
  return path + " at offset " + std::to_string(offset) + ": ";
}

void note_lost_before(SurveyedTable& table, const sstable::EventBlock& block, Position first) {
  for (std::uint32_t row = 0; row < block.count(); ++row) {
    if (block.record(row).kind() != RecordKind::kLost) continue;
    const Position position = first + row;
    if (table.lost_before.empty() || table.lost_before.back().end != position) {
      table.lost_before.push_back({position, position});
    }
    table.lost_before.back().end = position + 1;
  }
}

// One survey. Single-owner.
class TableSurvey {
 public:
  TableSurvey(Env& env, SurveyedTable& table) : env_(env), table_(table) {}

  Status run() {
    auto opened = env_.open(table_.path);
    if (!opened.ok()) return is_damage(opened.status()) ? lose_all(opened.status()) : opened.status();
    file_ = std::move(opened).value();
    sstable::BlockCache cache(kSurveyCacheBytes);
    const auto reader = sstable::TableReader::open(env_, table_.path, table_.number, cache);
    if (reader.status().code() == StatusCode::kUnsupported) return reader.status();
    std::optional<Statements> said;
    if (reader.ok()) {
      said = Statements{reader.value()->footer(), reader.value()->properties()};
    } else if ((said = find_statements())) {
      add_damage(std::string(reader.status().message()), sstable::kFooterBytes);
    }
    if (said) {
      const sstable::TableMeta found = sstable::meta_of(said->footer, said->properties);
      if (table_.meta && *table_.meta != found) {
        return lose_all(Status::corruption(table_.path + ": is not the table that the manifest names"));
      }
      table_.meta = found;
      const Status listed = list_by_index(said->properties);
      if (listed.ok()) return {};
      table_.blocks.clear();
    }
    return list_by_scan();
  }

  Status lose_all(const Status& why) {
    table_.is_cut = true;
    add_damage(std::string(why.message()), table_.meta ? table_.meta->file_bytes : 0);
    return {};
  }

 private:
  // What a table says of itself.
  struct Statements {
    sstable::Footer footer;
    sstable::Properties properties;
  };

  void add_damage(std::string what, std::uint64_t bytes) { table_.damages.push_back({std::move(what), bytes}); }

  // Without the footer: the properties are the last block before it.
  std::optional<Statements> find_statements() const {
    const std::uint64_t size = file_->size_bytes();
    const std::uint64_t known = table_.meta ? table_.meta->file_bytes : 0;
    if (known >= sstable::kFooterBytes) return statements_before(known - sstable::kFooterBytes);
    // A part of the footer may be cut off.
    const std::uint64_t lowest = size - std::min<std::uint64_t>(size, sstable::kFooterBytes);
    for (std::uint64_t end = lowest; end <= size; ++end) {
      if (auto found = statements_before(end)) return found;
    }
    return std::nullopt;
  }

  // By the properties that end there, if they do; they are never compressed.
  std::optional<Statements> statements_before(std::uint64_t end) const {
    if (end < sstable::kBlockTrailerBytes || end > file_->size_bytes()) return std::nullopt;
    std::array<std::byte, sstable::kBlockTrailerBytes> trailer;
    if (!file_->read(end - trailer.size(), trailer).ok()) return std::nullopt;
    const auto stored = load<std::uint32_t>(trailer.data());
    if (static_cast<BlockKind>(trailer[5]) != BlockKind::kProperties || stored > end - trailer.size()) {
      return std::nullopt;
    }
    const BlockHandle handle{end - trailer.size() - stored, stored};
    const auto raw = read_block(*file_, table_.number, handle, BlockKind::kProperties);
    if (!raw.ok()) return std::nullopt;
    for (const TableKind kind : {TableKind::kEvents, TableKind::kKeys}) {
      auto properties = sstable::decode_properties(bytes_of(raw.value()), kind);
      if (!properties.ok()) continue;
      const BlockKind index = kind == TableKind::kEvents ? BlockKind::kEventIndex : BlockKind::kKeyIndex;
      if (!read_block(*file_, table_.number, properties->index, index).ok()) continue;
      return Statements{sstable::Footer{.properties = handle,
                                        .kind = kind,
                                        .number = table_.number,
                                        .file_bytes = handle.end() + sstable::kFooterBytes},
                        std::move(properties).value()};
    }
    return std::nullopt;
  }

  Status list_by_index(const sstable::Properties& properties) {
    if (table_.meta->kind == TableKind::kEvents) {
      const Buffer index = HDB_TRY(read_block(*file_, table_.number, properties.index, BlockKind::kEventIndex));
      for (const auto& entry :
           HDB_TRY(sstable::decode_event_index(bytes_of(index), properties.entry_count, properties.index.offset))) {
        take(SurveyedBlock{entry.handle, false, table_.meta->position_begin + entry.first, entry.count, {}});
      }
      return {};
    }
    Buffer raw = HDB_TRY(read_block(*file_, table_.number, properties.index, BlockKind::kKeyIndex));
    const sstable::SortedBlock index = HDB_TRY(sstable::SortedBlock::decode(std::move(raw), &sstable::check_key_index));
    sstable::SortedBlock::Cursor cursor(index);
    for (bool more = cursor.first(); more; more = cursor.next()) {
      const ByteView key = cursor.key();
      take(SurveyedBlock{sstable::handle_of(cursor.value()), false, 0, 0, Buffer(key.begin(), key.end())});
    }
    return {};
  }

  // A block that the index names.
  void take(SurveyedBlock block) {
    const bool is_events = table_.meta->kind == TableKind::kEvents;
    const BlockKind kind = is_events ? BlockKind::kEventData : BlockKind::kKeyData;
    Status problem;
    Result<Buffer> raw = read_block(*file_, table_.number, block.handle, kind);
    if (!raw.ok()) {
      problem = raw.status();
    } else if (is_events) {
      const auto decoded = sstable::EventBlock::decode(std::move(raw).value());
      problem = decoded.status();
      if (decoded.ok()) note_lost_before(table_, decoded.value(), block.first);
      if (decoded.ok() && decoded->count() != block.count) {
        problem = Status::corruption("the block has another number of events than its index says");
      }
    } else {
      const auto decoded = sstable::decode_key_data(std::move(raw).value());
      problem = decoded.status();
      if (decoded.ok()) block.count = entries_of(decoded.value());
    }
    block.is_intact = problem.ok();
    if (!problem.ok()) {
      add_damage(at_offset(table_.path, block.handle.offset) + std::string(problem.message()),
                 block.handle.end() - block.handle.offset);
    }
    table_.blocks.push_back(std::move(block));
  }

  static std::uint64_t entries_of(const sstable::SortedBlock& block) {
    std::uint64_t entries = 0;
    sstable::SortedBlock::Cursor cursor(block);
    for (bool more = cursor.first(); more; more = cursor.next()) ++entries;
    return entries;
  }

  struct Found {
    BlockHandle handle;
    BlockKind kind;
  };

  // All blocks from the start of the file on, up to the first damaged one.
  Result<std::vector<Found>> scan() {
    std::vector<Found> found;
    const std::uint64_t end = file_->size_bytes();
    for (std::uint64_t offset = 0; offset < end;) {
      const auto next = HDB_TRY(find_block(offset));
      if (!next) {
        add_damage(at_offset(table_.path, offset) + "neither the index nor a block can be read from there on",
                   end - offset);
        table_.is_cut = next_is_data(found);
        return found;
      }
      found.push_back(*next);
      offset = next->handle.end();
      if (next->kind == BlockKind::kProperties) break;  // the last one
    }
    return found;
  }

  // Whether more data blocks may follow those found.
  static bool next_is_data(const std::vector<Found>& found) {
    return found.empty() || found.back().kind == BlockKind::kEventData || found.back().kind == BlockKind::kKeyData;
  }

  // Whether the 16 bytes at the end of `block` can be the trailer of a block that begins with it.
  static bool looks_like_block(ByteView block) {
    const std::size_t stored = block.size() - sstable::kBlockTrailerBytes;
    const std::byte* const trailer = block.data() + stored;
    const auto kind = static_cast<BlockKind>(trailer[5]);
    if (kind < BlockKind::kKeyData || kind > BlockKind::kProperties || load<std::uint16_t>(trailer + 6) != 0) {
      return false;
    }
    switch (static_cast<sstable::CompressionKind>(trailer[4])) {
      case sstable::CompressionKind::kNone:
        return load<std::uint32_t>(trailer) == stored;
      case sstable::CompressionKind::kZstd:
        return stored >= sizeof kZstdMagic && load<std::uint32_t>(block.data()) == kZstdMagic;
    }
    return false;
  }

  // What can be read at `begin`, up to the first sector that cannot: as many bytes as `window` has, or fewer.
  void read_window(std::uint64_t begin, Buffer& window) {
    if (bad_sector_ && *bad_sector_ >= begin) {
      window.resize(std::min<std::uint64_t>(window.size(), *bad_sector_ - begin));
    }
    if (file_->read(begin, window).ok()) return;
    for (std::uint64_t at = 0; at < window.size();) {
      const std::uint64_t next = std::min<std::uint64_t>(round_down(begin + at + kSectorBytes) - begin, window.size());
      if (!file_->read(begin + at, MutableBytes(window).subspan(at, next - at)).ok()) {
        bad_sector_ = begin + at;
        window.resize(at);
        return;
      }
      at = next;
    }
  }

  static std::uint64_t round_down(std::uint64_t offset) { return offset / kSectorBytes * kSectorBytes; }

  Result<std::optional<Found>> find_block(std::uint64_t begin) {
    const std::uint64_t file_bytes = file_->size_bytes();
    std::uint64_t hashed = 0;
    Buffer window;
    std::uint64_t tried_end = 0;  // trailers that end at or before this offset of the window were looked at
    for (std::uint64_t wanted = 64u << 10; tried_end < file_bytes - begin; wanted *= 4) {
      const auto asked = static_cast<std::size_t>(std::min({wanted, file_bytes - begin, kScanBlockBytesMax}));
      window.resize(asked);
      read_window(begin, window);
      for (std::uint64_t at = std::max<std::uint64_t>(tried_end, sstable::kBlockTrailerBytes); at <= window.size();
           ++at) {
        const ByteView block = bytes_of(window).first(at);
        if (!looks_like_block(block)) continue;
        hashed += at;
        if (hashed > kScanHashedBytesMax) return std::optional<Found>();
        if (!sstable::decode_trailer(block, table_.number, begin).ok()) continue;
        const auto kind = static_cast<BlockKind>(block[at - sstable::kBlockTrailerBytes + 5]);
        const auto stored = static_cast<std::uint32_t>(at - sstable::kBlockTrailerBytes);
        return std::optional(Found{{begin, stored}, kind});
      }
      tried_end = window.size() + 1;
      if (window.size() < asked || asked == kScanBlockBytesMax) break;
    }
    return std::optional<Found>();
  }

  Status list_by_scan() {
    const std::vector<Found> found = HDB_TRY(scan());
    const auto said = read_meta(found);
    if (table_.meta && said && *table_.meta != *said) {
      return lose_all(Status::corruption(table_.path + ": is not the table that the manifest names"));
    }
    if (!table_.meta) table_.meta = said;
    if (!table_.meta) {
      if (list_unplaced(found)) return {};
      table_.blocks.clear();
      table_.lost_before.clear();
      table_.unplaced_events = 0;
      add_damage(table_.path + ": nothing tells what the table held", 0);
      return {};
    }
    Position position = table_.meta->position_begin;
    for (const Found& at : found) {
      const Status listed = list_found(at, position);
      if (listed.ok()) continue;
      if (!is_damage(listed)) return listed.in_context(table_.path);
      add_damage(at_offset(table_.path, at.handle.offset) + std::string(listed.message()) +
                     "; what follows cannot be told without the index",
                 file_->size_bytes() - at.handle.offset);
      table_.is_cut = true;
      break;
    }
    return {};
  }

  // All events, if the index that follows them was found, and each of their blocks is intact.
  bool list_unplaced(const std::vector<Found>& found) {
    const bool has_all =
        std::any_of(found.begin(), found.end(), [](const Found& at) { return at.kind == BlockKind::kEventIndex; });
    if (!has_all) return false;
    for (const Found& at : found) {
      if (!list_found(at, table_.unplaced_events).ok()) return false;
    }
    return table_.unplaced_events > 0;
  }

  // A block that the scan found; if of events, its first is at `position`, which moves behind its last.
  Status list_found(const Found& at, Position& position) {
    if (at.kind == BlockKind::kEventData) {
      Buffer raw = HDB_TRY(read_block(*file_, table_.number, at.handle, at.kind));
      const sstable::EventBlock block = HDB_TRY(sstable::EventBlock::decode(std::move(raw)));
      if (block.count() == 0) return Status::corruption("the block has no events");
      note_lost_before(table_, block, position);
      if (table_.blocks.empty()) table_.commit_time_min = block.commit_time(0);
      table_.commit_time_max = block.commit_time(block.count() - 1);
      table_.blocks.push_back({at.handle, true, position, block.count(), {}});
      position += block.count();
    } else if (at.kind == BlockKind::kKeyData) {
      Buffer raw = HDB_TRY(read_block(*file_, table_.number, at.handle, at.kind));
      const sstable::SortedBlock block = HDB_TRY(sstable::decode_key_data(std::move(raw)));
      sstable::SortedBlock::Cursor cursor(block);
      cursor.last();
      table_.blocks.push_back(
          {at.handle, true, 0, entries_of(block), Buffer(cursor.key().begin(), cursor.key().end())});
    }
    return {};
  }

  // Without the footer: what the properties say, if the scan came to them.
  std::optional<sstable::TableMeta> read_meta(const std::vector<Found>& found) const {
    if (found.empty() || found.back().kind != BlockKind::kProperties) return std::nullopt;
    const bool is_events =
        std::any_of(found.begin(), found.end(), [](const Found& at) { return at.kind == BlockKind::kEventIndex; });
    const auto raw = read_block(*file_, table_.number, found.back().handle, BlockKind::kProperties);
    if (!raw.ok()) return std::nullopt;
    const TableKind kind = is_events ? TableKind::kEvents : TableKind::kKeys;
    const auto properties = sstable::decode_properties(bytes_of(raw.value()), kind);
    if (!properties.ok()) return std::nullopt;
    const sstable::Footer footer{.properties = found.back().handle,
                                 .kind = kind,
                                 .number = table_.number,
                                 // As it was written: what is at the end of the file now may be what is damaged.
                                 .file_bytes = found.back().handle.end() + sstable::kFooterBytes};
    return sstable::meta_of(footer, properties.value());
  }

  Env& env_;
  SurveyedTable& table_;
  std::unique_ptr<RandomAccessFile> file_;
  std::optional<std::uint64_t> bad_sector_;  // that the scan came to
};

// What a sound table says of itself, and which of its events are lost already.
Status learn_from(Env& env, SurveyedTable& table) {
  sstable::BlockCache cache(kSurveyCacheBytes);
  const auto reader = HDB_TRY(sstable::TableReader::open(env, table.path, table.number, cache));
  table.meta = sstable::meta_of(reader->footer(), reader->properties());
  if (table.meta->kind != TableKind::kEvents) return {};
  const auto events = HDB_TRY(sstable::EventTable::open(env, table.path, table.number, cache));
  for (const auto& entry : events->blocks()) {
    Buffer raw = HDB_TRY(reader->read(entry.handle, BlockKind::kEventData));
    const sstable::EventBlock block = HDB_TRY(sstable::EventBlock::decode(std::move(raw)));
    note_lost_before(table, block, table.meta->position_begin + entry.first);
  }
  return {};
}

}  // namespace

bool is_damage(const Status& error) {
  if (error.code() == StatusCode::kCorruption || error.code() == StatusCode::kNotFound) return true;
  if (error.code() != StatusCode::kIoError) return false;
  // Of the device or the file system on it. That the system said so is in the message only.
  return std::any_of(std::begin(kDeviceErrors), std::end(kDeviceErrors), [&error](int number) {
    return error.message().find(std::generic_category().message(number)) != std::string_view::npos;
  });
}

Result<Buffer> read_block(const RandomAccessFile& file, FileNumber number, BlockHandle handle, BlockKind kind) {
  if (handle.end() > file.size_bytes()) return Status::corruption("the block would end behind the end of the file");
  Buffer block(handle.bytes + sstable::kBlockTrailerBytes);
  HDB_TRY(file.read(handle.offset, block));
  const BlockTrailer trailer = HDB_TRY(sstable::decode_trailer(bytes_of(block), number, handle.offset));
  if (trailer.kind != kind) return Status::corruption("the block is of another kind than its index says");
  if (trailer.compression == sstable::CompressionKind::kNone) {
    block.resize(handle.bytes);
    return block;
  }
  return sstable::decompress(bytes_of(block).first(handle.bytes), trailer);
}

Result<SurveyedTable> survey_table(Env& env, const std::string& store, FileNumber number,
                                   const sstable::TableMeta* expected) {
  SurveyedTable table;
  table.number = number;
  table.path = table_path(store, number);
  if (expected != nullptr) table.meta = *expected;
  const Status verified = sstable::verify_table(env, table.path, number, expected);
  if (verified.ok()) {
    HDB_TRY(learn_from(env, table));
    table.is_sound = true;
    return table;
  }
  if (!is_damage(verified)) return verified;
  TableSurvey survey(env, table);
  HDB_TRY(survey.run());
  // Damage outside of the data: of the index, a filter, the footer. It costs nothing but is told.
  if (table.damages.empty()) table.damages.push_back({std::string(verified.message()), 0});
  return table;
}

}  // namespace hdb::dump
