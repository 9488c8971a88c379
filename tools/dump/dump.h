// tools/dump/dump.h: what hdb-dump does, as a library: shows each kind of file byte by byte, and checks whole stores.
//
// It never writes and never takes the lock, decodes as much as it can, and goes on behind damage where the format lets
// it. It does not use the engine, so that it opens what the engine refuses.
#pragma once

#include <cstdint>
#include <string>

#include "io/env.h"
#include "tools/dump/annotate.h"

namespace hdb::dump {

struct DumpOptions {
  Form form = Form::kAnnotated;
};

// Each shows the whole file. An error is the first damage; what could be decoded before and behind it was shown.
Status dump_log(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink);
Status dump_table(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink);
Status dump_manifest(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink);
Status dump_current(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink);

enum class FileKind : std::uint8_t { kLog, kTable, kManifest, kCurrent };

// By its name, or else by its magic. kInvalidArgument if it is none of a store's files.
Result<FileKind> detect_file_kind(Env& env, const std::string& path);
// dump_log, dump_table, … by detect_file_kind().
Status dump_file(Env& env, const std::string& path, const DumpOptions& options, const Sink& sink);

struct VerifyResult {
  std::uint64_t files = 0;       // checked
  std::uint64_t errors = 0;      // files that are damaged or missing, or of one of the next three kinds
  std::uint64_t newer = 0;       // of these, the files that a newer version wrote: nothing says that they are damaged
  std::uint64_t unreadable = 0;  // of these, the files that the system would not give: likewise
  std::uint64_t unfinished = 0;  // of these, marks of a copy that has not ended: then nothing else was checked
  std::uint64_t orphans = 0;     // files that nothing names: left by a crash, removed by the next open for writing
  // Behind the ends of log and manifest: what a crash took before it was acknowledged as durable.
  std::uint64_t torn_bytes = 0;

  // Of the errors, those that a repair is for: the others say that the store cannot be judged here, or is none yet.
  std::uint64_t damaged() const noexcept { return errors - newer - unreadable - unfinished; }
};

// Reads every byte of a store that its manifest names: CURRENT, the manifest, each table with all blocks and indexes,
// the log by the rules of wal/reader.h. One line per file to `sink`. Errors are counted and shown, not returned;
// kNotFound if `store` holds no store.
Result<VerifyResult> verify_store(Env& env, const std::string& store, const Sink& sink);

}  // namespace hdb::dump
