// base/batch.h: the bytes of a batch: what one append commits, encoded in the caller's thread and carried unchanged by
// the log; the memtable points into them. Only this file and batch.cc know them.
//
//   offset  size  BatchHeader field   meaning
//        0     8  checksum            XXH3-64 over the batch from byte 8 to its end
//        8     4  batch_bytes         the whole batch; a multiple of 8
//       12     4  event_count
//       16     4  change_count        key-value changes
//       20     2  section_count
//       22     2  reserved            zero
//
// then sections, each {u16 kind, u16 version, u32 bytes} and that many bytes, then zero padding to a multiple of 8:
//
//   SectionKind     version  bytes
//   kEvents         1        event_count records (base/record.h), one after the other
//   kKeyValues      1        change_count times {u32 value_bytes, u16 key_bytes, u8 EntryKind, u8 zero, key, value}
//   kLeafHashes     1        event_count times 32 bytes (base/leaf.h); may be left out
//   kVectors        -        place of the events' vectors
//
// where a key is as stored, with its keyspace's number in front.
//
// Numbering: the batch's events take consecutive positions and sequence numbers in order, then its changes take the
// following sequence numbers. A reader refuses kinds and versions it does not know (kUnsupported).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <hdb/batch.h>

#include "base/batch_memory.h"
#include "base/bytes.h"
#include "base/entry_iterator.h"
#include "base/leaf.h"
#include "base/record.h"

namespace hdb {

inline constexpr std::size_t kBatchHeaderBytes = 24;
inline constexpr std::size_t kChangeHeaderBytes = 8;
inline constexpr std::size_t kBatchBytesMax = 256u << 20;
// From this size on a batch lies in a block of its own, if there is memory for such.
inline constexpr std::size_t kLargeBatchBytes = 64u << 10;
// In front of a large batch: for what the log writes before it.
inline constexpr std::size_t kBatchRoomBytes = 88;
inline constexpr std::size_t kBatchItemsMax = 1'000'000;
inline constexpr std::size_t kKeyBytesMax = 32768;  // the user's key
inline constexpr std::size_t kValueBytesMax = 16u << 20;

enum class SectionKind : std::uint16_t {  // on disk: append, never renumber
  kEvents = 1,
  kKeyValues = 2,
  kLeafHashes = 3,
  kVectors = 4,  // reserved
};

// What an encoder adds to a caller's batch.
struct BatchStamp {
  RecordStamp record{};
  bool with_leaf_hashes = false;
};

// An encoded batch that owns its bytes; they do not move when it does, and it is empty then. Single-owner.
class EncodedBatch {
 public:
  EncodedBatch() noexcept = default;
  EncodedBatch(EncodedBatch&& other) noexcept { swap(other); }
  EncodedBatch& operator=(EncodedBatch&& other) noexcept {
    EncodedBatch taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~EncodedBatch() = default;
  ByteView bytes() const noexcept { return {bytes_, size_}; }
  // Of a large batch: kBatchRoomBytes of room, the batch, zeros; address and size are multiples of
  // BatchMemory::kAlignment. Else empty.
  MutableBytes block() const noexcept {
    return block_bytes_ == 0 ? MutableBytes() : MutableBytes(bytes_ - kBatchRoomBytes, block_bytes_);
  }
  std::uint32_t event_count() const noexcept { return event_count_; }
  std::uint32_t change_count() const noexcept { return change_count_; }

  // Both of bytes that BatchView::decode accepts; those of view_of() live as long as `owner` is kept.
  static EncodedBatch copy_of(ByteView batch);
  static EncodedBatch view_of(ByteView batch, std::shared_ptr<void> owner) noexcept;

 private:
  friend EncodedBatch encode_batch(std::span<const Event>, std::span<const KeyValueChange>, const BatchStamp&,
                                   BatchMemory*);
  std::byte* allocate(std::size_t bytes, BatchMemory* memory);
  void swap(EncodedBatch& other) noexcept;

  std::byte* bytes_ = nullptr;        // in what one of the next two keeps
  std::unique_ptr<std::byte[]> own_;  // of a small batch
  std::shared_ptr<void> shared_;      // of a large one, and of one that others own
  std::size_t block_bytes_ = 0;
  std::size_t size_ = 0;
  std::uint32_t event_count_ = 0;
  std::uint32_t change_count_ = 0;
};

// kInvalidArgument names the item and the limit it is over, of a batch that will be encoded with leaf hashes or
// without. An empty batch is over one too.
Status validate_batch(std::span<const Event> events, std::span<const KeyValueChange> changes, bool with_leaf_hashes);

// Encodes a batch that validate_batch accepts, a large one in `memory` if that is given. Throws std::bad_alloc.
EncodedBatch encode_batch(std::span<const Event> events, std::span<const KeyValueChange> changes,
                          const BatchStamp& stamp, BatchMemory* memory = nullptr);

// A checked view of an encoded batch. Immutable; the bytes must outlive it.
class BatchView {
 public:
  // One change, as stored.
  struct Change {
    ByteView key;  // stored key: keyspace prefix and user key
    EntryKind kind;
    ByteView value;

