#include "io/env.h"

#include "base/seeded_defect.h"
#include "io/file_name.h"

namespace hdb {

Result<Buffer> read_file(Env& env, const std::string& path, std::uint64_t bytes_max) {
  const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env.open(path));
  const std::uint64_t bytes = file->size_bytes();
  if (bytes > bytes_max) {
    return Status::corruption(path + ": has " + std::to_string(bytes) + " bytes; at most " + std::to_string(bytes_max) +
                              " were expected");
  }
  Buffer content(static_cast<std::size_t>(bytes));
  HDB_TRY(file->read(0, content));
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
