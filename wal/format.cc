#include "wal/format.h"

#include <algorithm>

#include "base/batch.h"
#include "base/checksum.h"
#include "base/seeded_defect.h"

namespace hdb::wal {
namespace {

constexpr std::size_t kChecksumBegin = offsetof(GroupHeader, checksum);
constexpr std::size_t kChecksumEnd = kChecksumBegin + sizeof(GroupHeader::checksum);
constexpr std::size_t kHeaderChecksumBegin = offsetof(GroupHeader, header_checksum);

template <typename Header>
std::array<std::byte, sizeof(Header)> bytes_of_header(const Header& header) noexcept {
  std::array<std::byte, sizeof(Header)> bytes;
  store(bytes.data(), header);
  return bytes;
}

std::uint64_t segment_checksum(ByteView header) noexcept {
  return checksum64(header.first(offsetof(SegmentHeader, checksum)));
}

std::uint64_t group_seed(ByteView header, const GroupPlace& place) noexcept {
  const auto epoch = load<std::uint64_t>(header.data() + offsetof(GroupHeader, epoch));
  return seed_of(seed_of(place.log_key, epoch, place.at.segment.raw()), place.at.offset, 0);
}

std::uint32_t header_checksum_of(ByteView header, const GroupPlace& place) noexcept {
  std::array<std::byte, kHeaderChecksumBegin - sizeof(GroupHeader::checksum)> covered;
  const auto rest = std::copy_n(header.begin(), kChecksumBegin, covered.begin());
  std::copy(header.begin() + kChecksumEnd, header.begin() + kHeaderChecksumBegin, rest);
  return static_cast<std::uint32_t>(checksum64(covered, group_seed(header, place)));
}

std::uint64_t group_checksum(ByteView header, ByteView extras, std::span<const ByteView> batches,
                             const GroupPlace& place, Buffer& scratch) {
  scratch.clear();
  append(scratch, header.first(kChecksumBegin));
  append(scratch, header.subspan(kChecksumEnd));
  append(scratch, extras);
  for (const ByteView batch : batches) append(scratch, batch.first(kBatchHeaderBytes));
  return checksum64(bytes_of(scratch), group_seed(header, place));
}

Status not_a_group(std::string what) {
  return Status::corruption(std::move(what));
}

}  // namespace

std::array<std::byte, kSegmentHeaderBytes> encode_segment_header(SegmentHeader header) noexcept {
  header.checksum = segment_checksum(bytes_of_header(header));
  return bytes_of_header(header);
}

Result<SegmentHeader> decode_segment_header(ByteView bytes, const std::string& path) {
  if (bytes.size() < kSegmentHeaderBytes) {
    return Status::corruption(path + ": its " + std::to_string(bytes.size()) +
                              " bytes are too few for the header of a log segment");
  }
  const auto header = load<SegmentHeader>(bytes.data());
  if (header.magic != kSegmentMagic) {
    return Status::corruption(path + ": not an HDB log segment: its magic is " + hex(header.magic) + ", not " +
                              hex(kSegmentMagic));
  }
  const std::uint64_t computed = segment_checksum(bytes);
  if (header.checksum != computed) {
    return Status::corruption(path + ": the segment header is damaged: checksum " + hex(header.checksum) +
                              ", computed " + hex(computed));
  }
  if (header.version != kSegmentVersion) {
    return Status::unsupported(path + ": log version " + std::to_string(header.version) + ", this build reads " +
                               std::to_string(kSegmentVersion) + ": use a newer HDB");
  }
  return header;
}

std::array<std::byte, kGroupHeaderBytes> encode_group_header(GroupHeader header, std::span<const ByteView> batches,
                                                             const GroupPlace& place, Buffer& scratch) {
  std::uint64_t bytes = kGroupHeaderBytes;
  for (const ByteView batch : batches) bytes += batch.size();
  HDB_CHECK(bytes <= kGroupBytesMax && bytes % 8 == 0);
  header.group_bytes = static_cast<std::uint32_t>(bytes);
  header.batch_count = static_cast<std::uint32_t>(batches.size());
  header.header_checksum = header_checksum_of(bytes_of_header(header), place);
  header.checksum = group_checksum(bytes_of_header(header), {}, batches, place, scratch);
  return bytes_of_header(header);
}

std::uint64_t log_key_of(const StoreId& store_id) noexcept {
  return checksum64(std::as_bytes(std::span(store_id)));
}

Result<std::uint32_t> stated_group_bytes(ByteView bytes, std::uint64_t room, const GroupPlace& place) {
  const auto magic = load<std::uint32_t>(bytes.data());
  if (magic != kGroupMagic) return not_a_group("no group begins there");
  const auto claimed = load<std::uint32_t>(bytes.data() + offsetof(GroupHeader, group_bytes));
  if (claimed < kGroupHeaderBytes || claimed % 8 != 0 || claimed > kGroupBytesMax) {
    return not_a_group("the group claims an impossible size of " + std::to_string(claimed) + " bytes");
  }
  const auto stored = load<std::uint32_t>(bytes.data() + kHeaderChecksumBegin);
  const std::uint32_t computed = header_checksum_of(bytes, place);
  if (stored != computed) {
    return not_a_group("the group's header has the checksum " + hex(stored) + ", computed " + hex(computed));
  }
  if (claimed > room) {
    return not_a_group("the group claims " + std::to_string(claimed) + " bytes, the file has " + std::to_string(room) +
                       " there");
  }
  return claimed;
}

Result<GroupParts> split_group(ByteView group, Epoch epoch, const GroupPlace& place) {
  HDB_CHECK(group.size() >= kGroupHeaderBytes);
  GroupParts parts{.header = load<GroupHeader>(group.data()), .extras = {}, .batches = {}};
  const GroupHeader& header = parts.header;
  if (header.magic != kGroupMagic || header.group_bytes != group.size()) return not_a_group("no group begins there");
  if (header.epoch != epoch && !HDB_SEEDED(skip_the_epoch_check)) {
    return not_a_group("the group is of epoch " + std::to_string(header.epoch.raw()) + ", its segment of " +
                       std::to_string(epoch.raw()));
  }
  ByteView rest = group.subspan(kGroupHeaderBytes);
  if (header.extras_bytes > rest.size() || header.extras_bytes % 8 != 0) {
    return not_a_group("the group's extras do not fit in it");
  }
  parts.extras = rest.first(header.extras_bytes);
  rest = rest.subspan(header.extras_bytes);
  if (header.batch_count > rest.size() / kBatchHeaderBytes) return not_a_group("the group's batches do not fit in it");
  parts.batches.reserve(header.batch_count);
  while (parts.batches.size() < header.batch_count) {
    const std::size_t bytes = rest.size() < kBatchHeaderBytes ? 0 : BatchView::size_in_header(rest);
    if (bytes < kBatchHeaderBytes || bytes > rest.size()) {
      return not_a_group("batch " + std::to_string(parts.batches.size()) + " does not fit in its group");
    }
    parts.batches.push_back(rest.first(bytes));
    rest = rest.subspan(bytes);
  }
  if (!rest.empty()) return not_a_group("the group's batches do not fill it");

  Buffer scratch;
  const std::uint64_t computed =
      group_checksum(group.first(kGroupHeaderBytes), parts.extras, parts.batches, place, scratch);
  if (header.checksum != computed) {
    return not_a_group("the group's checksum is " + hex(header.checksum) + ", computed " + hex(computed));
  }
  return parts;
}

Status check_batches(const GroupParts& parts) {
  for (std::size_t index = 0; index < parts.batches.size(); ++index) {
    const ByteView batch = parts.batches[index];
    const auto stored = load<std::uint64_t>(batch.data());
    const std::uint64_t computed = checksum64(batch.subspan(sizeof stored));
    if (stored != computed && !HDB_SEEDED(skip_the_checksum_of_batches)) {
      return not_a_group("the checksum of batch " + std::to_string(index) + " is " + hex(stored) + ", computed " +
                         hex(computed));
    }
  }
  return {};
}

Status check_supported(const GroupParts& parts) {
  const GroupHeader& header = parts.header;
  const auto unknown = [](const std::string& what) {
    return Status::unsupported(what + ", which this build does not know: use a newer HDB");
  };
  if (header.version != kGroupVersion) return unknown("a group of version " + std::to_string(header.version));
  if (header.flags != 0) return unknown("a group with flags " + std::to_string(header.flags));
  const bool is_mark = header.kind == GroupKind::kMark;
  if (!is_mark && header.kind != GroupKind::kBatches) {
    return unknown("a group of kind " + std::to_string(static_cast<unsigned>(header.kind)));
  }
  if (is_mark != parts.batches.empty()) return unknown("a mark with batches, or a group without");
  if (!parts.extras.empty()) {
    return unknown("a group section of kind " + std::to_string(load<std::uint16_t>(parts.extras.data())));
  }
  return {};
}

}  // namespace hdb::wal