    // Where its encoding begins, for change_at().
    const std::byte* start() const noexcept { return key.data() - kChangeHeaderBytes; }
  };

  // The batch that `bytes` hold, exactly. kCorruption if damaged, kUnsupported if newer; the message gives the offset
  // in the batch.
  static Result<BatchView> decode(ByteView bytes);
  // The same, of bytes whose checksum was found right.
  static Result<BatchView> decode_checked(ByteView bytes);
  // Of bytes that decode() accepted, or encode_batch() made.
  static BatchView trusted(ByteView bytes) noexcept;
  // batch_bytes of the header at the start of `bytes`, for finding where a batch ends; unchecked. `bytes` has at least
  // kBatchHeaderBytes.
  static std::size_t size_in_header(ByteView bytes) noexcept { return load<std::uint32_t>(bytes.data() + 8); }

  // What the header at the start of `bytes` says, of a batch that may be damaged behind it.
  struct Counts {
    std::uint32_t events;
    std::uint32_t changes;
  };
  static Counts counts_in_header(ByteView bytes) noexcept {
    return {load<std::uint32_t>(bytes.data() + 12), load<std::uint32_t>(bytes.data() + 16)};
  }

  std::uint32_t event_count() const noexcept { return load<std::uint32_t>(bytes_.data() + 12); }
  std::uint32_t change_count() const noexcept { return load<std::uint32_t>(bytes_.data() + 16); }
  std::uint32_t sequence_count() const noexcept { return event_count() + change_count(); }
  ByteView bytes() const noexcept { return bytes_; }
  // Of these, in its events and in its changes.
  std::size_t event_bytes() const noexcept { return events_.size(); }
  std::size_t change_bytes() const noexcept { return changes_.size(); }

  bool has_leaf_hashes() const noexcept { return !leaf_hashes_.empty(); }
  // Of event `index`; only if it has them.
  LeafHash leaf_hash(std::size_t index) const noexcept {
    return load<LeafHash>(leaf_hashes_.data() + index * sizeof(LeafHash));
  }

  // Calls visit(RecordView) for each event in order.
  template <typename Visit>
  void for_each_record(Visit visit) const {
    ByteView rest = events_;
    for (std::uint32_t left = event_count(); left > 0; --left) {
      const std::size_t size = load<std::uint32_t>(rest.data());
      visit(RecordView::trusted(rest.first(size)));
      rest = rest.subspan(size);
    }
  }
  // The change whose encoding begins at `start`, as Change::start() gave it.
  static Change change_at(const std::byte* start) noexcept {
    const std::size_t value_bytes = load<std::uint32_t>(start);
    const std::size_t key_bytes = load<std::uint16_t>(start + 4);
    const std::byte* const key = start + kChangeHeaderBytes;
    return {{key, key_bytes}, static_cast<EntryKind>(start[6]), {key + key_bytes, value_bytes}};
  }
  // Calls visit(Change) for each change in order.
  template <typename Visit>
  void for_each_change(Visit visit) const {
    const std::byte* at = changes_.data();
    for (std::uint32_t left = change_count(); left > 0; --left) {
      const Change change = change_at(at);
      visit(change);
      at = change.value.data() + change.value.size();
    }
  }

 private:
  explicit BatchView(ByteView bytes) noexcept : bytes_(bytes) {}

  ByteView bytes_;
  ByteView events_;   // the bytes of section kEvents
  ByteView changes_;  // the bytes of section kKeyValues
  ByteView leaf_hashes_;
};

// kCorruption unless the batch's leaf hashes, if it has any, are those of its events: names the first that is not, and
// how many are not. As costly as making them. Throws std::bad_alloc.
Status check_leaf_hashes(const BatchView& batch);

}  // namespace hdb
