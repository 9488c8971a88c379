#include "sstable/table_writer.h"

#include "base/seeded_defect.h"
#include "sstable/compression.h"

namespace hdb::sstable {

namespace {

constexpr std::size_t kWriteBytes = 512u << 10;

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
  const std::size_t begin = pending_.size();
  const CompressionKind compressed = append_compressed(pending_, raw, compression, level);
  const auto stored = static_cast<std::uint32_t>(pending_.size() - begin);
  append_trailer(pending_, begin, {static_cast<std::uint32_t>(raw.size()), compressed, kind}, number_, offset);
  if (pending_.size() >= kWriteBytes) HDB_TRY(write_pending());
  return BlockHandle{offset, stored};
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
