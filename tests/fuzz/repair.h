// tests/fuzz/repair.h: makes the checksums of mutated bytes right again, as far as their lengths make sense, so that a
// fuzzer gets behind them. Written after the formats' descriptions, not with their encoders.
#pragma once

#include "base/bytes.h"
#include "base/ids.h"

namespace hdb::fuzz {

// One batch: its size and checksum (base/batch.h).
void repair_batch(MutableBytes batch) noexcept;

// A log segment file: its header, and each group with its batches (wal/format.h).
void repair_segment(MutableBytes file, const StoreId& store_id, SegmentNumber segment);
// One group at the place, and its batches.
void repair_group(MutableBytes group, const StoreId& store_id, LogPoint at);

// A manifest: its header, and the chain of records (compaction/manifest_format.h).
void repair_manifest(MutableBytes file) noexcept;

// A table: its footer, and every block that properties and indexes lead to (sstable/format.h).
void repair_table(MutableBytes file, FileNumber number);
// The footer alone.
void repair_footer(MutableBytes footer) noexcept;

}  // namespace hdb::fuzz
