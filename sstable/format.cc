#include "sstable/format.h"

#include "base/checksum.h"
#include "base/seeded_defect.h"

namespace hdb::sstable {

namespace {

std::uint64_t block_seed(FileNumber number, std::uint64_t offset) noexcept {
  return seed_of(number.raw(), offset, 0);
}

std::int64_t count_of(Timestamp time) noexcept {
  return time.time_since_epoch().count();
}
Timestamp time_of_count(std::int64_t count) noexcept {
  return Timestamp(std::chrono::nanoseconds(count));
}

void append_optional_handle(Buffer& to, const std::optional<BlockHandle>& handle) {
  append_fixed(to, static_cast<std::uint8_t>(handle ? 1 : 0));
  if (handle) append_handle(to, *handle);
}

Result<std::optional<BlockHandle>> decode_optional_handle(Cursor& cursor) {
  const auto is_present = HDB_TRY(cursor.fixed<std::uint8_t>());
  if (is_present > 1) return Status::corruption("properties have a presence byte of " + std::to_string(is_present));
  if (is_present == 0) return std::optional<BlockHandle>();
  return std::optional<BlockHandle>(HDB_TRY(decode_handle(cursor)));
}

void append_key(Buffer& to, const Buffer& key) {
  append_varint(to, key.size());
  append(to, key);
}

Result<Buffer> decode_key(Cursor& cursor) {
  const ByteView key = HDB_TRY(cursor.sized_bytes());
  return Buffer(key.begin(), key.end());
}

Result<AttributeProperties> decode_attribute(Cursor& cursor) {
  AttributeProperties attribute;
  attribute.form = static_cast<TermForm>(HDB_TRY(cursor.fixed<std::uint8_t>()));
  attribute.fingerprint_bytes = HDB_TRY(cursor.fixed<std::uint8_t>());
  attribute.terms = HDB_TRY(cursor.varint());
  attribute.postings = HDB_TRY(cursor.varint());
  const std::uint8_t bytes = attribute.fingerprint_bytes;
  const bool is_text = attribute.form == TermForm::kText && bytes == 0;
  const bool is_fingerprint = attribute.form == TermForm::kFingerprint && bytes >= 4 && bytes <= 8;
  if (!is_text && !is_fingerprint) return Status::corruption("properties have an attribute of no known form");
  return attribute;
}

}  // namespace

std::string_view block_kind_name(BlockKind kind) noexcept {
  switch (kind) {
    case BlockKind::kKeyData:
      return "key data";
    case BlockKind::kEventData:
      return "event data";
    case BlockKind::kFilter:
      return "filter";
    case BlockKind::kKeyIndex:
      return "key index";
    case BlockKind::kEventIndex:
      return "event index";
    case BlockKind::kDictionary:
      return "dictionary";
    case BlockKind::kDictionaryIndex:
      return "dictionary index";
    case BlockKind::kPostings:
      return "postings";
    case BlockKind::kProperties:
      return "properties";
  }
  return "unknown";
}

void append_handle(Buffer& to, BlockHandle handle) {
  append_varint(to, handle.offset);
  append_varint(to, handle.bytes);
}

Result<BlockHandle> decode_handle(Cursor& cursor) {
  const std::uint64_t offset = HDB_TRY(cursor.varint());
  const std::uint64_t bytes = HDB_TRY(cursor.varint());
  if (offset > (std::uint64_t{1} << 62) || bytes > UINT32_MAX) {
    return Status::corruption("a block handle points to offset " + std::to_string(offset) + ", " +
                              std::to_string(bytes) + " bytes: beyond any file");
  }
  return BlockHandle{offset, static_cast<std::uint32_t>(bytes)};
}

std::array<std::byte, kBlockTrailerBytes> encode_trailer(ByteView stored, const BlockTrailer& trailer,
                                                         FileNumber number, std::uint64_t offset) {
  std::array<std::byte, kBlockTrailerBytes> bytes{};
  store(bytes.data(), trailer.raw_bytes);
  store(bytes.data() + 4, trailer.compression);
  store(bytes.data() + 5, trailer.kind);
  const ByteView covered = ByteView(bytes).first(kBlockTrailerBytes - 8);
  store(bytes.data() + covered.size(), checksum64(stored, covered, block_seed(number, offset)));
  return bytes;
}

Result<BlockTrailer> decode_trailer(ByteView block, FileNumber number, std::uint64_t offset) {
  if (HDB_SEEDED(serve_a_block_without_its_identity)) offset = 0, number = FileNumber(0);
  if (block.size() < kBlockTrailerBytes) return Status::corruption("block is shorter than its trailer");
  const auto stored = load<std::uint64_t>(block.data() + block.size() - 8);
  const std::uint64_t actual = checksum64(block.first(block.size() - 8), block_seed(number, offset));
  if (actual != stored && !HDB_SEEDED(skip_the_checksum_of_blocks)) {
    return Status::corruption("block checksum is " + hex(actual) + ", expected " + hex(stored));
  }
  const std::byte* const at = block.data() + block.size() - kBlockTrailerBytes;
  const BlockTrailer trailer{load<std::uint32_t>(at), static_cast<CompressionKind>(at[4]),
                             static_cast<BlockKind>(at[5])};
  if (trailer.compression > CompressionKind::kZstd || load<std::uint16_t>(at + 6) != 0) {
    return Status::corruption("block is compressed in an unknown way");
  }
  const bool is_stored = trailer.compression == CompressionKind::kNone;
  if (is_stored ? trailer.raw_bytes != block.size() - kBlockTrailerBytes
                : trailer.raw_bytes > kCompressedBlockBytesMax) {
    return Status::corruption("block says it has " + std::to_string(trailer.raw_bytes) + " bytes decompressed");
  }
  return trailer;
}

std::array<std::byte, kFooterBytes> encode_footer(const Footer& footer) {
  std::array<std::byte, kFooterBytes> bytes{};
  store(bytes.data(), footer.properties.offset);
  store(bytes.data() + 8, footer.properties.bytes);
  store(bytes.data() + 12, footer.kind);
  store(bytes.data() + 16, footer.number.raw());
  store(bytes.data() + 24, footer.file_bytes);
  store(bytes.data() + 44, kTableVersion);
  store(bytes.data() + 48, checksum64(ByteView(bytes).first(48)));
  store(bytes.data() + 56, kTableMagic);
  return bytes;
}

Result<Footer> decode_footer(ByteView bytes) {
  HDB_CHECK(bytes.size() == kFooterBytes);
  const auto magic = load<std::uint64_t>(bytes.data() + 56);
  if (magic != kTableMagic) {
    return Status::corruption("not an HDB table, or cut short: its last 8 bytes are " + hex(magic) + ", not " +
                              hex(kTableMagic));
  }
  const auto stored = load<std::uint64_t>(bytes.data() + 48);
  const std::uint64_t actual = checksum64(bytes.first(48));
  if (actual != stored) {
    return Status::corruption("footer is damaged: its checksum is " + hex(actual) + ", expected " + hex(stored));
  }
  const auto version = load<std::uint32_t>(bytes.data() + 44);
  if (version != kTableVersion) {
    return Status::unsupported("table has format version " + std::to_string(version) + ", this build reads version " +
                               std::to_string(kTableVersion) + "; upgrade to open it");
  }
  Footer footer;
  footer.properties = {load<std::uint64_t>(bytes.data()), load<std::uint32_t>(bytes.data() + 8)};
  footer.kind = static_cast<TableKind>(bytes[12]);
  footer.number = FileNumber(load<std::uint64_t>(bytes.data() + 16));
  footer.file_bytes = load<std::uint64_t>(bytes.data() + 24);
  if (footer.kind != TableKind::kEvents && footer.kind != TableKind::kKeys) {
    return Status::unsupported("table is of a kind this build does not know; upgrade to open it");
  }
  return footer;
}

Buffer encode_properties(const Properties& properties, TableKind kind) {
  Buffer to;
  append_varint(to, properties.entry_count);
  append_varint(to, properties.block_count);
  append_varint(to, properties.raw_bytes);
  append_handle(to, properties.index);
  append_optional_handle(to, properties.filter);
  if (kind == TableKind::kKeys) {
    append_varint(to, properties.sequence_min.raw());
    append_varint(to, properties.sequence_max.raw());
    append_key(to, properties.smallest_key);
    append_key(to, properties.largest_key);
    return to;
  }
  append_varint(to, properties.position_begin);
  for (const Timestamp time :
       {properties.time_min, properties.time_max, properties.commit_time_min, properties.commit_time_max}) {
    append_fixed(to, count_of(time));
  }
  append_optional_handle(to, properties.dictionary_index);
  for (const AttributeProperties& attribute : properties.attributes) {
    append_fixed(to, attribute.form);
    append_fixed(to, attribute.fingerprint_bytes);
    append_varint(to, attribute.terms);
    append_varint(to, attribute.postings);
  }
  return to;
}

Result<Properties> decode_properties(ByteView bytes, TableKind kind) {
  Cursor cursor(bytes);
  Properties properties;
  properties.entry_count = HDB_TRY(cursor.varint());
  properties.block_count = HDB_TRY(cursor.varint());
  properties.raw_bytes = HDB_TRY(cursor.varint());
  properties.index = HDB_TRY(decode_handle(cursor));
  properties.filter = HDB_TRY(decode_optional_handle(cursor));
  if (kind == TableKind::kKeys) {
    properties.sequence_min = SequenceNumber(HDB_TRY(cursor.varint()));
    properties.sequence_max = SequenceNumber(HDB_TRY(cursor.varint()));
    properties.smallest_key = HDB_TRY(decode_key(cursor));
    properties.largest_key = HDB_TRY(decode_key(cursor));
  } else {
    properties.position_begin = HDB_TRY(cursor.varint());
    for (Timestamp* const time :
         {&properties.time_min, &properties.time_max, &properties.commit_time_min, &properties.commit_time_max}) {
      *time = time_of_count(HDB_TRY(cursor.fixed<std::int64_t>()));
    }
    properties.dictionary_index = HDB_TRY(decode_optional_handle(cursor));
    for (AttributeProperties& attribute : properties.attributes) attribute = HDB_TRY(decode_attribute(cursor));
    if (properties.entry_count > UINT32_MAX || properties.position_begin > UINT64_MAX - properties.entry_count) {
      return Status::corruption("properties have more events than a table can hold");
    }
  }
  if (!cursor.at_end()) return Status::corruption("properties have bytes after their end");
  if (properties.entry_count == 0) return Status::corruption("properties say the table is empty");
  return properties;
}

TableMeta meta_of(const Footer& footer, const Properties& properties) {
  TableMeta meta;
  meta.number = footer.number;
  meta.kind = footer.kind;
  meta.file_bytes = footer.file_bytes;
  meta.entry_count = properties.entry_count;
  if (footer.kind == TableKind::kEvents) {
    meta.position_begin = properties.position_begin;
    meta.position_end = properties.position_begin + properties.entry_count;
    meta.time_min = properties.time_min;
    meta.time_max = properties.time_max;
    meta.commit_time_min = properties.commit_time_min;
    meta.commit_time_max = properties.commit_time_max;
  } else {
    meta.sequence_min = properties.sequence_min;
    meta.sequence_max = properties.sequence_max;
    meta.smallest_key = properties.smallest_key;
    meta.largest_key = properties.largest_key;
  }
  return meta;
}

}  // namespace hdb::sstable
