// compaction/manifest_format.h: the layout of MANIFEST and CURRENT: the only encode and decode.
//
// MANIFEST: a header, then records one after the other, each at a multiple of 8.
//
//   offset  size  ManifestHeader field  meaning
//        0     8  magic
//        8     4  version               of everything in the file
//       12     4  reserved              zero
//       16    16  store_id
//       32     8  file_number           the number in the file's name
//       40    16  reserved              zero
//       56     8  checksum              XXH3-64 over the 56 bytes above, seed 0
//
// Magic, version and checksum of the header keep place and meaning in every version.
//
//   offset  size  RecordHeader field    meaning
//        0     8  checksum              XXH3-64 over the rest of the record with its padding, seeded with
//                                       seed_of(header checksum, offset of the record, chain): valid only in its place
//        8     8  chain                 checksum of the record before; of the header, for the first record
//       16     8  edit_number           counts the store's edits, across manifests
//       24     8  durable_end           the file was durable up to this offset before the record was written
//       32     4  payload_bytes
//       36     1  kind                  RecordKind
//       37     3  reserved              zero
//       40        the payload, then zeros up to a multiple of 8
//
// The first record is a kSnapshot: the edit that makes the whole state out of nothing, with the number of the last edit
// in it. Each kEdit is numbered one higher than what is before it, and synced before the next is written. A kDurable
// follows each of them once it is synced: it has no payload, and the number before it; it is not synced itself.
//
// What is valid: the header, the first record and the kDurable after it were synced before CURRENT named the file. The
// records go on as long as each is valid, is chained to the one before and continues its number. Where that ends, at P,
// a torn tail begins, left by a write that was never synced; but if the first record is not valid, or a valid record
// with durable_end > P lies anywhere behind P (at a multiple of 8), bytes that were durable have changed: the file is
// damaged.
//
// Payload: fields, each a varint Tag, a varint length and that many bytes; integers in them are varints unless said
// otherwise. A reader refuses tags it does not know (kUnsupported). Tags but kKeyspace, kRemovedTable and kAddedTable
// come at most once.
//
//   Tag               value
//   kEpoch            epoch
//   kLogFloor         segment, offset
//   kLogIsOpen        0 or 1
//   kNextFileNumber   file number
//   kNextSequence     sequence number
//   kPositionEnd      position
//   kLastCommitTime   i64, 8 bytes, ns since the Unix epoch
//   kKeyspace         id, then the name: the rest of the field
//   kRemovedTable     file number
//   kAddedTable       level, file number, TableKind, file bytes, entry count, then
//                     events: position begin, position end, and as 8 bytes each: time min, max, commit time min, max;
//                     keys: sequence min, max, smallest and largest stored key, each a varint length and bytes
//   kIsCopy           0 or 1: whoever opens the store for writing gives it an id of its own
//   others            places kept for what is to come; unknown to this version
//
// CURRENT: "MANIFEST-000007 <16 hex digits>\n": the name, and XXH3-64 of the name, seed 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "compaction/version_edit.h"

