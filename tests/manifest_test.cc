// The manifest: what it recovers is what was acknowledged, whatever the disk does.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "compaction/manifest.h"
#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/test_run.h"

namespace hdb::compaction {
namespace {

using hdb::test::MemoryEnv;
using Random = std::mt19937_64;

const std::string kStore = "/store";
const StoreId kStoreId = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

std::uint64_t below(Random& random, std::uint64_t bound) {
  return random() % bound;
}

Buffer key_of(std::uint32_t number, std::size_t bytes = 4) {
  Buffer key(bytes);
  store_be32(key.data(), number);
  return key;
}

Timestamp time_of(std::uint64_t ns) {
  return Timestamp(std::chrono::nanoseconds(static_cast<std::int64_t>(ns)));
}

TableRef event_table(FileNumber number, Position begin, Position end, Random& random) {
  sstable::TableMeta meta;
  meta.number = number;
  meta.kind = sstable::TableKind::kEvents;
  meta.file_bytes = random() >> below(random, 60);
  meta.entry_count = end - begin;
  meta.position_begin = begin;
  meta.position_end = end;
  meta.time_min = time_of(random() >> 1);
  meta.time_max = time_of(random() >> 1);
  meta.commit_time_min = time_of(random() >> 1);
  meta.commit_time_max = time_of(random() >> 1);
  return std::make_shared<const sstable::TableMeta>(meta);
}

TableRef key_table(FileNumber number, std::uint64_t sequence, Random& random, std::size_t key_bytes) {
  sstable::TableMeta meta;
  meta.number = number;
  meta.kind = sstable::TableKind::kKeys;
  meta.file_bytes = 1 + below(random, 100000);
  meta.entry_count = 1 + below(random, 1000);
  meta.sequence_min = SequenceNumber(sequence);
  meta.sequence_max = SequenceNumber(sequence + 9);
  const auto smallest = static_cast<std::uint32_t>(below(random, 1000));
  meta.smallest_key = key_of(smallest);
  meta.largest_key = key_of(smallest + static_cast<std::uint32_t>(below(random, 1000)), key_bytes);
  return std::make_shared<const sstable::TableMeta>(meta);
}

// An edit that fits `state`, of which every part may be there or not.
VersionEdit random_edit(Random& random, const ManifestState& state, std::size_t key_bytes) {
  VersionEdit edit;
  std::uint64_t number = state.next_file_number.raw();
  if (below(random, 4) == 0) edit.epoch = Epoch(state.epoch.raw() + below(random, 3));
  if (below(random, 3) == 0) edit.log_floor = LogPoint{state.log_floor.segment.next(), below(random, 1000000)};
  if (below(random, 4) == 0) edit.is_log_open = below(random, 2) == 0;
  if (below(random, 4) == 0) edit.is_copy = below(random, 2) == 0;
  if (below(random, 4) == 0)
    edit.last_commit_time = state.last_commit_time + std::chrono::nanoseconds(below(random, 1u << 30));
  if (below(random, 5) == 0) {
    const auto id = static_cast<std::uint32_t>(state.keyspaces.size() + 1);
    edit.keyspaces.push_back({id, "space-" + std::to_string(id)});
  }
  std::uint64_t sequence = state.next_sequence.raw();
  if (below(random, 2) == 0) {
    edit.added.push_back({0, key_table(FileNumber(number++), sequence, random, key_bytes)});
    sequence += 10;
  }
  if (below(random, 2) == 0) {
    const Position end = state.position_end + 1 + below(random, 1000);
    edit.added.push_back({kEventLevel, event_table(FileNumber(number++), state.position_end, end, random)});
    edit.position_end = end;
  }
  if (sequence != state.next_sequence.raw()) edit.next_sequence = SequenceNumber(sequence);
  const auto& level0 = state.version->level(0);
  if (level0.size() > 4) edit.removed.push_back(level0.back()->number);
  const auto& events = state.version->event_tables();
  if (events.size() > 6 && below(random, 3) == 0) {
    const TableRef merged =
        event_table(FileNumber(number++), events[1]->position_begin, events[3]->position_end, random);
    for (std::size_t index = 1; index <= 3; ++index) edit.removed.push_back(events[index]->number);
    edit.added.push_back({kMergedEventLevel, merged});
  }
  edit.next_file_number = FileNumber(number);
  return edit;
}

std::string fingerprint(const ManifestState& state) {
  // The manifest takes file numbers of its own.
  VersionEdit edit = edit_of(state);
  edit.next_file_number.reset();
  const Buffer bytes = encode_edit(edit);
  return std::string(as_text(bytes_of(bytes))) + std::string(state.store_id.begin(), state.store_id.end());
}

ManifestState empty_state() {
  ManifestState state;
  state.store_id = kStoreId;
  return state;
}

// Counts up, beyond what the manifest's state already has.
struct Numbers {
  std::uint64_t next = 1;
  FileNumber operator()() { return FileNumber(next++); }
};

Result<std::unique_ptr<Manifest>> open_manifest(Env& env, Numbers& numbers) {
  HDB_TRY(env.create_directory(kStore));
  ManifestState state = empty_state();
  std::uint64_t edit_number = 0;
  const Result<Recovered> recovered = recover(env, kStore);
  if (recovered.ok()) {
    state = recovered->state;
    edit_number = recovered->edit_number;
  } else if (recovered.status().code() != StatusCode::kNotFound) {
    return recovered.status();
  }
  numbers.next = std::max(numbers.next, state.next_file_number.raw());
  return Manifest::create(env, kStore, std::move(state), edit_number, [&numbers] { return numbers(); });
}

// The edit takes its file numbers from the same source as the manifest.
Status append_random(Manifest& manifest, Random& random, Numbers& numbers, std::size_t key_bytes,
                     std::vector<ManifestState>& attempted) {
  ManifestState state = manifest.state();
  state.next_file_number = FileNumber(std::max(numbers.next, state.next_file_number.raw()));
  const VersionEdit edit = random_edit(random, state, key_bytes);
  numbers.next = std::max(numbers.next, edit.next_file_number->raw());
  auto next = apply(manifest.state(), edit);
  REQUIRE(next.ok());
  attempted.push_back(std::move(next).value());
  return manifest.append(edit);
}

void write_file(Env& env, const std::string& path, ByteView content) {
  auto file = env.create(path);
  REQUIRE(file.ok());
  REQUIRE(file.value()->append({&content, 1}).ok());
  REQUIRE(file.value()->sync().ok());
  REQUIRE(file.value()->close().ok());
}

Buffer read_all(Env& env, const std::string& path) {
  auto content = read_file(env, path, 1u << 30);
  REQUIRE(content.ok());
  return std::move(content).value();
}

bool mentions(const Status& status, const std::string& text) {
  return std::string(status.message()).find(text) != std::string::npos;
}

TEST_CASE("an edit decodes to what was encoded, and encodes to the same bytes again") {
  for (std::uint64_t seed = 1; seed <= test::scaled(300); ++seed) {
    CAPTURE(seed);
    Random random(seed);
    ManifestState state = empty_state();
    StateReplay replay;
    for (int step = 0; step < 8; ++step) {
      const VersionEdit edit = random_edit(random, state, 4 + below(random, 40));
      REQUIRE(replay.apply(edit).ok());
      const Buffer bytes = encode_edit(edit);
      const auto decoded = decode_edit(bytes_of(bytes));
      REQUIRE(decoded.ok());
      CHECK(encode_edit(decoded.value()) == bytes);
      const auto a = apply(state, edit);
      const auto b = apply(state, decoded.value());
      REQUIRE(a.ok());
      REQUIRE(b.ok());
      CHECK(*a->version == *b->version);
      state = a.value();
    }
    const auto rebuilt = apply(Version(), edit_of(*state.version));
    REQUIRE(rebuilt.ok());
    CHECK(rebuilt.value() == *state.version);
    const auto replayed = std::move(replay).finish();
    REQUIRE(replayed.ok());
    CHECK(*replayed->version == *state.version);
    CHECK(encode_edit(edit_of(replayed.value())) == encode_edit(edit_of(state)));
  }
}

TEST_CASE("mutated bytes of an edit decode to an error or to another edit, never out of bounds") {
  std::uint64_t rejected = 0;
  for (std::uint64_t seed = 1; seed <= test::scaled(2000); ++seed) {
    Random random(seed);
    ManifestState state = empty_state();
    Buffer bytes = encode_edit(random_edit(random, state, 12));
    for (std::uint64_t flips = 1 + below(random, 4); flips > 0 && !bytes.empty(); --flips) {
      bytes[below(random, bytes.size())] = static_cast<std::byte>(random());
    }
    if (below(random, 3) == 0) bytes.resize(below(random, bytes.size() + 1));
    // An exact copy on the heap lets the address sanitizer see a read beyond the end.
    const std::vector<std::byte> exact(bytes.begin(), bytes.end());
    const auto decoded = decode_edit(bytes_of(exact));
    if (decoded.ok()) {
      const auto again = decode_edit(bytes_of(encode_edit(decoded.value())));
      CHECK(again.ok());
    } else {
      ++rejected;
    }
  }
  CHECK(rejected > 0);
}

TEST_CASE("an edit that does not fit the state is refused and changes nothing") {
  Random random(1);
  MemoryEnv env;
  Numbers numbers;
  auto manifest = open_manifest(env, numbers);
  REQUIRE(manifest.ok());
  VersionEdit first;
  first.added.push_back({kEventLevel, event_table(numbers(), 0, 10, random)});
  first.position_end = 10;
  first.keyspaces.push_back({1, "a"});
  REQUIRE(manifest.value()->append(first).ok());
  const std::string before = fingerprint(manifest.value()->state());

  VersionEdit gap;
  gap.added.push_back({kEventLevel, event_table(numbers(), 11, 12, random)});
  VersionEdit twice;
  twice.added = first.added;
  VersionEdit unknown;
  unknown.removed.push_back(FileNumber(999));
  VersionEdit backward;
  backward.position_end = 9;
  VersionEdit same_name;
  same_name.keyspaces.push_back({2, "a"});
  VersionEdit bad_level;
  bad_level.added.push_back({kLevels, key_table(numbers(), 1, random, 4)});
  for (const VersionEdit& edit : {gap, twice, unknown, backward, same_name, bad_level}) {
    const Status status = manifest.value()->append(edit);
    CHECK(status.code() == StatusCode::kCorruption);
    CHECK(fingerprint(manifest.value()->state()) == before);
    StateReplay replay;
    REQUIRE(replay.apply(first).ok());
    const Status applied = replay.apply(edit);
    CHECK((applied.ok() ? std::move(replay).finish().status() : applied).code() == StatusCode::kCorruption);
  }
  CHECK(fingerprint(recover(env, kStore)->state) == before);
}

TEST_CASE("recovery gives what was appended, over reopening and rewriting") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    Random random(seed);
    MemoryEnv env;
    Numbers numbers;
    std::vector<ManifestState> states;
    FileNumber last_file;
    int files = 0;
    for (int open = 0; open < 3; ++open) {
      auto manifest = open_manifest(env, numbers);
      REQUIRE(manifest.ok());
      for (int step = 0; step < 40; ++step) {
        // Long keys make the manifest grow over its limit within the test.
        REQUIRE(append_random(*manifest.value(), random, numbers, 100'000, states).ok());
        if (manifest.value()->number() != last_file) ++files;
        last_file = manifest.value()->number();
        if (step % 8 != 0) continue;
        const auto recovered = recover(env, kStore);
        REQUIRE(recovered.ok());
        CHECK(fingerprint(recovered->state) == fingerprint(states.back()));
        CHECK(recovered->edit_number == states.size());
        CHECK(recovered->state.next_file_number > recovered->manifest);
        CHECK(recovered->torn_bytes == 0);
      }
    }
    CHECK(files > 3);
    std::size_t manifests = 0;
    const auto names = env.list(kStore);
    REQUIRE(names.ok());
    for (const std::string& name : names.value()) manifests += parse_manifest_name(name) ? 1 : 0;
    CHECK(manifests == 1);
  }
}

// Opens and appends until the machine dies; the states it was asked for, and how many of them were acknowledged.
struct Attempt {
  std::vector<ManifestState> states{empty_state()};
  std::size_t acknowledged = 0;
  bool is_created = false;
};

Attempt run_until_failure(MemoryEnv& env, std::uint64_t seed) {
  Random random(seed);
  Numbers numbers;
  Attempt attempt;
  for (int open = 0; open < 2; ++open) {
    auto manifest = open_manifest(env, numbers);
    if (!manifest.ok()) return attempt;
    attempt.is_created = true;
    for (int step = 0; step < 12; ++step) {
      if (!append_random(*manifest.value(), random, numbers, 120'000, attempt.states).ok()) return attempt;
      attempt.acknowledged = attempt.states.size() - 1;
    }
  }
  return attempt;
}

TEST_CASE("after a power loss at any operation the state is that before or after the edit in flight") {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    MemoryEnv whole;
    const Attempt all = run_until_failure(whole, seed);
    REQUIRE(all.acknowledged == 24);
    for (std::uint64_t operation = 0; operation < whole.operations(); ++operation) {
      CAPTURE(seed);
      CAPTURE(operation);
      MemoryEnv env;
      env.crash_at(operation);
      const Attempt attempt = run_until_failure(env, seed);
      env.crash(seed * 1000 + operation);
      const auto recovered = recover(env, kStore);
      if (!recovered.ok()) {
        CAPTURE(std::string(recovered.status().message()));
        CHECK(recovered.status().code() == StatusCode::kNotFound);
        CHECK_FALSE(attempt.is_created);
        continue;
      }
      const std::string found = fingerprint(recovered->state);
      bool is_expected = false;
      for (std::size_t index = attempt.acknowledged; index < attempt.states.size(); ++index) {
        is_expected = is_expected || found == fingerprint(attempt.states[index]);
      }
      CHECK(is_expected);
      Numbers numbers;
      auto manifest = open_manifest(env, numbers);
      REQUIRE(manifest.ok());
      CHECK(fingerprint(manifest.value()->state()) == found);
    }
  }
}

TEST_CASE("a write that fails is made good by a fresh manifest") {
  std::uint64_t operations = 0;
  bool has_saved = false;
  for (std::uint64_t operation = 0; operation == 0 || operation < operations; ++operation) {
    CAPTURE(operation);
    Random random(7);
    MemoryEnv env;
    Numbers numbers;
    auto manifest = open_manifest(env, numbers);
    REQUIRE(manifest.ok());
    const std::uint64_t first = env.operations();
    const FileNumber file = manifest.value()->number();
    std::vector<ManifestState> states;
    env.fail_at(first + operation);
    std::string expected = fingerprint(manifest.value()->state());
    for (int step = 0; step < 6; ++step) {
      const bool is_ok = append_random(*manifest.value(), random, numbers, 4, states).ok();
      CHECK(is_ok);  // a single fault never reaches the caller
      if (is_ok) expected = fingerprint(states.back());
      CHECK(fingerprint(manifest.value()->state()) == expected);
    }
    operations = env.operations() - first;
    if (manifest.value()->number() != file) has_saved = true;
    env.heal();
    const auto recovered = recover(env, kStore);
    REQUIRE(recovered.ok());
    CHECK(fingerprint(recovered->state) == expected);
  }
  CHECK(has_saved);
}

TEST_CASE("while every write fails the state stays, and goes on once writes work again") {
  Random random(3);
  MemoryEnv env;
  Numbers numbers;
  auto manifest = open_manifest(env, numbers);
  REQUIRE(manifest.ok());
  std::vector<ManifestState> states;
  REQUIRE(append_random(*manifest.value(), random, numbers, 4, states).ok());
  const std::string before = fingerprint(manifest.value()->state());
  env.fail_from(env.operations());
  CHECK(append_random(*manifest.value(), random, numbers, 4, states).code() == StatusCode::kIoError);
  CHECK(append_random(*manifest.value(), random, numbers, 4, states).code() == StatusCode::kIoError);
  CHECK(fingerprint(manifest.value()->state()) == before);
  env.heal();
  REQUIRE(append_random(*manifest.value(), random, numbers, 4, states).ok());
  env.crash(1);
  CHECK(fingerprint(recover(env, kStore)->state) == fingerprint(states.back()));
}

// A store with a few edits, as its files.
struct Files {
  FileNumber number;
  Buffer manifest;
  Buffer current;
  std::vector<std::string> states;  // after each edit
  std::vector<std::uint64_t> ends;  // of the file, after each edit
};

Files sample_store(MemoryEnv& env) {
  Random random(11);
  Numbers numbers;
  auto manifest = open_manifest(env, numbers);
  REQUIRE(manifest.ok());
  Files files;
  std::vector<ManifestState> states;
  for (int step = 0; step < 5; ++step) {
    REQUIRE(append_random(*manifest.value(), random, numbers, 9, states).ok());
    files.states.push_back(fingerprint(states.back()));
    files.ends.push_back(manifest.value()->file_bytes());
  }
  files.number = manifest.value()->number();
  files.manifest = read_all(env, manifest_path(kStore, files.number));
  files.current = read_all(env, current_path(kStore));
  return files;
}

TEST_CASE("any flipped bit of MANIFEST or CURRENT gives an error or the same state") {
  MemoryEnv env;
  const Files files = sample_store(env);
  std::uint64_t errors = 0;
  const auto check_flips = [&](const std::string& path, const Buffer& content) {
    for (std::size_t at = 0; at < content.size(); ++at) {
      CAPTURE(path);
      CAPTURE(at);
      Buffer flipped = content;
      flipped[at] ^= static_cast<std::byte>(1u << (at % 8));
      write_file(env, path, bytes_of(flipped));
      const auto recovered = recover(env, kStore);
      if (!recovered.ok()) {
        ++errors;
        CHECK(recovered.status().code() != StatusCode::kNotFound);
        CHECK(mentions(recovered.status(), kStore));
      } else {
        CHECK(fingerprint(recovered->state) == files.states.back());
      }
    }
    write_file(env, path, bytes_of(content));
  };
  check_flips(manifest_path(kStore, files.number), files.manifest);
  check_flips(current_path(kStore), files.current);
  CHECK(errors > files.manifest.size() - 64);  // all but the last proof, whose damage loses nothing
  CHECK(recover(env, kStore).ok());
}

TEST_CASE("a manifest cut anywhere behind its first record recovers what whole edits it has") {
  MemoryEnv env;
  const Files files = sample_store(env);
  const std::uint64_t first_edit_end = files.ends.front();
  std::uint64_t torn = 0;
  for (std::uint64_t size = 0; size < files.manifest.size(); ++size) {
    CAPTURE(size);
    write_file(env, manifest_path(kStore, files.number), bytes_of(files.manifest).first(size));
    const auto recovered = recover(env, kStore);
    if (!recovered.ok()) {
      CHECK(recovered.status().code() == StatusCode::kCorruption);
      CHECK(size < first_edit_end);
      continue;
    }
    // The proof of the last whole edit may be cut as well.
    std::size_t whole = 0;
    while (whole < files.ends.size() && files.ends[whole] - sizeof(RecordHeader) <= size) ++whole;
    CHECK(recovered->edit_number == whole);
    if (whole > 0) CHECK(fingerprint(recovered->state) == files.states[whole - 1]);
    if (recovered->torn_bytes > 0) ++torn;
  }
  CHECK(torn > 0);
}

TEST_CASE("each kind of damage has its own message") {
  MemoryEnv env;
  CHECK(recover(env, kStore).status().code() == StatusCode::kNotFound);
  const Files files = sample_store(env);
  const std::string manifest = manifest_path(kStore, files.number);
  const std::string current = current_path(kStore);

  write_file(env, current, as_bytes("no manifest here\n"));
  CHECK(mentions(recover(env, kStore).status(), "does not name a manifest"));
  REQUIRE(env.remove(current).ok());
  CHECK(recover(env, kStore).status().code() == StatusCode::kNotFound);  // a creation that died
  REQUIRE(env.create_directory(table_directory(kStore)).ok());
  write_file(env, table_path(kStore, FileNumber(3)), as_bytes("x"));
  CHECK(mentions(recover(env, kStore).status(), "CURRENT is missing"));
  write_file(env, current, bytes_of(files.current));

  const std::string other = manifest_path(kStore, FileNumber(777));
  write_file(env, other, bytes_of(files.manifest));
  write_file(env, current, as_bytes(encode_current(FileNumber(777))));
  CHECK(mentions(recover(env, kStore).status(), "valid only under its own name"));
  REQUIRE(env.remove(other).ok());
  CHECK(mentions(recover(env, kStore).status(), "which is missing"));
  write_file(env, current, bytes_of(files.current));

  Buffer newer = files.manifest;
  store(newer.data() + offsetof(ManifestHeader, version), kManifestVersion + 1);
  write_file(env, manifest, bytes_of(newer));
  CHECK(mentions(recover(env, kStore).status(), "header is damaged"));  // a flipped bit does not make a version
  constexpr std::size_t kChecksumAt = offsetof(ManifestHeader, checksum);
  store(newer.data() + kChecksumAt, checksum64(bytes_of(newer).first(kChecksumAt)));
  write_file(env, manifest, bytes_of(newer));
  CHECK(recover(env, kStore).status().code() == StatusCode::kUnsupported);
  CHECK(mentions(recover(env, kStore).status(), "upgrade"));
  Buffer foreign = files.manifest;
  foreign[0] = std::byte{0};
  write_file(env, manifest, bytes_of(foreign));
  CHECK(mentions(recover(env, kStore).status(), "not a manifest"));
  Buffer damaged = files.manifest;
  damaged[20] ^= std::byte{1};
  write_file(env, manifest, bytes_of(damaged));
  CHECK(mentions(recover(env, kStore).status(), "header is damaged"));
}

TEST_CASE("a field of a newer version is refused by name and place") {
  Buffer payload;
  append_varint(payload, static_cast<std::uint64_t>(Tag::kRetentionClass));
  append_varint(payload, 0);
  const auto decoded = decode_edit(bytes_of(payload));
  CHECK(decoded.status().code() == StatusCode::kUnsupported);
  CHECK(mentions(decoded.status(), "retention_class at byte 0"));
}

}  // namespace
}  // namespace hdb::compaction
