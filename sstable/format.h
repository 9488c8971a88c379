// sstable/format.h: the layout of a table file. Only this file and format.cc know footer, trailer, handles and
// properties; what is inside a block: sorted_block.h, event_block.h, filter.h.
//
// File: blocks one after the other from offset 0, without gaps, then the footer.
//
//   table of keys     kKeyData..., kFilter (if any), kKeyIndex, kProperties, Footer
//   table of events   kEventData..., then (kPostings or kDictionary)..., kDictionaryIndex and kFilter (each if any),
//                     kEventIndex, kProperties, Footer
//
// Block: stored bytes, then
//
//   offset  size  BlockTrailer field  meaning
//        0     4  raw_bytes           of the block when decompressed
//        4     1  compression         CompressionKind
//        5     1  kind                BlockKind
//        6     2  reserved            zero
//        8     8  checksum            XXH3-64 over the stored bytes and the 8 bytes above, seeded with
//                                     seed_of(file number, offset of the block, 0): a block is valid only in its place
//
//   offset  size  Footer field        meaning
//        0     8  properties_offset
//        8     4  properties_bytes    stored, without the trailer
//       12     1  kind                TableKind
//       13     3  reserved            zero
//       16     8  file_number
//       24     8  file_bytes          of the whole file
//       32    12  reserved            zero
//       44     4  version             of everything above it and of all blocks
//       48     8  checksum            XXH3-64 over the 48 bytes above, seed 0
//       56     8  magic
//
// Version, checksum and magic keep place and meaning in every version.
//
// Handle: varint offset, varint stored bytes (without the trailer). Properties: the fields of struct Properties in
// order, integers as varints, times as 8 bytes, keys as varint length and bytes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "sstable/table_meta.h"

namespace hdb::sstable {

inline constexpr std::uint64_t kTableMagic = 0x454c424154424448;  // "HDBTABLE" in file order
inline constexpr std::uint32_t kTableVersion = 1;
inline constexpr std::size_t kFooterBytes = 64;
inline constexpr std::size_t kBlockTrailerBytes = 16;
// A compressed block may not claim more: the largest item and the largest block size fit. An uncompressed one is
// bounded by its file.
inline constexpr std::uint32_t kCompressedBlockBytesMax = 32u << 20;

enum class BlockKind : std::uint8_t {  // on disk: append, never renumber
  kKeyData = 1,
  kEventData = 2,
  kFilter = 3,
  kKeyIndex = 4,
  kEventIndex = 5,
  kDictionary = 6,
  kDictionaryIndex = 7,
  kPostings = 8,
  kProperties = 9,
};
std::string_view block_kind_name(BlockKind kind) noexcept;

enum class CompressionKind : std::uint8_t { kNone = 0, kZstd = 1 };  // on disk: append, never renumber

struct BlockHandle {
  std::uint64_t offset = 0;
  std::uint32_t bytes = 0;  // stored, without the trailer
  std::uint64_t end() const noexcept { return offset + bytes + kBlockTrailerBytes; }
  friend bool operator==(const BlockHandle&, const BlockHandle&) noexcept = default;
};

void append_handle(Buffer& to, BlockHandle handle);
Result<BlockHandle> decode_handle(Cursor& cursor);

struct BlockTrailer {
  std::uint32_t raw_bytes;
  CompressionKind compression;
  BlockKind kind;
};

// What comes behind the bytes of a block that will be at `offset` in file `number`.
std::array<std::byte, kBlockTrailerBytes> encode_trailer(ByteView stored, const BlockTrailer& trailer,
                                                         FileNumber number, std::uint64_t offset);
// Of a block with its trailer. kCorruption says what is wrong, but not where: the caller knows.
Result<BlockTrailer> decode_trailer(ByteView block, FileNumber number, std::uint64_t offset);

struct Footer {
  BlockHandle properties;
  TableKind kind = TableKind::kEvents;
  FileNumber number;
  std::uint64_t file_bytes = 0;
};

std::array<std::byte, kFooterBytes> encode_footer(const Footer& footer);
// Of exactly the footer's bytes. kCorruption: not a table, or damaged; kUnsupported: newer. The message does not name
// the file.
Result<Footer> decode_footer(ByteView bytes);

// How the terms of an attribute are kept in this table.
enum class TermForm : std::uint8_t {  // on disk: append, never renumber
  kText = 1,
  kFingerprint = 2,  // the first fingerprint_bytes of hash64, big-endian
};

struct AttributeProperties {
  TermForm form = TermForm::kText;
  std::uint8_t fingerprint_bytes = 0;  // 4..8 with kFingerprint, else 0
  std::uint64_t terms = 0;             // dictionary entries; 0: no event has the attribute
  std::uint64_t postings = 0;          // positions of all entries together
  friend bool operator==(const AttributeProperties&, const AttributeProperties&) noexcept = default;
};

struct Properties {
  std::uint64_t entry_count = 0;
  std::uint64_t block_count = 0;      // data blocks
  std::uint64_t raw_bytes = 0;        // of the data blocks, decompressed
  BlockHandle index;                  // kKeyIndex or kEventIndex
  std::optional<BlockHandle> filter;  // of keys, or of caller-made ids

  // Keys.
  SequenceNumber sequence_min;
  SequenceNumber sequence_max;
  Buffer smallest_key;
  Buffer largest_key;

  // Events.
  Position position_begin = 0;
  Timestamp time_min{};
  Timestamp time_max{};
  Timestamp commit_time_min{};
  Timestamp commit_time_max{};
  std::optional<BlockHandle> dictionary_index;
  std::array<AttributeProperties, kAttributes> attributes;  // by Attribute - 1
};

Buffer encode_properties(const Properties& properties, TableKind kind);
Result<Properties> decode_properties(ByteView bytes, TableKind kind);

// What footer and properties say of the table.
TableMeta meta_of(const Footer& footer, const Properties& properties);

}  // namespace hdb::sstable
