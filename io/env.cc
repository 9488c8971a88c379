#include "io/env.h"

#include <algorithm>

#include "base/seeded_defect.h"
#include "io/file_name.h"

namespace hdb {

Result<bool> Env::is_within(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory + "/");
}

Status check_outside(Env& env, const std::string& target, const std::string& store) {
  // Either of the two may be a link to another place.
  for (const std::string& part : {store, log_directory(store), table_directory(store)}) {
    if (!HDB_TRY(env.is_within(target, part))) continue;
    return Status::invalid_argument(target + ": is in the store " + store + " itself; choose a directory elsewhere");
  }
  return {};
}

Result<Buffer> read_file(Env& env, const std::string& path, std::uint64_t bytes_max) {
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env.open(path));
  return read_file(*file, bytes_max);
}

Result<Buffer> read_file(const RandomAccessFile& file, std::uint64_t bytes_max) {
  const std::uint64_t bytes = file.size_bytes();
  if (bytes > bytes_max) {
    return Status::corruption(file.path() + ": has " + std::to_string(bytes) + " bytes; at most " +
                              std::to_string(bytes_max) + " were expected");
  }
  Buffer content(static_cast<std::size_t>(bytes));
  HDB_TRY(file.read(0, content));
  return content;
}

namespace {

Status write_file(Env& env, const std::string& path, ByteView content) {
  const std::unique_ptr<WritableFile> file = HDB_TRY(env.create(path));
  HDB_TRY(file->append({&content, 1}));
  HDB_TRY(file->sync());
  return file->close();
}

}  // namespace

Result<std::uint64_t> copy_file(Env& env, const std::string& from, const std::string& to) {
  constexpr std::uint64_t kChunkBytes = 1u << 20;
  const std::unique_ptr<RandomAccessFile> in = HDB_TRY(env.open(from));
  const std::unique_ptr<WritableFile> out = HDB_TRY(env.create(to));
  const std::uint64_t file_bytes = in->size_bytes();
  Buffer chunk;
  for (std::uint64_t done = 0; done < file_bytes; done += chunk.size()) {
    chunk.resize(static_cast<std::size_t>(std::min(kChunkBytes, file_bytes - done)));
    HDB_TRY(in->read(done, chunk));
    const ByteView piece = bytes_of(chunk);
    HDB_TRY(out->append({&piece, 1}));
  }
  if (!HDB_SEEDED(forget_the_sync_of_a_copied_table)) HDB_TRY(out->sync());
  HDB_TRY(out->close());
  return file_bytes;
}

Status replace_file(Env& env, const std::string& path, ByteView content) {
  const std::string temporary = temporary_path(path);
  Status status = write_file(env, temporary, content);
  if (status.ok()) status = env.rename(temporary, path);
  if (!status.ok()) {
    ignore(env.remove(temporary), "the next open removes what is left; the first error is the one to report");
    return status;
  }
  if (HDB_SEEDED(forget_the_sync_after_a_rename)) return {};
  return env.sync_directory(parent_directory(path));
}

}  // namespace hdb
