// Targets of tools/dump: each kind of file, shown whole, as text and as JSON.
#include "engine/json.h"
#include "io/file_name.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/samples.h"
#include "tests/fuzz/table_samples.h"
#include "tests/fuzz/target.h"
#include "tests/support/memory_env.h"
#include "tools/dump/dump.h"

namespace hdb::fuzz {
namespace {

const std::string kStore = kSampleStore;

// Whatever the bytes are, each line is one line, and in JSON an object.
bool dump(const std::string& path, ByteView bytes) {
  test::MemoryEnv env;
  make_directories(env);
  put_file(env, path, bytes);
  std::uint64_t lines = 0;
  const auto count_line = [&lines](std::string_view line) {
    HDB_CHECK(!contains(line, "\n"));
    ++lines;
  };
  const Status shown = dump::dump_file(env, path, {}, count_line);
  HDB_CHECK(shown.ok() || contains(shown.message(), path));
  HDB_CHECK(!shown.ok() || lines > 0);
  const Status json = dump::dump_file(env, path, {.form = dump::Form::kJsonLines}, [](std::string_view line) {
    HDB_CHECK(!line.empty() && check_metadata(line).ok());
  });
  HDB_CHECK(json.code() == shown.code() && json.message() == shown.message());
  return shown.ok();
}

bool run_dump_log(ByteView input) {
  const std::string path = segment_path(kStore, SegmentNumber(1));
  const bool is_raw_accepted = dump(path, input);
  Buffer bytes = copy_of(input);
  StoreId store_id{};
  if (bytes.size() >= 32) store_id = load<StoreId>(bytes.data() + 16);  // a dump takes it from the header
  repair_segment(bytes, store_id, SegmentNumber(1));
  return dump(path, bytes_of(bytes)) || is_raw_accepted;
}

bool run_dump_table(ByteView input) {
  const std::string path = table_path(kStore, kSampleTable);
  const bool is_raw_accepted = dump(path, input);
  Buffer bytes = copy_of(input);
  repair_table(bytes, kSampleTable);
  return dump(path, bytes_of(bytes)) || is_raw_accepted;
}

bool run_dump_manifest(ByteView input) {
  const std::string path = manifest_path(kStore, FileNumber(50));
  const bool is_raw_accepted = dump(path, input) || dump(current_path(kStore), input);
  Buffer bytes = copy_of(input);
  repair_manifest(bytes);
  return dump(path, bytes_of(bytes)) || is_raw_accepted;
}

std::vector<Buffer> dump_log_seeds() {
  std::vector<Buffer> seeds;
  // The files behind the sizes of the target that replays them: here they are one file, of which the first is shown.
  for (const Buffer& input : find_target("wal_replay")->seeds()) {
    const auto files = std::to_integer<std::size_t>(input[1]);
    if (files == 0) seeds.emplace_back(input.begin() + 2, input.end());
  }
  return seeds;
}

std::vector<Buffer> dump_manifest_seeds() {
  std::vector<Buffer> seeds = find_target("manifest")->seeds();
  seeds.push_back(find_target("current")->seeds()[0]);
  return seeds;
}

constexpr Target kTargets[] = {
    {"dump_log", &run_dump_log, &dump_log_seeds},
    {"dump_table", &run_dump_table, &table_seeds},
    {"dump_manifest", &run_dump_manifest, &dump_manifest_seeds},
};

}  // namespace

std::span<const Target> dump_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
