// compaction/merge_iterator.h: several ordered runs of entries as one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/entry_iterator.h"
#include "compaction/version.h"
#include "sstable/read_options.h"
#include "sstable/table_cache.h"

namespace hdb::compaction {

// All entries of all sources in entry order, both ways. Where two sources hold the same key and sequence, both are
// given, the earlier source's first. A source's error ends every move with false until the next seek; status() has it.
// Changing direction costs one seek per source.
std::unique_ptr<EntryIterator> merge(std::vector<std::unique_ptr<EntryIterator>> sources);

// The entries of key tables that are sorted and disjoint (a level but level 0) one after the other; each table is
// opened when the iterator first gets to it. `tables` must outlive it.
std::unique_ptr<EntryIterator> concatenate(sstable::TableCache& tables, std::vector<TableRef> level,
                                           sstable::ReadOptions options = {});

}  // namespace hdb::compaction
