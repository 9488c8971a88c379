// Targets of compaction/ and of file names: edits, whole manifests, CURRENT.
#include <algorithm>

#include "compaction/manifest.h"
#include "io/file_name.h"
#include "tests/fuzz/repair.h"
#include "tests/fuzz/samples.h"
#include "tests/fuzz/target.h"
#include "tests/support/memory_env.h"

namespace hdb::fuzz {
namespace {

using namespace compaction;

constexpr FileNumber kManifest{50};  // above all that a sample names
const std::string kStore = kSampleStore;

TableRef event_table(std::uint64_t number, Position begin, std::uint64_t count) {
  sstable::TableMeta meta;
  meta.number = FileNumber(number);
  meta.file_bytes = 5000;
  meta.entry_count = count;
  meta.position_begin = begin;
  meta.position_end = begin + count;
  meta.time_max = meta.commit_time_max = Timestamp(std::chrono::seconds(1'700'000'000));
  return std::make_shared<const sstable::TableMeta>(meta);
}

TableRef key_table(std::uint64_t number, std::string_view smallest, std::string_view largest) {
  sstable::TableMeta meta;
  meta.number = FileNumber(number);
  meta.kind = sstable::TableKind::kKeys;
  meta.file_bytes = 700;
  meta.entry_count = 9;
  meta.sequence_min = SequenceNumber(11 * number);
  meta.sequence_max = SequenceNumber(11 * number + 10);
  meta.smallest_key = copy_of(smallest);
  meta.largest_key = copy_of(largest);
  return std::make_shared<const sstable::TableMeta>(meta);
}

VersionEdit sample_edit() {
  VersionEdit edit;
  edit.epoch = Epoch(1);
  edit.log_floor = LogPoint{SegmentNumber(3), 128};
  edit.is_log_open = true;
  edit.next_file_number = FileNumber(12);
  edit.next_sequence = SequenceNumber(200);
  edit.position_end = 30;
  edit.last_commit_time = Timestamp(std::chrono::seconds(1'700'000'000));
  edit.keyspaces = {{1, "hdb.ingest"}, {2, "offsets"}};
  edit.added = {{kEventLevel, event_table(5, 0, 10)},
                {kMergedEventLevel, event_table(6, 10, 20)},
                {0, key_table(7, "aaaa-key", "zzzz-key")},
                {1, key_table(4, "aaaa", "bbbb")}};
  return edit;
}

bool run_manifest_edit(ByteView input) {
  const auto edit = decode_edit(input);
  if (!edit.ok()) return false;
  const Buffer encoded = encode_edit(edit.value());
  const auto again = decode_edit(bytes_of(encoded));
  HDB_CHECK(again.ok() && encode_edit(again.value()) == encoded);
  const auto state = apply(ManifestState{}, edit.value());
  if (!state.ok()) return true;
  HDB_CHECK(state->version->check().ok());
  const auto same = apply(ManifestState{}, edit_of(state.value()));
  HDB_CHECK(same.ok() && *same->version == *state->version && same->keyspaces == state->keyspaces);
  return true;
}

std::vector<Buffer> manifest_edit_seeds() {
  VersionEdit moved;
  moved.removed = {FileNumber(7)};
  moved.added = {{2, key_table(7, "aaaa-key", "zzzz-key")}};
  moved.is_copy = true;
  return {encode_edit(sample_edit()), encode_edit(moved)};
}

bool is_same_state(const ManifestState& a, const ManifestState& b) {
  return encode_edit(edit_of(a)) == encode_edit(edit_of(b)) && a.store_id == b.store_id;
}

bool recover_from(ByteView manifest) {
  test::MemoryEnv env;
  make_directories(env);
  put_file(env, manifest_path(kStore, kManifest), manifest);
  put_file(env, current_path(kStore), as_bytes(encode_current(kManifest)));
  const auto recovered = recover(env, kStore);
  if (!recovered.ok()) {
    HDB_CHECK(contains(recovered.status().message(), "store/"));
    return false;
  }
  const ManifestState& state = recovered->state;
  HDB_CHECK(recovered->manifest == kManifest && recovered->torn_bytes <= manifest.size());
  HDB_CHECK(state.version->check().ok());
  for (const TableRef& table : state.version->all_tables()) HDB_CHECK(table->number < state.next_file_number);
  // An open for writing carries the state over.
  if (state.next_file_number.raw() > UINT64_MAX / 2) return true;  // as no store of this world
  std::uint64_t number = std::max(state.next_file_number.raw(), kManifest.raw() + 1);
  const auto made =
      Manifest::create(env, kStore, state, recovered->edit_number, [&number] { return FileNumber(number++); });
  HDB_CHECK(made.ok());
  HDB_CHECK((*made)->append(VersionEdit{}).ok());
  const auto again = recover(env, kStore);
  HDB_CHECK(again.ok() && again->torn_bytes == 0);
  HDB_CHECK(is_same_state((*made)->state(), again->state));
  return true;
}

bool run_manifest(ByteView input) {
  const bool is_raw_accepted = recover_from(input);
  Buffer bytes = copy_of(input);
  repair_manifest(bytes);
  return recover_from(bytes_of(bytes)) || is_raw_accepted;
}

std::vector<Buffer> manifest_seeds() {
  test::MemoryEnv env;
  make_directories(env);
  ManifestState state = apply(ManifestState{}, sample_edit()).value();
  state.store_id = {1, 2, 3};
  std::vector<Buffer> seeds;
  const auto make = [&](ManifestState from, bool has_edits) {
    const auto manifest = Manifest::create(env, kStore, std::move(from), 0, [] { return kManifest; }).value();
    if (has_edits) {
      VersionEdit edit;
      edit.removed = {FileNumber(7)};
      edit.added = {{2, key_table(7, "aaaa-key", "zzzz-key")}};
      edit.next_sequence = SequenceNumber(300);
      HDB_CHECK(manifest->append(edit).ok());
      HDB_CHECK(manifest->append(VersionEdit{}).ok());
    }
    seeds.push_back(read_file(env, manifest_path(kStore, kManifest), 1u << 20).value());
  };
  ManifestState fresh;
  fresh.store_id = {9};
  make(fresh, false);
  make(state, true);
  return seeds;
}

bool run_current(ByteView input) {
  const auto number = decode_current(input);
  if (number.ok()) HDB_CHECK(encode_current(number.value()) == as_text(input));
  // Whatever name it is, it is built again as it was.
  const std::string_view name = as_text(input).substr(0, as_text(input).find(' '));
  if (const auto manifest = parse_manifest_name(name)) {
    HDB_CHECK(manifest_name(*manifest) == name);
    HDB_CHECK(decode_current(as_bytes(encode_current(*manifest))).value() == *manifest);
  }
  const auto segment = parse_segment_name(name);
  if (segment) HDB_CHECK(segment_name(*segment) == name);
  const auto table = parse_table_name(name);
  if (table) HDB_CHECK(table_name(*table) == name);
  return number.ok() || segment || table;
}

std::vector<Buffer> current_seeds() {
  return {copy_of(encode_current(FileNumber(7))), copy_of(encode_current(FileNumber(12'345'678))),
          copy_of(segment_name(SegmentNumber(12))), copy_of(table_name(FileNumber(1'000'000)))};
}

constexpr Target kTargets[] = {
    {"manifest_edit", &run_manifest_edit, &manifest_edit_seeds},
    {"manifest", &run_manifest, &manifest_seeds},
    {"current", &run_current, &current_seeds},
};

}  // namespace

std::span<const Target> manifest_targets() noexcept {
  return kTargets;
}

}  // namespace hdb::fuzz
