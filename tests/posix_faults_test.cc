// io/posix_env.cc over system calls that are interrupted, do a part of what they were asked to, or fail: what is read
// and written is right to the byte, or the call fails with the reason. The linker puts the faults below PosixEnv.
#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/batch_memory.h"
#include "io/env.h"
#include "io/file_name.h"
#include "io/write_ring.h"
#include "tests/support/failing_allocations.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/model.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_run.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

Buffer random_bytes(std::mt19937_64& random, std::size_t size) {
  Buffer bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// The bytes in pieces of up to `piece_bytes_max`, empty ones among them.
std::vector<ByteView> pieces_of(ByteView bytes, std::mt19937_64& random, std::size_t piece_bytes_max) {
  std::vector<ByteView> pieces;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min<std::size_t>(random() % (piece_bytes_max + 1), bytes.size() - at);
    pieces.push_back(bytes.subspan(at, size));
    at += size;
  }
  return pieces;
}

// Every call of Env once or more. What it writes is `content`, in files of its own.
Status use_everything(const std::string& directory, ByteView content, std::uint64_t seed) {
  Env& env = posix_env();
  std::mt19937_64 random(seed);
  const std::string store = directory + "/a/store";
  HDB_TRY(env.create_directory(store));
  const std::unique_ptr<FileLock> lock = HDB_TRY(env.lock(lock_path(store)));
  HDB_TRY(replace_file(env, store + "/CURRENT", content));
  {
    const auto file = HDB_TRY(env.create(store + "/file"));
    const std::size_t half = content.size() / 2;
    HDB_TRY(file->append(pieces_of(content.first(half), random, 90)));
    HDB_TRY(file->append(pieces_of(content.subspan(half), random, 7)));
    HDB_TRY(file->sync());
    HDB_TRY(file->close());
  }
  {
    const auto log = HDB_TRY(env.create_log(store + "/log"));
    HDB_TRY(log->prepare(content.size()));
    HDB_TRY(log->prepare(content.size() + 5000));
    const std::vector<ByteView> pieces = pieces_of(content, random, 300);
    const LogFile::Ticket ticket = HDB_TRY(log->submit(100, pieces, random() % 2 == 0));
    if (HDB_TRY(log->wait(ticket)) != content.size()) return Status::io_error("fewer bytes than submitted");
    HDB_TRY(log->sync());
    HDB_TRY(log->truncate(100 + content.size()));
    HDB_TRY(log->close());
  }
  HDB_TRY(env.link(store + "/file", store + "/linked"));
  HDB_TRY(env.rename(store + "/linked", store + "/renamed"));
  HDB_TRY(env.remove(store + "/file"));
  HDB_TRY(env.sync_directory(store));
  const std::vector<std::string> names = HDB_TRY(env.list(store));
  const std::vector<std::string> expected = {"CURRENT", "LOCK", "log", "renamed"};
  if (names != expected) return Status::io_error("other names than were made");
  for (const std::string name : {"CURRENT", "log", "renamed"}) {
    const std::string path = store + "/" + name;
    const auto file = HDB_TRY(env.open(path));
    const std::uint64_t skipped = name == "log" ? 100 : 0;
    if (file->size_bytes() != skipped + content.size()) return Status::io_error(path + ": another size than written");
    Buffer found(content.size());
    HDB_TRY(file->read(skipped, found));
    if (!equal_bytes(found, content)) return Status::io_error(path + ": other bytes than were written");
    if (HDB_TRY(env.file_bytes(path)) != file->size_bytes()) return Status::io_error(path + ": two sizes");
  }
  return {};
}

