// sstable/compression.h: zstd and none, for one block at a time.
#pragma once

#include <hdb/options.h>

#include "base/bytes.h"
#include "sstable/format.h"

namespace hdb::sstable {

// Appends `raw` to `to`, compressed if that saves at least an eighth: less is not worth decompressing at every read.
// Thread-safe: each thread has its own zstd context.
CompressionKind append_compressed(Buffer& to, ByteView raw, Compression compression, int level);

// The block whose trailer was accepted, decompressed to exactly raw_bytes.
Result<Buffer> decompress(ByteView stored, const BlockTrailer& trailer);

}  // namespace hdb::sstable
