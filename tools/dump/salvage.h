// tools/dump/salvage.h: what of a damaged store can be proved intact, and a new store made of it.
//
// An event is taken if the checksum of its block or batch is right, from wherever it is: each keeps its position, and a
// lost one leaves a record of its own there (RecordKind::kLost). A version of a key is taken if its checksum is right
// and no newer version of the key can have been in what is damaged.
//
// Where the log lost changes, nobody knows of which keys: proved is only what it changed since. Where it lost its end,
// nothing of keyspaces is; nor without a sound manifest (survey_store.h), since nobody knows which tables were live,
// and an old one may hold values that were erased since.
#pragma once

#include <string>

#include "io/env.h"
#include "tools/dump/annotate.h"
#include "tools/dump/salvage_report.h"

namespace hdb::dump {

struct SalvageOptions {
  std::string target;                // a new directory for the copy; empty: only tell
  bool takes_unproved_keys = false;  // also what may be older than it was, or erased since
};

// Reads the store and writes nothing in it. Each damage and each loss is one line to `sink`. With a target, that
// becomes a store of what is intact: with all of it on the device and verified, or, after an error, with no file
// CURRENT. kNotFound if there is no store, kBusy if it is open for writing, kUnsupported if a newer version wrote part
// of it, kInvalidArgument if it is a copy that has not ended, or if the target holds anything but what the same repair
// left there when it was interrupted, and what nobody wrote to since.
Result<SalvageReport> salvage_store(Env& env, const std::string& store, const SalvageOptions& options,
                                    const Sink& sink);

}  // namespace hdb::dump
