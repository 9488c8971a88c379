// sstable/verify.h: reads a whole table and checks every statement it makes.
#pragma once

#include <string>

#include "io/env.h"
#include "sstable/table_meta.h"

namespace hdb::sstable {

// Checks that the blocks tile the file without gaps; every checksum; key order, positions, commit times, zone maps and
// counts; that every record's terms and id, and nothing else, are found through the attribute index; that filters deny
// nothing that is there; and, if `expected` is not null, that the table is what the manifest says it is. The first
// finding is the error: kCorruption names path and offset. Memory: as building the table.
Status verify_table(Env& env, const std::string& path, FileNumber number, const TableMeta* expected);

}  // namespace hdb::sstable