std::string text_of(int error) {
  return std::generic_category().message(error);
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Runs the promise on each way that the log is written.
void on_each_log(const std::function<void(LogWrites writes)>& promise) {
  SUBCASE("log written by calls") {
    promise(LogWrites::kPwrite);
  }
  SUBCASE("log written by a ring") {
    if (WriteRing::create(1) == nullptr) return skip("the system refuses io_uring: the log is written by calls");
    promise(LogWrites::kIoUring);
  }
}

constexpr std::uint64_t kLogBytes = 3u << 20;

// A log with every kind of write, some under way together: small and large, durable or not, with and without an
// alignment that lets them go past the page cache. `wrote_all` is what it holds at the end.
Status write_log(const std::string& path, LogWrites writes, std::uint64_t seed, Buffer& wrote_all) {
  constexpr std::uint64_t kBlock = 4096;
  std::mt19937_64 random(seed);
  const auto log = HDB_TRY(posix_env().create_log(path, writes));
  HDB_TRY(log->prepare(kLogBytes));
  wrote_all.assign(kLogBytes, std::byte{0});
  BatchMemory memory(0);
  std::uint64_t offset = 0;
  for (const bool is_durable : {true, false}) {
    for (const std::uint64_t bytes : {std::uint64_t{300}, 5 * kBlock, 20 * kBlock, 100 * kBlock}) {
      std::vector<std::vector<ByteView>> pieces;
      std::vector<LogFile::Ticket> tickets;
      const std::uint64_t room = (bytes + kBlock - 1) / kBlock * kBlock;
      const std::shared_ptr<std::byte> aligned = memory.allocate(room);
      const Buffer content = random_bytes(random, bytes);
      std::copy(content.begin(), content.end(), aligned.get());
      pieces.push_back({ByteView(aligned.get(), bytes)});
      pieces.push_back(pieces_of(content, random, bytes / 3));
      for (const std::vector<ByteView>& whole : pieces) {
        if (offset + room > kLogBytes) break;
        std::copy(content.begin(), content.end(), wrote_all.begin() + static_cast<std::ptrdiff_t>(offset));
        tickets.push_back(HDB_TRY(log->submit(offset, whole, is_durable)));
        offset += room;
      }
      if (random() % 2 == 0) std::swap(tickets.front(), tickets.back());
      for (const LogFile::Ticket ticket : tickets) {
        if (HDB_TRY(log->wait(ticket)) != bytes) return Status::io_error("fewer bytes than submitted");
      }
    }
  }
  HDB_TRY(log->sync());
  return log->close();
}

bool holds(const std::string& path, const Buffer& content) {
  const Result<Buffer> found = read_file(posix_env(), path, content.size());
  return found.ok() && equal_bytes(bytes_of(found.value()), content);
}

}  // namespace

