// Each input of the corpus through its target, without a fuzzer; each input that an encoder wrote is still accepted.
// HDB_UPDATE_CORPUS=1 writes those anew.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "tests/fuzz/target.h"

namespace hdb::fuzz {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSeedPrefix = "seed-";  // of what encoders wrote; other inputs were found by fuzzing

constexpr std::size_t kInputBytesMax = 20'480;  // as in scripts/fuzz.py: of longer ones a fuzzer takes the beginning

fs::path folder_of(const Target& target) {
  return fs::path(HDB_FUZZ_CORPUS) / target.name;
}

void write_seeds(const Target& target) {
  fs::create_directories(folder_of(target));
  for (const auto& entry : fs::directory_iterator(folder_of(target))) {
    if (entry.path().filename().string().starts_with(kSeedPrefix)) fs::remove(entry.path());
  }
  const std::vector<Buffer> seeds = target.seeds();
  for (std::size_t index = 0; index < seeds.size(); ++index) {
    std::ofstream file(folder_of(target) / (std::string(kSeedPrefix) + std::to_string(index)), std::ios::binary);
    file << as_text(bytes_of(seeds[index]));
  }
}

// Exactly as long as the file, so that a sanitizer sees what reads beyond it.
std::pair<std::unique_ptr<std::byte[]>, std::size_t> read_exactly(const fs::path& path) {
  const std::size_t size = fs::file_size(path);
  auto bytes = std::make_unique_for_overwrite<std::byte[]>(size);
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(bytes.get()), static_cast<std::streamsize>(size));
  return {std::move(bytes), size};
}

}  // namespace

TEST_CASE(
    "every input of the corpus is refused or obeys what its decoder promises, and what encoders wrote is accepted") {
  const bool is_update = std::getenv("HDB_UPDATE_CORPUS") != nullptr;
  for (const Target& target : all_targets()) {
    CAPTURE(target.name);
    if (is_update) write_seeds(target);
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(folder_of(target))) paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    std::size_t seeds = 0;
    for (const fs::path& path : paths) {
      CAPTURE(path);
      std::fprintf(stderr, "%s\n", path.c_str());  // the last one named is the one that aborts
      const auto [bytes, size] = read_exactly(path);
      CHECK(size <= kInputBytesMax);
      const bool is_accepted = target.run({bytes.get(), size});
      if (!path.filename().string().starts_with(kSeedPrefix)) continue;
      ++seeds;
      CHECK_MESSAGE(is_accepted, "a format changed: write the corpus anew with HDB_UPDATE_CORPUS=1");
    }
    CHECK(seeds == target.seeds().size());
  }
}

TEST_CASE("the corpus has a folder for each target, and no other") {
  std::size_t folders = 0;
  for (const auto& entry : fs::directory_iterator(HDB_FUZZ_CORPUS)) {
    CHECK_MESSAGE(find_target(entry.path().filename().string()) != nullptr, entry.path());
    ++folders;
  }
  CHECK(folders == all_targets().size());
}

}  // namespace hdb::fuzz
