// Targets of tools/dump: each kind of file, shown whole, as text and as JSON; and a store of such files, salvaged.
#include "compaction/manifest.h"
#include "engine/json.h"
#include "io/file_name.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/samples.h"
#include "tests/fuzz/table_samples.h"
#include "tests/fuzz/target.h"
#include "tests/support/memory_env.h"
#include "tools/dump/dump.h"
#include "tools/dump/salvage.h"

namespace hdb::fuzz {
namespace {

const std::string kStore = kSampleStore;
constexpr FileNumber kSecondTable{2};

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

// The files of a store that may be damaged, in part left out.
struct SalvageInput {
  Buffer table;
  Buffer log;
  Buffer manifest;      // with a CURRENT that names it; empty: neither is there
  Buffer second_table;  // empty: there is none
};

// What is told adds up, and the copy is a sound store of as many positions.
bool salvage(const SalvageInput& input) {
  constexpr std::uint64_t kCopiedLossesMax = 10'000;  // of more records for lost events a copy takes long
  test::MemoryEnv env;
  make_directories(env);
  put_file(env, table_path(kStore, kSampleTable), bytes_of(input.table));
  put_file(env, segment_path(kStore, SegmentNumber(1)), bytes_of(input.log));
  if (!input.manifest.empty()) {
    put_file(env, manifest_path(kStore, FileNumber(50)), bytes_of(input.manifest));
    put_file(env, current_path(kStore), as_bytes(compaction::encode_current(FileNumber(50))));
  }
  if (!input.second_table.empty()) put_file(env, table_path(kStore, kSecondTable), bytes_of(input.second_table));
  std::string told;
  const auto report = dump::salvage_store(env, kStore, {.target = {}, .takes_unproved_keys = true},
                                          [&told](std::string_view line) { told.append(line) += '\n'; });
  HDB_CHECK(report.ok() || contains(report.status().message(), kStore));
  if (!report.ok()) return false;
  HDB_CHECK(report->is_whole() || !told.empty());
  if (report->lost_events() > kCopiedLossesMax) return true;
  std::string told_again;
  const auto copied = dump::salvage_store(env, kStore, {.target = "copy", .takes_unproved_keys = true},
                                          [&told_again](std::string_view line) { told_again.append(line) += '\n'; });
  HDB_CHECK(told_again == told);
  if (!copied.ok()) {
    HDB_CHECK(!env.exists(current_path("copy")).value());
    return false;
  }
  HDB_CHECK(dump::summary_of(copied.value()) == dump::summary_of(report.value()));
  HDB_CHECK(dump::verify_store(env, "copy", [](std::string_view) {}).value().errors == 0);
  const auto state = compaction::recover(env, "copy").value().state;
  HDB_CHECK(state.position_end == report->events + report->lost_events());
  return true;
}

// A byte that says whether there is a manifest, the sizes of the first table and of the log, both, then the manifest or
// a second table.
bool run_salvage(ByteView input) {
  Pieces pieces(input);
  const bool has_manifest = (pieces.byte() & 1) != 0;
  const std::size_t table_bytes = pieces.number();
  const std::size_t log_bytes = pieces.number();
  SalvageInput files{copy_of(pieces.take(table_bytes)), copy_of(pieces.take(log_bytes)), {}, {}};
  (has_manifest ? files.manifest : files.second_table) = copy_of(pieces.rest());
  const bool is_raw_accepted = salvage(files);
  StoreId store_id{};
  if (files.log.size() >= 32) store_id = load<StoreId>(files.log.data() + 16);
  repair_table(files.table, kSampleTable);
  repair_table(files.second_table, kSecondTable);
  repair_segment(files.log, store_id, SegmentNumber(1));
  repair_manifest(files.manifest);
  return salvage(files) || is_raw_accepted;
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

std::vector<Buffer> salvage_seeds() {
  const std::vector<Buffer> tables = table_seeds();
  const Buffer log = dump_log_seeds().front();
  const std::vector<Buffer> manifests = find_target("manifest")->seeds();
  std::vector<Buffer> seeds;
  for (const bool has_manifest : {false, true}) {
    for (std::size_t index = 0; index < tables.size(); index += 2) {
      Buffer input = {std::byte{has_manifest}};
      append_fixed(input, static_cast<std::uint16_t>(tables[index].size()));
      append_fixed(input, static_cast<std::uint16_t>(log.size()));
      append(input, bytes_of(tables[index]));
      append(input, bytes_of(log));
      append(input, bytes_of(has_manifest ? manifests.back() : tables[(index + 1) % tables.size()]));
      seeds.push_back(std::move(input));
    }
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
    {"salvage", &run_salvage, &salvage_seeds},
};

}  // namespace

std::span<const Target> dump_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
