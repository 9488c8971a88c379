// sstable/table_reader.h: what both kinds of table have in common: footer, properties, blocks by handle.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "io/env.h"
#include "sstable/block_cache.h"
#include "sstable/format.h"
#include "sstable/read_options.h"

namespace hdb::sstable {

// Thread-safe: immutable after open. Every error names path and offset, and corruption the remedy.
class TableReader {
 public:
  // Reads and checks footer and properties. kCorruption if the file is not the table `number`.
  static Result<std::unique_ptr<TableReader>> open(Env& env, const std::string& path, FileNumber number,
                                                   BlockCache& cache);

  // The block as stored, with its trailer, checked against its place.
  Result<Buffer> read_stored(BlockHandle handle, BlockKind kind) const;
  // The block decompressed, past the cache.
  Result<Buffer> read(BlockHandle handle, BlockKind kind) const;

  // The block from the cache, or read, decoded by `decode(Buffer) -> Result<Block>` and cached.
  template <typename Block, typename Decode>
  Result<std::shared_ptr<const Block>> cached(BlockHandle handle, BlockKind kind, ReadOptions options,
                                              Decode decode) const {
    const BlockKey key{number(), handle.offset, static_cast<std::uint8_t>(kind)};
    if (std::shared_ptr<const void> hit = cache_.find(key))
      return std::static_pointer_cast<const Block>(std::move(hit));
    Result<Block> decoded = decode(HDB_TRY(read(handle, kind)));
    if (!decoded.ok()) return located(handle.offset, decoded.status());
    auto block = std::make_shared<const Block>(std::move(decoded).value());
    if (options.fill_cache) cache_.insert(key, block, block->memory_bytes());
    return std::shared_ptr<const Block>(std::move(block));
  }

  // The error with path, offset and, if it is corruption, the remedy.
  Status located(std::uint64_t offset, const Status& error) const;
  Status damaged(std::uint64_t offset, const std::string& what) const {
    return located(offset, Status::corruption(what));
  }

  const std::string& path() const noexcept { return file_->path(); }
  const RandomAccessFile& file() const noexcept { return *file_; }
  FileNumber number() const noexcept { return footer_.number; }
  const Footer& footer() const noexcept { return footer_; }
  const Properties& properties() const noexcept { return properties_; }
  BlockCache& cache() const noexcept { return cache_; }

 private:
  TableReader(std::unique_ptr<RandomAccessFile> file, BlockCache& cache) : file_(std::move(file)), cache_(cache) {}
  Status load_footer(FileNumber number);

  std::unique_ptr<RandomAccessFile> file_;
  BlockCache& cache_;
  Footer footer_;
  Properties properties_;
};

}  // namespace hdb::sstable
