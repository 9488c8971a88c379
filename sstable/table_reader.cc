#include "sstable/table_reader.h"

#include "io/file_name.h"
#include "sstable/compression.h"

namespace hdb::sstable {

Result<std::unique_ptr<TableReader>> TableReader::open(Env& env, const std::string& path, FileNumber number,
                                                       BlockCache& cache) {
  auto file = HDB_TRY(env.open(path));  // not inside `new`: an early return from there would leak what it allocated
  std::unique_ptr<TableReader> reader(new TableReader(std::move(file), cache));
  HDB_TRY(reader->load_footer(number));
  const Result<Properties> properties = decode_properties(
      bytes_of(HDB_TRY(reader->read(reader->footer_.properties, BlockKind::kProperties))), reader->footer_.kind);
  if (!properties.ok()) return reader->located(reader->footer_.properties.offset, properties.status());
  reader->properties_ = properties.value();
  return reader;
}

Status TableReader::load_footer(FileNumber number) {
  const std::uint64_t file_bytes = file_->size_bytes();
  if (file_bytes < kFooterBytes) {
    return damaged(0, "not an HDB table, or cut short: it has " + std::to_string(file_bytes) + " bytes, a footer " +
                          std::to_string(kFooterBytes));
  }
  const std::uint64_t offset = file_bytes - kFooterBytes;
  std::array<std::byte, kFooterBytes> bytes;
  HDB_TRY(file_->read(offset, bytes));
  const Result<Footer> footer = decode_footer(bytes);
  if (!footer.ok()) return located(offset, footer.status());
  footer_ = footer.value();
  if (footer_.file_bytes != file_bytes) {
    return damaged(offset, "footer says the file has " + std::to_string(footer_.file_bytes) + " bytes, it has " +
                               std::to_string(file_bytes));
  }
  if (footer_.number != number) {
    return damaged(offset, "this is table " + std::to_string(footer_.number.raw()) + " under the name of table " +
                               std::to_string(number.raw()));
  }
  return {};
}

Result<Buffer> TableReader::read_stored(BlockHandle handle, BlockKind kind) const {
  const std::uint64_t end = file_->size_bytes() - kFooterBytes;
  if (handle.offset > end || handle.bytes + kBlockTrailerBytes > end - handle.offset) {
    return damaged(handle.offset, "a " + std::string(block_kind_name(kind)) + " block of " +
                                      std::to_string(handle.bytes) + " bytes would end behind the footer's begin");
  }
  Buffer block(handle.bytes + kBlockTrailerBytes);
  HDB_TRY(file_->read(handle.offset, block));
  const Result<BlockTrailer> trailer = decode_trailer(bytes_of(block), number(), handle.offset);
  if (!trailer.ok()) return located(handle.offset, trailer.status());
  if (trailer->kind != kind) {
    return damaged(handle.offset, "is a " + std::string(block_kind_name(trailer->kind)) + " block, not a " +
                                      std::string(block_kind_name(kind)) + " block");
  }
  return block;
}

Result<Buffer> TableReader::read(BlockHandle handle, BlockKind kind) const {
  Buffer block = HDB_TRY(read_stored(handle, kind));
  const std::byte* const trailer_at = block.data() + handle.bytes;
  const BlockTrailer trailer{load<std::uint32_t>(trailer_at), static_cast<CompressionKind>(trailer_at[4]), kind};
  if (trailer.compression == CompressionKind::kNone) {
    block.resize(handle.bytes);
    return block;
  }
  Result<Buffer> raw = decompress(bytes_of(block).first(handle.bytes), trailer);
  if (!raw.ok()) return located(handle.offset, raw.status());
  return raw;
}

Status TableReader::located(std::uint64_t offset, const Status& error) const {
  std::string message = path() + " at offset " + std::to_string(offset) + ": " + std::string(error.message());
  if (error.code() == StatusCode::kCorruption) {
    message += "; run 'hdb-dump verify " + parent_directory(parent_directory(path())) + "'";
  }
  return Status::error(error.code(), std::move(message));
}

}  // namespace hdb::sstable
