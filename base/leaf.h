// base/leaf.h: the leaf hash of an event, which stands for it in the Merkle log (RFC 9162, section 2.1.1):
//
//   SHA-256(0x00 || canonical leaf)
//
// The canonical leaf, version 1, says what the event is, not where or how it lies: it has neither a position nor an
// engine-made id, checksum or offset, and no file format changes it.
//
//   u8 version (1), then for each field that the event has, by ascending tag: {u8 LeafTag, u32 bytes, the bytes}
//
// Little-endian. Every event has exactly one of kTime and kAppendTime; an empty text, metadata or payload is left out.
// tests/leaf_vectors.py makes it without HDB. An event without what a later tag stands for keeps
// its leaf when that tag is added.
#pragma once

#include "base/record.h"
#include "base/sha256.h"

namespace hdb {

using LeafHash = Sha256Digest;

inline constexpr std::uint8_t kLeafVersion = 1;
inline constexpr std::byte kLeafPrefix{0};  // of a leaf's hash; a node's begins with 1

enum class LeafTag : std::uint8_t {  // hashed: append, never renumber
  kTime = 1,                         // i64 ns since the Unix epoch, as the caller gave it
  kAppendTime = 2,                   // the same, of an event that was given none
  kId = 3,                           // 16 bytes, caller-made
  kType = 4,                         // the texts, in the order of TextField
  kEntity = 5,
  kHost = 6,
  kStream = 7,
  kSource = 8,
  kCollector = 9,
  kFormat = 10,
  kContentType = 11,
  kSchema = 12,
  kEventTag = 13,  // one for each of the event's tags, in their order
  kMetadata = 14,
  kPayload = 15,
  kSalt = 16,  // reserved: bytes that keep an erased event from being guessed
};

// Hashes events. Its memory grows to the largest of them, payloads apart. Single-owner.
class LeafHasher {
 public:
  // `record` is of an event: a lost one has no leaf. Throws std::bad_alloc.
  LeafHash hash(const RecordView& record);

 private:
  Buffer head_;  // kLeafPrefix and the canonical leaf up to the payload's own bytes
};

}  // namespace hdb
