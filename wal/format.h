// wal/format.h: the bytes of the write-ahead log. Only this file and format.cc know them.
//
// The log is the run of segment files wal/NNNNNN.wal of consecutive numbers. All integers are little-endian.
//
//   Segment: [SegmentHeader 128 B] [Group] [Group] ... prepared space, which reads as zero
//   Group:   [GroupHeader 88 B] [extras, extras_bytes B] [batch] [batch] ...
//
//   offset  size  SegmentHeader field  meaning
//        0     8  magic                "HDBWAL\r\n"
//        8     4  version              kSegmentVersion; covers the layout of groups too
//       12     4  reserved             zero
//       16    16  store_id
//       32     8  epoch                of the open that made the segment
//       40     8  segment              its own number, as in the file's name
//       48     8  first_sequence       of the first item that will be logged in it
//       56     8  first_position       of the first event that will be logged in it
//       64     8  predecessor_end      where the last group of segment - 1 ends in that file; 0 if there was no log
//       72    16  durable_end          LogPoint {segment, offset}: all below was durable when the header was written
//       88    32  reserved_tail        zero
//      120     8  checksum             XXH3-64 over bytes 0..119
//
//   Magic, version and checksum of the segment header keep place and meaning in every version.
//
//   offset  size  GroupHeader field    meaning
//        0     4  magic                "HGRP"
//        4     4  group_bytes          header, extras and batches; a multiple of 8, at most kGroupBytesMax
//        8     8  checksum             XXH3-64, seeded as said below, over header bytes 0..7 and 16..87, the
//                                      extras, and the 24-byte BatchHeader of each batch
//       16     2  version              kGroupVersion
//       18     1  kind                 GroupKind
//       19     1  flags                zero
//       20     4  batch_count          at least 1; 0 in a mark
//       24     8  epoch                the segment's
//       32     8  predecessor_end      where the group before ends in this file; for the first group, 128
//       40     8  first_sequence       of the first item of the first batch
//       48     8  first_position       of the first event of the first batch
//       56     8  commit_time_ns       since the Unix epoch; never decreases
//       64    16  durable_end          LogPoint: all below was durable when the group was written; a mark says its own
//                                      end, and is written only when everything before it is durable. One that stands
//                                      in a segment behind the predecessor_end of the next says where the groups of
//                                      that one begin: its name and header are durable
//       80     4  extras_bytes         a multiple of 8
//       84     4  header_checksum      the low half of XXH3-64, seeded likewise, over header bytes 0..7 and 16..83: a
//                                      size is believed only if it is right
//
// Both checksums are seeded with seed_of(seed_of(XXH3-64 of store_id, epoch, segment), offset of the group, 0): a group
// is valid only in its place, and no payload can be made to look like one by somebody who does not know the store_id.
//
// Extras are sections {u16 ExtraKind, u16 version, u32 bytes}, that many bytes, zero padding to a multiple of 8. The
// batches are as base/batch.h says. A batch's checksum is made by its caller, in parallel with others; the group's
// covers the batch headers, which hold those checksums, so that a group is bound to its place without being hashed
// again.
//
// Place: a group begins where the one before ends, P, or at the next multiple of 4096: so it does when everything below
// P was durable at that time, as a durable block is never written again, and when it or the group before was written as
// whole blocks. A reader looks at P, then at that multiple, and takes the group whose predecessor_end is P.
//
// A group is valid if and only if (1) it lies whole within its file, (2) its header is sound: magic, multiples of 8,
// header_checksum, epoch of its segment, predecessor_end as above, (3) the group's checksum matches, (4) the checksum
// of each batch matches. A valid group of a version, kind, flag or extra that the reader does not know is kUnsupported,
// one that does not continue sequence and position exactly is kCorruption: the writer meant them.
//
// The log ends at the first P behind which no valid group follows, here or as the first of a next segment whose header
// says predecessor_end = P. What lies behind is a torn tail, unless anything valid there, group or segment header, has
// a durable_end above P: then durable bytes were damaged, which is kCorruption (wal/reader.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <hdb/event.h>
#include <hdb/status.h>

#include "base/bytes.h"
#include "base/ids.h"

