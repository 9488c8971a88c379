// sstable/table_writer.h: puts blocks one after the other into a file, and the end under them.
#pragma once

#include <cstdint>
#include <memory>

#include "io/env.h"
#include "sstable/format.h"
#include "sstable/table_settings.h"

namespace hdb::sstable {

// Gathers blocks into large writes. Single-owner.
class TableWriter {
 public:
  TableWriter(std::unique_ptr<WritableFile> file, FileNumber number) : file_(std::move(file)), number_(number) {}

  // Compressed as the settings say, or as it is.
  Result<BlockHandle> add(BlockKind kind, ByteView raw, const TableSettings& settings);
  Result<BlockHandle> add_uncompressed(BlockKind kind, ByteView raw);

  // Properties and footer; syncs and closes the file.
  Result<TableMeta> finish(TableKind kind, const Properties& properties);

  std::uint64_t file_bytes() const noexcept { return written_bytes_ + pending_.size(); }

 private:
  Result<BlockHandle> add(BlockKind kind, ByteView raw, Compression compression, int level);
  Status write(ByteView block, ByteView trailer);
  Status write_pending();

  std::unique_ptr<WritableFile> file_;
  FileNumber number_;
  std::uint64_t written_bytes_ = 0;
  Buffer pending_;     // small blocks, behind what is written
  Buffer compressed_;  // the block being added
};

}  // namespace hdb::sstable
