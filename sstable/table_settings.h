// sstable/table_settings.h: what a table builder is told about size and speed.
#pragma once

#include <cstdint>

#include <hdb/options.h>

namespace hdb::sstable {

struct TableSettings {
  std::uint32_t block_bytes = 32u << 10;  // uncompressed bytes at which a data block ends; one item may exceed it
  Compression compression = Compression::kZstd;
  int level = 3;                           // zstd's, [-7, 19] without 0; not read without compression
  std::uint32_t filter_bits_per_key = 10;  // 0: no filter
  FileWrites writes = FileWrites::kCached;
};

}  // namespace hdb::sstable
