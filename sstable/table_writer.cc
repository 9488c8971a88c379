#include "sstable/table_writer.h"

#include "base/seeded_defect.h"
#include "sstable/compression.h"

namespace hdb::sstable {

namespace {

constexpr std::size_t kWriteBytes = 512u << 10;
// From here on a block is written from where it is.
constexpr std::size_t kLargeBlockBytes = 64u << 10;

}  // namespace

Result<BlockHandle> TableWriter::add(BlockKind kind, ByteView raw, const TableSettings& settings) {
  return add(kind, raw, settings.compression, settings.level);
}

Result<BlockHandle> TableWriter::add_uncompressed(BlockKind kind, ByteView raw) {
  return add(kind, raw, Compression::kNone, 0);
}

Result<BlockHandle> TableWriter::add(BlockKind kind, ByteView raw, Compression compression, int level) {
  if (raw.size() > UINT32_MAX) {
    return Status::invalid_argument(file_->path() + ": a " + std::string(block_kind_name(kind)) + " block of " +
                                    std::to_string(raw.size()) +
                                    " bytes does not fit a table; choose a smaller table_bytes_target");
  }
  const std::uint64_t offset = file_bytes();
  ByteView stored = raw;
  CompressionKind compressed = CompressionKind::kNone;
  if (compression != Compression::kNone) {
    compressed_.clear();
    compressed = append_compressed(compressed_, raw, compression, level);
    stored = bytes_of(compressed_);
  }
  const auto trailer =
      encode_trailer(stored, {static_cast<std::uint32_t>(raw.size()), compressed, kind}, number_, offset);
  HDB_TRY(write(stored, trailer));
  return BlockHandle{offset, static_cast<std::uint32_t>(stored.size())};
}

Status TableWriter::write(ByteView block, ByteView trailer) {
  if (block.size() < kLargeBlockBytes) {
    append(pending_, block);
    append(pending_, trailer);
    return pending_.size() >= kWriteBytes ? write_pending() : Status();
  }
  const ByteView pieces[] = {bytes_of(pending_), block, trailer};
  HDB_TRY(file_->append(pieces));
  written_bytes_ += pending_.size() + block.size() + trailer.size();
  pending_.clear();
  return {};
}

Status TableWriter::write_pending() {
  const ByteView piece = bytes_of(pending_);
  HDB_TRY(file_->append({&piece, 1}));
  written_bytes_ += pending_.size();
  pending_.clear();
  return {};
}

Result<TableMeta> TableWriter::finish(TableKind kind, const Properties& properties) {
  const Buffer encoded = encode_properties(properties, kind);
  Footer footer;
  footer.properties = HDB_TRY(add_uncompressed(BlockKind::kProperties, bytes_of(encoded)));
  footer.kind = kind;
  footer.number = number_;
  footer.file_bytes = file_bytes() + kFooterBytes;
  append(pending_, encode_footer(footer));
  HDB_TRY(write_pending());
  if (!HDB_SEEDED(forget_the_sync_of_a_table)) HDB_TRY(file_->sync());
  HDB_TRY(file_->close());
  return meta_of(footer, properties);
}

}  // namespace hdb::sstable
