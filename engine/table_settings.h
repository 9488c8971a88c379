// engine/table_settings.h: what the layers below need of the options.
#pragma once

#include <hdb/options.h>

#include "compaction/picker.h"
#include "sstable/table_settings.h"

namespace hdb {

// Flushes must keep up with appends: the fastest level of the same compression.
sstable::TableSettings flush_settings(const Options& options);
sstable::TableSettings merge_settings(const Options& options);
compaction::PickerSettings picker_settings(const Options& options);

}  // namespace hdb
