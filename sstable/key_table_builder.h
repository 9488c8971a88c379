// sstable/key_table_builder.h: sorted entries in, finished table file out.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/entry_iterator.h"
#include "io/env.h"
#include "sstable/table_meta.h"
#include "sstable/table_settings.h"

namespace hdb::sstable {

class BlockBuilder;
class TableWriter;

// Single-owner. After any error, or when destroyed before finish(), the file is unfinished: the caller removes it.
// Memory: one block, the index, and 8 bytes per distinct key for the filter.
class KeyTableBuilder {
 public:
  // `number` is the number in the file's name: a table is valid only under its own.
  KeyTableBuilder(std::unique_ptr<WritableFile> file, FileNumber number, const TableSettings& settings);
  ~KeyTableBuilder();
  KeyTableBuilder(KeyTableBuilder&&) noexcept;

  // Strictly ascending in entry order (key up, sequence down): kCorruption otherwise, as such entries can only come
  // from damaged tables. The bytes are copied.
  Status add(const Entry& entry);

  // Writes index, filter and footer, syncs and closes the file. The caller syncs the directory. At least one entry
  // must have been added. Call once.
  Result<TableMeta> finish();

  std::uint64_t entry_count() const noexcept { return meta_.entry_count; }
  // What the file would have now, without filter and index: for splitting outputs by size. Never decreases.
  std::uint64_t file_bytes() const noexcept;

 private:
  bool is_in_order(const Entry& entry, std::size_t shared) const noexcept;
  Status finish_block();

  TableSettings settings_;
  TableMeta meta_;
  std::unique_ptr<TableWriter> writer_;
  std::unique_ptr<BlockBuilder> block_;
  std::unique_ptr<BlockBuilder> index_;
  std::vector<std::uint64_t> key_hashes_;  // of distinct keys
  Buffer last_key_;
  SequenceNumber last_sequence_;
  Buffer scratch_;
  std::uint64_t block_count_ = 0;
  std::uint64_t raw_bytes_ = 0;
};

}  // namespace hdb::sstable
