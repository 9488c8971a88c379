#include "tests/support/file_contents.h"

#include <random>

#include <doctest/doctest.h>

namespace hdb::test {

Buffer pattern(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Buffer bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 255 + 1);
  return bytes;
}

void write_whole(Env& env, const std::string& path, ByteView content, bool is_synced) {
  const auto file = env.create(path);
  REQUIRE_MESSAGE(file.ok(), file.status().message());
  REQUIRE(file.value()->append({&content, 1}).ok());
  if (is_synced) REQUIRE(file.value()->sync().ok());
  REQUIRE(file.value()->close().ok());
}

std::string text_of(Env& env, const std::string& path) {
  const Result<Buffer> content = read_file(env, path, 1u << 30);
  REQUIRE_MESSAGE(content.ok(), content.status().message());
  return std::string(as_text(content.value()));
}

Status write_log(LogFile& log, std::uint64_t offset, ByteView piece, bool is_durable) {
  const LogFile::Ticket ticket = HDB_TRY(log.submit(offset, {&piece, 1}, is_durable));
  const std::uint64_t written = HDB_TRY(log.wait(ticket));
  CHECK(written == piece.size());
  return {};
}

}  // namespace hdb::test
