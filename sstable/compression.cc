#include "sstable/compression.h"

#include <zstd.h>
#include <zstd_errors.h>
#include <algorithm>
#include <memory>
#include <new>

#include "base/batch.h"
#include "base/record.h"

namespace hdb::sstable {

namespace {

// The largest item behind a block of the largest block_bytes.
static_assert(std::max(kRecordBytesMax, kKeyBytesMax + kValueBytesMax) + (4u << 20) < kCompressedBlockBytesMax);

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

// A context costs more to make than a block to compress.
ZSTD_CCtx& compression_context() {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context;
  if (context == nullptr) context.reset(ZSTD_createCCtx());
  if (context == nullptr) throw std::bad_alloc();
  return *context;
}

ZSTD_DCtx& decompression_context() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context;
  if (context == nullptr) context.reset(ZSTD_createDCtx());
  if (context == nullptr) throw std::bad_alloc();
  return *context;
}

}  // namespace

CompressionKind append_compressed(Buffer& to, ByteView raw, Compression compression, int level) {
  if (compression == Compression::kZstd && raw.size() <= kCompressedBlockBytesMax) {
    const std::size_t begin = to.size();
    to.resize(begin + ZSTD_compressBound(raw.size()));
    const std::size_t bytes =
        ZSTD_compressCCtx(&compression_context(), to.data() + begin, to.size() - begin, raw.data(), raw.size(), level);
    if (ZSTD_getErrorCode(bytes) == ZSTD_error_memory_allocation) throw std::bad_alloc();
    HDB_CHECK(ZSTD_isError(bytes) == 0);  // the destination is large enough; zstd takes any level as the nearest it has
    if (bytes <= raw.size() - raw.size() / 8) {
      to.resize(begin + bytes);
      return CompressionKind::kZstd;
    }
    to.resize(begin);
  }
  append(to, raw);
  return CompressionKind::kNone;
}

Result<Buffer> decompress(ByteView stored, const BlockTrailer& trailer) {
  if (trailer.compression == CompressionKind::kNone) return Buffer(stored.begin(), stored.end());
  if (ZSTD_getFrameContentSize(stored.data(), stored.size()) != trailer.raw_bytes) {
    return Status::corruption("zstd frame and block trailer differ on the decompressed size");
  }
  Buffer raw(trailer.raw_bytes);
  const std::size_t bytes =
      ZSTD_decompressDCtx(&decompression_context(), raw.data(), raw.size(), stored.data(), stored.size());
  if (ZSTD_getErrorCode(bytes) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  if (ZSTD_isError(bytes) != 0) return Status::corruption(std::string("zstd: ") + ZSTD_getErrorName(bytes));
  if (bytes != raw.size()) {
    return Status::corruption("block decompresses to " + std::to_string(bytes) + " bytes, not " +
                              std::to_string(raw.size()));
  }
  return raw;
}

}  // namespace hdb::sstable