namespace hdb::wal {

inline constexpr std::uint64_t kSegmentMagic = 0x0a0d4c4157424448;  // "HDBWAL\r\n": a text-mode copy damages it
inline constexpr std::uint32_t kGroupMagic = 0x50524748;            // "HGRP"
inline constexpr std::uint32_t kSegmentVersion = 2;
inline constexpr std::uint16_t kGroupVersion = 1;
inline constexpr std::size_t kSegmentHeaderBytes = 128;
inline constexpr std::size_t kGroupHeaderBytes = 88;
inline constexpr std::size_t kExtraHeaderBytes = 8;
inline constexpr std::uint64_t kBlockBytes = 4096;         // the unit that is durable as a whole
inline constexpr std::uint64_t kGroupBytesMax = 1u << 30;  // bounds memory when a length is damaged

enum class GroupKind : std::uint8_t {  // on disk: append, never renumber
  kBatches = 1,
  kMark = 2,
};

enum class ExtraKind : std::uint16_t {  // on disk: append, never renumber
  kTreeHead = 1,                        // reserved: size and root of the Merkle tree as folded so far
  kStreamRevisions = 2,                 // reserved: the revisions given to events of streams
};

struct SegmentHeader {
  std::uint64_t magic = kSegmentMagic;
  std::uint32_t version = kSegmentVersion;
  std::uint32_t reserved = 0;
  StoreId store_id{};
  Epoch epoch;
  SegmentNumber segment;
  SequenceNumber first_sequence;
  Position first_position = 0;
  std::uint64_t predecessor_end = 0;
  LogPoint durable_end;
  std::array<std::uint64_t, 4> reserved_tail{};
  std::uint64_t checksum = 0;
};
static_assert(sizeof(SegmentHeader) == kSegmentHeaderBytes);
static_assert(offsetof(SegmentHeader, store_id) == 16);
static_assert(offsetof(SegmentHeader, epoch) == 32);
static_assert(offsetof(SegmentHeader, first_sequence) == 48);
static_assert(offsetof(SegmentHeader, durable_end) == 72);
static_assert(offsetof(SegmentHeader, reserved_tail) == 88);
static_assert(offsetof(SegmentHeader, checksum) == 120);
static_assert(std::has_unique_object_representations_v<SegmentHeader>, "no hidden padding reaches the disk");
static_assert(std::is_trivially_copyable_v<SegmentHeader>);

struct GroupHeader {
  std::uint32_t magic = kGroupMagic;
  std::uint32_t group_bytes = 0;
  std::uint64_t checksum = 0;
  std::uint16_t version = kGroupVersion;
  GroupKind kind = GroupKind::kBatches;
  std::uint8_t flags = 0;
  std::uint32_t batch_count = 0;
  Epoch epoch;
  std::uint64_t predecessor_end = 0;
  SequenceNumber first_sequence;
  Position first_position = 0;
  std::int64_t commit_time_ns = 0;
  LogPoint durable_end;
  std::uint32_t extras_bytes = 0;
  std::uint32_t header_checksum = 0;
};
static_assert(sizeof(GroupHeader) == kGroupHeaderBytes);
static_assert(offsetof(GroupHeader, checksum) == 8);
static_assert(offsetof(GroupHeader, version) == 16);
static_assert(offsetof(GroupHeader, batch_count) == 20);
static_assert(offsetof(GroupHeader, epoch) == 24);
static_assert(offsetof(GroupHeader, commit_time_ns) == 56);
static_assert(offsetof(GroupHeader, durable_end) == 64);
static_assert(offsetof(GroupHeader, extras_bytes) == 80);
static_assert(offsetof(GroupHeader, header_checksum) == 84);
static_assert(std::has_unique_object_representations_v<GroupHeader>, "no hidden padding reaches the disk");
static_assert(std::is_trivially_copyable_v<GroupHeader>);

inline Timestamp commit_time_of(const GroupHeader& header) noexcept {
  return Timestamp(std::chrono::nanoseconds(header.commit_time_ns));
}

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t multiple) noexcept {
  return (value + multiple - 1) / multiple * multiple;
}

// With its checksum filled in.
std::array<std::byte, kSegmentHeaderBytes> encode_segment_header(SegmentHeader header) noexcept;

// The header at the start of `bytes`. Messages begin with `path`. kCorruption: not a log segment, or damaged;
// kUnsupported: of a newer version.
Result<SegmentHeader> decode_segment_header(ByteView bytes, const std::string& path);

// What a group's checksums are bound to, beside its epoch.
struct GroupPlace {
  std::uint64_t log_key;  // log_key_of() the store
  LogPoint at;
};
std::uint64_t log_key_of(const StoreId& store_id) noexcept;

// With group_bytes, batch_count and checksums filled in, for a group without extras. `scratch` is working memory, kept
// by the caller so that a group costs no allocation.
std::array<std::byte, kGroupHeaderBytes> encode_group_header(GroupHeader header, std::span<const ByteView> batches,
                                                             const GroupPlace& place, Buffer& scratch);

// A group taken apart; views into the bytes it was taken from.
struct GroupParts {
  GroupHeader header;
  ByteView extras;
  std::vector<ByteView> batches;
};

// The group size that the header at the start of `bytes` states, if the header is sound and the group fits in `room`;
// kCorruption says what is not so. `bytes` has at least kGroupHeaderBytes.
Result<std::uint32_t> stated_group_bytes(ByteView bytes, std::uint64_t room, const GroupPlace& place);

// Rules (2), but for predecessor_end, and (3) on exactly one group of `epoch`. kCorruption says what is wrong, without
// naming the place: only the caller knows whether it is damage or a torn tail.
Result<GroupParts> split_group(ByteView group, Epoch epoch, const GroupPlace& place);

// Rule (4).
Status check_batches(const GroupParts& parts);

// kUnsupported if a valid group is of a version, kind, flag or extra that this build does not know.
Status check_supported(const GroupParts& parts);

}  // namespace hdb::wal