namespace hdb::compaction {

inline constexpr std::uint64_t kManifestMagic = 0x54534e414d424448;  // "HDBMANST"
inline constexpr std::uint32_t kManifestVersion = 1;
inline constexpr std::uint32_t kRecordPayloadBytesMax = 1u << 30;
inline constexpr std::uint64_t kRecordAlignment = 8;

enum class RecordKind : std::uint8_t {  // on disk: append, never renumber
  kSnapshot = 1,
  kEdit = 2,
  kDurable = 3,
};

enum class Tag : std::uint32_t {  // on disk: append, never renumber
  kEpoch = 1,
  kLogFloor = 2,
  kLogIsOpen = 3,
  kNextFileNumber = 4,
  kNextSequence = 5,
  kPositionEnd = 6,
  kLastCommitTime = 7,
  kKeyspace = 8,
  kRemovedTable = 9,
  kAddedTable = 10,
  kIsCopy = 11,
  // Reserved.
  kCreationOptions = 16,
  kTreeSize = 17,        // Merkle tree: size and root
  kOpenTileLeaves = 18,  // and the leaves not yet in a full tile
  kAddedVectors = 19,
  kRemovedVectors = 20,
  kExpiryWatermark = 21,
  kRetentionClass = 22,
};

struct ManifestHeader {
  std::uint64_t magic = kManifestMagic;
  std::uint32_t version = kManifestVersion;
  std::uint32_t reserved_12 = 0;
  StoreId store_id{};
  std::uint64_t file_number = 0;
  std::uint64_t reserved_40[2] = {0, 0};
  std::uint64_t checksum = 0;
};
static_assert(sizeof(ManifestHeader) == 64);
static_assert(offsetof(ManifestHeader, store_id) == 16);
static_assert(offsetof(ManifestHeader, file_number) == 32);
static_assert(offsetof(ManifestHeader, checksum) == 56);
static_assert(std::has_unique_object_representations_v<ManifestHeader>, "no hidden padding reaches the disk");

struct RecordHeader {
  std::uint64_t checksum = 0;
  std::uint64_t chain = 0;
  std::uint64_t edit_number = 0;
  std::uint64_t durable_end = 0;
  std::uint32_t payload_bytes = 0;
  RecordKind kind{};
  std::uint8_t reserved_37[3] = {0, 0, 0};
};
static_assert(sizeof(RecordHeader) == 40);
static_assert(offsetof(RecordHeader, edit_number) == 16);
static_assert(offsetof(RecordHeader, durable_end) == 24);
static_assert(offsetof(RecordHeader, payload_bytes) == 32);
static_assert(offsetof(RecordHeader, kind) == 36);
static_assert(std::has_unique_object_representations_v<RecordHeader>, "no hidden padding reaches the disk");

// With its checksum.
Buffer encode_header(const StoreId& store_id, FileNumber file_number);
// kCorruption if `bytes` do not begin with the header of the manifest `number`, kUnsupported if it is newer.
Result<ManifestHeader> decode_header(ByteView bytes, FileNumber number);

// Where a record stands: what its checksum depends on beside its bytes.
struct RecordPlace {
  std::uint64_t header_checksum;
  std::uint64_t offset;  // in the file
};

// A whole record, padded. Of `header`, checksum and payload_bytes are filled in here.
Buffer encode_record(RecordPlace place, RecordHeader header, ByteView payload);

struct Record {
  RecordHeader header;
  ByteView payload;
  std::uint64_t record_bytes;  // with header and padding
};
// The record at the start of `bytes`, which may go on after it. kCorruption says why it is none, kUnsupported that it
// is valid and of a kind this build does not know; chain and number are for the caller to check.
Result<Record> decode_record(RecordPlace place, ByteView bytes);

// Where the valid records of a manifest end.
struct RecordsEnd {
  std::uint64_t offset = 0;       // in the file
  std::uint64_t edit_number = 0;  // of the last valid record
  std::string reason;             // why the next is none; empty at the end of the file
};
// Calls visit(offset, Record) for each valid record of the manifest whose header was accepted, in order, and applies
// the rule above: a torn tail ends it, damage is kCorruption, both with the offset. Also stops at an error of visit.
Result<RecordsEnd> for_each_record(ByteView manifest, const ManifestHeader& header,
                                   const std::function<Status(std::uint64_t offset, const Record&)>& visit);

Buffer encode_edit(const VersionEdit& edit);
// kCorruption, kUnsupported; offsets in messages are in `payload`.
Result<VersionEdit> decode_edit(ByteView payload);

// The fields of a payload one by one, as decode_edit() sees them.
struct Field {
  std::uint64_t tag;
  std::uint64_t offset;  // of the tag, in the payload
  ByteView value;
};
Result<std::vector<Field>> decode_fields(ByteView payload);
Result<AddedTable> decode_added_table(ByteView value);

// "kNextSequence" without the k, in lower case: "next_sequence"; empty for tags this version does not know.
std::string_view tag_name(std::uint64_t tag) noexcept;

std::string encode_current(FileNumber manifest);
// kCorruption says what is wrong with the content of CURRENT.
Result<FileNumber> decode_current(ByteView content);

}  // namespace hdb::compaction
