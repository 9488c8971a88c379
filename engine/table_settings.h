// engine/table_settings.h: what the layers below need of the options.
#pragma once

#include <hdb/options.h>

#include "compaction/picker.h"
#include "sstable/table_settings.h"

namespace hdb {

// Of the same compression, at fast levels: flushes must keep up with appends. Event tables are rewritten by a merge;
// tables of keys may stay as they are flushed, moved from level to level.
sstable::TableSettings event_flush_settings(const Options& options);
sstable::TableSettings key_flush_settings(const Options& options);
sstable::TableSettings merge_settings(const Options& options);
compaction::PickerSettings picker_settings(const Options& options);

}  // namespace hdb