TEST_CASE("with calls interrupted by signals, and reads and writes that do a part, every byte is as it was written") {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  for (std::uint64_t round = 0; round < scaled(20); ++round) {
    CAPTURE(round);
    std::mt19937_64 random(seed + round);
    const TemporaryDirectory directory;
    const Buffer content = random_bytes(random, 1 + random() % 40'000);
    const FaultyCalls faults({.seed = random(), .interrupted_one_in = 3, .partial_one_in = 2});
    const Status status = use_everything(directory.path(), content, random());
    CHECK_MESSAGE(status.ok(), status.message());
    for (const Call call : {Call::kOpen, Call::kRead, Call::kWrite, Call::kSync, Call::kTruncate, Call::kReserve,
                            Call::kLock, Call::kClose, Call::kName, Call::kList}) {
      CHECK(faults.calls(call) > 0);
    }
  }
}

TEST_CASE("whichever call fails, Env says which path and why, or does without the call; nothing is wrong silently") {
  std::mt19937_64 random(4);
  const Buffer content = random_bytes(random, 9'000);
  std::uint64_t calls = 0;
  {
    const TemporaryDirectory directory;
    const FaultyCalls healthy(CallFaults{});
    REQUIRE(use_everything(directory.path(), content, 1).ok());
    calls = healthy.calls();
  }
  REQUIRE(calls > 50);
  std::uint64_t done_without = 0;
  for (const int error : {EIO, ENOSPC}) {
    for (std::uint64_t number = 0; number < calls; ++number) {
      CAPTURE(error);
      CAPTURE(number);
      const TemporaryDirectory directory;
      const FaultyCalls faults({.fail_at = number, .error = error});
      const Status status = use_everything(directory.path(), content, 1);
      REQUIRE(faults.has_failed());
      if (status.ok()) {
        ++done_without;
        continue;
      }
      CHECK(status.code() == (error == ENOSPC ? StatusCode::kNoSpace : StatusCode::kIoError));
      CHECK(status.message().find(text_of(error)) != std::string_view::npos);
      CHECK(status.message().find(directory.path()) != std::string_view::npos);
    }
  }
  // Closing what was only read or synced, and the note of who holds the lock.
  CHECK(done_without < calls / 2);
}

TEST_CASE("a file written past the page cache is whole or says why not, whichever call fails, is short or refused") {
  std::mt19937_64 random(6);
  const Buffer content = random_bytes(random, (5u << 20) + 777);
  const auto write = [&](const std::string& path, std::uint64_t seed) -> Status {
    std::mt19937_64 cuts(seed);
    const auto file = HDB_TRY(posix_env().create(path, FileWrites::kDirect));
    HDB_TRY(file->append(pieces_of(content, cuts, 700'000)));
    HDB_TRY(file->sync());
    return file->close();
  };
  const auto is_whole = [&](const std::string& path) {
    const Result<Buffer> found = read_file(posix_env(), path, content.size());
    return found.ok() && equal_bytes(bytes_of(found.value()), content);
  };
  if (WriteRing::create(1) == nullptr)
    return skip("the system refuses io_uring: nothing is written past the page cache");
  std::uint64_t calls = 0;
  {
    const TemporaryDirectory directory;
    {
      const FaultyCalls healthy(CallFaults{});
      REQUIRE(write(directory.path() + "/file", 1).ok());
      calls = healthy.calls();
      REQUIRE(healthy.ring_writes() >= 5);
    }
    REQUIRE(is_whole(directory.path() + "/file"));
  }
  for (std::uint64_t seed = 0; seed < scaled(10); ++seed) {
    CAPTURE(seed);
    const TemporaryDirectory directory;
    Status status;
    {
      const FaultyCalls faults({.seed = seed, .interrupted_one_in = 3, .partial_one_in = 2});
      status = write(directory.path() + "/file", seed);
    }
    CHECK_MESSAGE(status.ok(), status.message());
    CHECK(is_whole(directory.path() + "/file"));
  }
  // EINVAL: the system refuses a ring, or a write past the cache.
  for (const int error : {EIO, ENOSPC, EINVAL}) {
    for (std::uint64_t number = 0; number < calls; ++number) {
      CAPTURE(error);
      CAPTURE(number);
      const TemporaryDirectory directory;
      Status status;
      {
        const FaultyCalls faults({.fail_at = number, .error = error});
        status = write(directory.path() + "/file", 1);
        REQUIRE(faults.has_failed());
      }
      if (status.ok()) {
        CHECK(is_whole(directory.path() + "/file"));
      } else {
        CHECK(status.message().find(text_of(error)) != std::string_view::npos);
        CHECK(status.message().find(directory.path()) != std::string_view::npos);
      }
    }
  }
}

namespace {

using TableFiles = std::map<std::string, Buffer>;  // by name

// A store that writes its tables past the page cache, filled with `content`, flushed and closed: the same each time.
Status fill_a_store(const std::string& directory, ByteView content) {
  Options options = presets::throughput();
  options.reserve_bytes = 0;
  const TestStore store = HDB_TRY(open_store(posix_env(), directory, options, 1));
  const Keyspace keyspace = HDB_TRY(store->keyspace("keys"));
  constexpr std::size_t kItemBytes = 70'001;
  for (std::size_t at = 0; at + kItemBytes <= content.size(); at += kItemBytes) {
    const ByteView item = content.subspan(at, kItemBytes);
    const std::string key = std::to_string(at);
    HDB_TRY(store->append(Event{.type = "t", .payload = item}));
    HDB_TRY(store->put(keyspace, as_bytes(key), item));
  }
  HDB_TRY(store->flush());
  return store->close();
}

Buffer content_of_tables() {
  std::mt19937_64 random(9);
  return random_bytes(random, (3u << 20) + 300'000);
}

TableFiles tables_of(const std::string& directory) {
  constexpr std::uint64_t kTableBytesMax = 64u << 20;
  TableFiles tables;
  const std::string folder = directory + "/sstables";
  const std::vector<std::string> names = posix_env().list(folder).value();
  for (const std::string& name : names) {
    tables[name] = read_file(posix_env(), folder + "/" + name, kTableBytesMax).value();
  }
  return tables;
}

}  // namespace

TEST_CASE("tables are the same to the byte wherever the system refuses io_uring: to set up, submit, do or wait") {
  const Buffer content = content_of_tables();
  TableFiles expected;
  bool has_rings = false;
  {
    const TemporaryDirectory directory;
    const FaultyCalls healthy(CallFaults{});
    REQUIRE(fill_a_store(directory.path() + "/store", content).ok());
    expected = tables_of(directory.path() + "/store");
    has_rings = healthy.ring_writes() >= 6;
  }
  REQUIRE(expected.size() == 2);
  const auto check = [&](RingStep step, int error, std::uint64_t calls_taken) {
    CAPTURE(static_cast<int>(step));
    CAPTURE(error);
    CAPTURE(calls_taken);
    const TemporaryDirectory directory;
    const FaultyCalls faults({.ring_calls_taken = calls_taken, .ring_step = step, .ring_error = error});
    const Status status = fill_a_store(directory.path() + "/store", content);
    REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
    // Waiting is for what is not there yet.
    if (step != RingStep::kWaiting) CHECK(faults.ring_refusals() > 0);
    CHECK(tables_of(directory.path() + "/store") == expected);
  };
  // ENOMEM: memory that may be locked, of kernels that count rings in it. EPERM, EACCES: by a policy.
  for (const int error : {ENOMEM, EPERM, ENOSYS}) {
    for (const std::uint64_t calls_taken : {0, 1}) check(RingStep::kSetup, error, calls_taken);
  }
  if (!has_rings) return skip("the system refuses io_uring: it cannot do so half-way");
  for (const std::uint64_t calls_taken : {0, 1, 4}) {
    for (const int error : {EINVAL, EPERM}) check(RingStep::kSubmission, error, calls_taken);
    for (const int error : {EINVAL, EOPNOTSUPP, EPERM, EACCES}) check(RingStep::kCompletion, error, calls_taken);
    check(RingStep::kWaiting, EPERM, calls_taken);
  }
}

TEST_CASE("a process that may lock no memory writes the same tables, with rings or without") {
  const TemporaryDirectory directory;
  const Buffer content = content_of_tables();
  const std::string usual = directory.path() + "/usual";
  const std::string limited = directory.path() + "/limited";
  REQUIRE(fill_a_store(usual, content).ok());
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit none{0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) _exit(2);
    _exit(fill_a_store(limited, content).ok() ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(tables_of(limited) == tables_of(usual));
}

TEST_CASE("the log has every byte that was written though calls and rings are interrupted and do a part") {
  on_each_log([](LogWrites writes) {
    const std::uint64_t seed = test_seed();
    CAPTURE(seed);
    for (std::uint64_t round = 0; round < scaled(10); ++round) {
      CAPTURE(round);
      const TemporaryDirectory directory;
      const std::string path = directory.path() + "/log";
      const FaultyCalls faults({.seed = seed + round, .interrupted_one_in = 3, .partial_one_in = 2});
      Buffer content;
      const Status status = write_log(path, writes, seed + round, content);
      CHECK_MESSAGE(status.ok(), status.message());
      CHECK(holds(path, content));
      CHECK((faults.ring_writes() > 0) == (writes == LogWrites::kIoUring));
    }
  });
}

TEST_CASE("whichever call or completion of a log fails, it is told with the path, or done without") {
  on_each_log([](LogWrites writes) {
    std::uint64_t calls = 0;
    {
      const TemporaryDirectory directory;
      const FaultyCalls healthy(CallFaults{});
      Buffer content;
      REQUIRE(write_log(directory.path() + "/log", writes, 1, content).ok());
      calls = healthy.calls();
    }
    REQUIRE(calls > 20);
    for (const int error : {EIO, ENOSPC, EINVAL, EOPNOTSUPP}) {
      for (std::uint64_t number = 0; number < calls; ++number) {
        CAPTURE(error);
        CAPTURE(number);
        const TemporaryDirectory directory;
        const std::string path = directory.path() + "/log";
        const FaultyCalls faults({.fail_at = number, .error = error});
        Buffer content;
        const Status status = write_log(path, writes, 1, content);
        REQUIRE(faults.has_failed());
        if (status.ok()) {
          CHECK(holds(path, content));
          continue;
        }
        CHECK(status.code() == (error == ENOSPC ? StatusCode::kNoSpace : StatusCode::kIoError));
        CHECK(has(status.message(), text_of(error)));
        CHECK(has(status.message(), path));
      }
    }
  });
}

TEST_CASE("an error of a log write or of its sync reads the same whether a call or a ring met it") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/log";
  const auto status_of = [&](LogWrites writes, const CallFaults& faults, std::uint64_t bytes) {
    std::filesystem::remove(path);
    const auto log = posix_env().create_log(path, writes).value();
    REQUIRE(log->prepare(1u << 20).ok());
    const Buffer content(bytes, std::byte{1});
    const std::array<ByteView, 2> pieces = {ByteView(content).first(bytes / 2), ByteView(content).subspan(bytes / 2)};
    const FaultyCalls faulty(faults);
    const auto ticket = log->submit(8192, pieces, true);
    const Status status = ticket.ok() ? log->wait(ticket.value()).status() : ticket.status();
    CHECK(faulty.has_failed());
    return status;
  };
  for (const std::uint64_t bytes : {100u, 500'000u}) {
    for (const int error : {EIO, ENOSPC, EDQUOT, EFBIG}) {
      for (const Call kind : {Call::kWrite, Call::kSync}) {
        CAPTURE(bytes);
        CAPTURE(error);
        const CallFaults faults{.fail_at = 0, .error = error, .is_of_one_kind = true, .kind = kind};
        const Status by_calls = status_of(LogWrites::kPwrite, faults, bytes);
        const Status by_ring = status_of(LogWrites::kIoUring, faults, bytes);
        CHECK(!by_calls.ok());
        CHECK(by_ring.code() == by_calls.code());
        CHECK(by_ring.message() == by_calls.message());
      }
    }
  }
}

TEST_CASE("a durable log write is synced once, and after all of it, also when it was short") {
  on_each_log([](LogWrites writes) {
    const TemporaryDirectory directory;
    for (const std::uint64_t bytes : {100u, 500'000u}) {
      for (const std::uint64_t partial_one_in : {0u, 1u}) {
        CAPTURE(bytes);
        CAPTURE(partial_one_in);
        const std::string path = directory.path() + "/log" + std::to_string(bytes) + std::to_string(partial_one_in);
        const auto log = posix_env().create_log(path, writes).value();
        REQUIRE(log->prepare(1u << 20).ok());
        const Buffer content(bytes, std::byte{1});
        const ByteView piece = content;
        const FaultyCalls faults({.partial_one_in = partial_one_in});
        const LogFile::Ticket ticket = log->submit(0, {&piece, 1}, true).value();
        CHECK(log->wait(ticket).value() == bytes);
        CHECK(faults.calls(Call::kSync) == 1);
        const bool by_ring = writes == LogWrites::kIoUring && partial_one_in == 0;
        CHECK(faults.ring_syncs() == (by_ring ? 1 : 0));
        CHECK((faults.calls(Call::kWrite) > 1) == (partial_one_in == 1));
      }
    }
  });
}

TEST_CASE("where rings, or what they are given, are refused, the log is written by calls, and one line says why") {
  if (WriteRing::create(1) == nullptr) return skip("the system refuses io_uring anyway");
  struct Case {
    CallFaults faults;
    const char* operation;
    int error;
  };
  const std::vector<Case> cases = {
      {{.rings_refused = EPERM}, "set up", EPERM},
      {{.rings_refused = ENOSYS}, "set up", ENOSYS},
      {{.fail_at = 0, .error = EBUSY, .is_of_one_kind = true, .kind = Call::kSubmit}, "submit", EBUSY},
      {{.fail_at = 2, .error = EAGAIN, .is_of_one_kind = true, .kind = Call::kSubmit}, "submit", EAGAIN},
      {{.ring_writes_refused = EINVAL}, "write", EINVAL},
      {{.ring_writes_refused = EOPNOTSUPP}, "write", EOPNOTSUPP},
      {{.ring_writes_refused = EPERM}, "write", EPERM},
      {{.ring_syncs_refused = EINVAL}, "sync", EINVAL},
  };
  for (std::size_t index = 0; index < cases.size(); ++index) {
    CAPTURE(index);
    const TemporaryDirectory directory;
    const FaultyCalls faults(cases[index].faults);
    Buffer content;
    const Status status = write_log(directory.path() + "/log", LogWrites::kIoUring, 1, content);
    CHECK_MESSAGE(status.ok(), status.message());
    CHECK(holds(directory.path() + "/log", content));

    std::vector<std::string> lines;
    Hooks hooks;
    hooks.listener = [&lines](Notice notice, std::string_view text) {
      if (notice == Notice::kFallback) lines.emplace_back(text);
    };
    Options options = shrunk(presets::durable());
    options.log_writes = LogWrites::kIoUring;
    const auto store = open_store(posix_env(), directory.path() + "/store", options, 1, {}, hooks);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    const Buffer payload(100'000);
    for (int event = 0; event < 5; ++event) {  // of more than one segment
      CHECK((*store)->append(Event{.type = "durable", .payload = bytes_of(payload)}).ok());
    }
    CHECK((*store)->stats().events == 5);
    if (cases[index].faults.kind == Call::kSubmit) continue;  // the one that failed was of the log above
    REQUIRE(lines.size() == 1);
    CHECK(has(lines[0], directory.path() + "/store/wal/"));
    CHECK(has(lines[0], std::string("written by pwrite, not by io_uring: ") + cases[index].operation + ": "));
    CHECK(has(lines[0], text_of(cases[index].error)));
    CHECK(has(lines[0], "log_writes"));
  }
}

TEST_CASE("a full disk gives back what log space was prepared, also when that is interrupted") {
  const TemporaryDirectory directory;
  const auto log = posix_env().create_log(directory.path() + "/log").value();
  REQUIRE(log->prepare(8192).ok());
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    // The second or the third step of three finds no space, or an earlier one if it is tried again.
    const FaultyCalls faults({.seed = seed,
                              .interrupted_one_in = 2,
                              .fail_at = 1 + seed % 2,
                              .error = ENOSPC,
                              .is_of_one_kind = true,
                              .kind = Call::kReserve});
    const Status status = log->prepare(48u << 20).status();
    REQUIRE(faults.has_failed());
    CHECK(status.code() == StatusCode::kNoSpace);
    CHECK(posix_env().file_bytes(directory.path() + "/log").value() == 8192);
  }
  CHECK(log->prepare(48u << 20).ok());
}

TEST_CASE("a sync that failed is told, and Env does not try it again") {
  const TemporaryDirectory directory;
  const ByteView piece = as_bytes("content");
  const auto file = posix_env().create(directory.path() + "/file").value();
  const auto log = posix_env().create_log(directory.path() + "/log", LogWrites::kPwrite).value();
  const auto ring_log = posix_env().create_log(directory.path() + "/ring-log", LogWrites::kIoUring).value();
  REQUIRE(file->append({&piece, 1}).ok());
  REQUIRE(log->prepare(4096).ok());
  REQUIRE(ring_log->prepare(4096).ok());
  REQUIRE(posix_env().create_directory(directory.path() + "/d").ok());
  const std::vector<std::function<Status()>> syncs = {
      [&] { return file->sync(); },
      [&] { return log->sync(); },
      [&] {
        return log->submit(0, {&piece, 1}, true).status();
      },
      [&]() -> Status {
        const LogFile::Ticket ticket = HDB_TRY(ring_log->submit(0, {&piece, 1}, true));
        return ring_log->wait(ticket).status();
      },
      [&] { return posix_env().sync_directory(directory.path()); },
      [&] { return replace_file(posix_env(), directory.path() + "/d/CURRENT", piece); },
  };
  for (std::size_t index = 0; index < syncs.size(); ++index) {
    CAPTURE(index);
    const FaultyCalls faults({.fail_at = 0, .error = EIO, .is_of_one_kind = true, .kind = Call::kSync});
    const Status status = syncs[index]();
    CHECK(status.code() == StatusCode::kIoError);
    CHECK(status.message().find(text_of(EIO)) != std::string_view::npos);
    CHECK(faults.calls(Call::kSync) == 1);
  }
  CHECK(!posix_env().exists(directory.path() + "/d/CURRENT").value());
}

TEST_CASE("a sync of the log that failed is one for good, also where no memory is left to say so") {
  std::uint64_t failed_syncs = 0;
  bool has_failed = true;
  for (std::uint64_t number = 0; has_failed; ++number) {
    CAPTURE(number);
    const TemporaryDirectory directory;
    const auto store = open_store(posix_env(), directory.path() + "/store", shrunk(presets::durable()), 1);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    const Event event{.type = "unsynced"};
    REQUIRE(store.value()->append(Batch{.events = {&event, 1}, .durability = Durability::kNone}).ok());
    const FaultyCalls faults({.fail_at = 0, .error = EIO, .is_of_one_kind = true, .kind = Call::kSync});
    Status synced;
    {
      const FailingAllocations failing(number, Failing::kAllFrom);
      synced = store.value()->sync();
      has_failed = FailingAllocations::has_failed();
    }
    CHECK_FALSE(synced.ok());
    if (!faults.has_failed()) continue;  // there was no memory for a sync
    ++failed_syncs;
    CHECK(synced.code() == StatusCode::kIoError);
    CHECK_FALSE(store.value()->sync().ok());
    CHECK_FALSE(store.value()->append(event).ok());
  }
  CHECK(failed_syncs > 1);
}

TEST_CASE("a killed store on a medium that is never written to, and refuses to sync, can be read") {
  const TemporaryDirectory directory;
  const std::string store = directory.path() + "/store";
  const std::string image = directory.path() + "/image";
  {
    const auto writer = Engine::open(store, presets::durable()).value();
    REQUIRE(writer->append(Event{.type = "one"}).ok());
    std::filesystem::copy(store, image, std::filesystem::copy_options::recursive);
  }
  const FaultyCalls faults(
      {.fail_at = 0, .error = EINVAL, .is_of_one_kind = true, .kind = Call::kSync, .is_medium_read_only = true});
  const auto reader = Engine::open_read_only(image, presets::durable());
  REQUIRE_MESSAGE(reader.ok(), reader.status().message());
  CHECK((*reader)->stats().events == 1);
  CHECK(!faults.has_failed());
}

namespace {

struct Appended {
  std::vector<ModelBatch> batches;
  std::size_t durable = 0;
};

// Appends, flushes and closes until the first error.
Status append_and_flush(const std::string& directory, const Options& options, std::uint64_t seed, Appended& appended) {
  std::mt19937_64 random(seed);
  const TestStore store = HDB_TRY(open_store(posix_env(), directory, options, seed));
  const Keyspace keyspace = HDB_TRY(store->keyspace("keys"));
  for (int round = 0; round < 12; ++round) {
    ModelBatch batch = random_batch(random, std::vector<Keyspace>{keyspace}, 6);
    batch.events.push_back(random_event(random));
    appended.batches.push_back(batch);
    HDB_TRY(append(*store.engine, batch, round % 3 == 0 ? Durability::kNone : Durability::kSync));
    if (round % 3 != 0) appended.durable = appended.batches.size();
    if (round == 6) {
      HDB_TRY(store->flush());
      appended.durable = appended.batches.size();
    }
  }
  HDB_TRY(store->close());
  appended.durable = appended.batches.size();
  return {};
}

void check_store(LogWrites writes) {
  Options options = shrunk(presets::durable());
  options.log_writes = writes;
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  const CallFaults mild{.seed = seed, .interrupted_one_in = 5, .partial_one_in = 3};
  std::uint64_t calls = 0;
  {
    const TemporaryDirectory directory;
    const FaultyCalls faults(mild);
    Appended appended;
    const Status done = append_and_flush(directory.path() + "/store", options, seed, appended);
    REQUIRE_MESSAGE(done.ok(), done.message());
    calls = faults.calls();
  }
  const std::uint64_t runs = std::min<std::uint64_t>(calls, scaled(60));
  std::uint64_t failed = 0;
  for (std::uint64_t run = 0; run < runs; ++run) {
    CallFaults faults = mild;
    faults.fail_at = run * calls / runs;
    faults.error = run % 3 == 0 ? ENOSPC : EIO;
    faults.drops_dirty_data = true;
    CAPTURE(faults.fail_at);
    const TemporaryDirectory directory;
    Appended appended;
    {
      const FaultyCalls faulty(faults);
      const Status status = append_and_flush(directory.path() + "/store", options, seed, appended);
      failed += status.ok() ? 0 : 1;
    }
    const FaultyCalls none(CallFaults{});
    const auto store = open_store(posix_env(), directory.path() + "/store", options, seed);
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    const std::uint64_t events = (*store)->stats().events;
    Model model;
    std::size_t found = 0;
    while (found < appended.batches.size() && model.events.size() < events) model.apply(appended.batches[found++]);
    CHECK(found >= appended.durable);
    REQUIRE(model.events.size() == events);
    std::vector<Keyspace> keyspaces;
    for (const auto& [name, keyspace] : (*store)->keyspaces()) keyspaces.push_back(keyspace);
    check_equal(*store->engine, model, keyspaces);
  }
  CHECK((failed > runs / 4 || runs < 24));  // of a few runs all may meet calls whose failure is nobody's loss
}

}  // namespace

TEST_CASE("a store on files whose calls are interrupted, partial and fail once loses nothing it promised") {
  on_each_log(check_store);
}

}  // namespace hdb::test
