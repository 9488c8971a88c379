// sstable/read_options.h: how a reader of many blocks treats the cache.
#pragma once

namespace hdb::sstable {

struct ReadOptions {
  // A scan that reads every block once (merging, verifying) says false, so as not to drive out what readers use. Blocks
  // that are cached already are used in both cases.
  bool fill_cache = true;
};

}  // namespace hdb::sstable
