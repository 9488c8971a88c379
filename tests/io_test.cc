// The contract of io/env.h, held by the operating system's files and by the disk in memory alike.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/batch_memory.h"
#include "io/env.h"
#include "io/file_name.h"
#include "io/locked_env.h"
#include "io/unfinished_copy.h"
#include "tests/support/file_contents.h"
#include "tests/support/memory_env.h"
#include "tests/support/temporary_directory.h"

namespace hdb::test {

namespace {

using Random = std::mt19937_64;

// Runs the promise on each Env, in an empty directory.
void on_each_env(const std::function<void(Env&, const std::string& directory)>& promise) {
  SUBCASE("operating system") {
    const TemporaryDirectory directory;
    promise(posix_env(), directory.path());
  }
  SUBCASE("memory") {
    MemoryEnv env;
    REQUIRE(env.create_directory("store").ok());
    promise(env, "store");
  }
}

// Runs the promise on the log files of each Env, in each way that they are written.
void on_each_log(const std::function<void(Env&, const std::string& directory, LogWrites)>& promise) {
  SUBCASE("operating system, by calls") {
    const TemporaryDirectory directory;
    promise(posix_env(), directory.path(), LogWrites::kPwrite);
  }
  SUBCASE("operating system, by a ring") {
    const TemporaryDirectory directory;
    promise(posix_env(), directory.path(), LogWrites::kIoUring);
  }
  SUBCASE("memory") {
    MemoryEnv env;
    REQUIRE(env.create_directory("store").ok());
    promise(env, "store", LogWrites::kAuto);
  }
}

}  // namespace

TEST_CASE("what was appended in pieces is read back as one run, at any offset") {
  on_each_env([](Env& env, const std::string& directory) {
    const std::string path = directory + "/file";
    const Buffer expected = pattern(300'000, 1);
    {
      const auto file = env.create(path);
      REQUIRE(file.ok());
      CHECK(file.value()->path() == path);
      Random random(2);
      for (std::size_t at = 0; at < expected.size();) {
        std::vector<ByteView> pieces;  // more than one system call takes, empty ones among them
        for (std::size_t count = random() % 3000; count > 0 && at < expected.size(); --count) {
          const std::size_t size = std::min<std::size_t>(random() % 60, expected.size() - at);
          pieces.push_back(ByteView(expected).subspan(at, size));
          at += size;
        }
        REQUIRE(file.value()->append(pieces).ok());
      }
      CHECK(file.value()->sync().ok());
      CHECK(file.value()->close().ok());
    }
    CHECK(env.file_bytes(path).value() == expected.size());
    const auto file = env.open(path);
    REQUIRE(file.ok());
    CHECK(file.value()->size_bytes() == expected.size());
    Random random(3);
    for (int round = 0; round < 100; ++round) {
      const std::size_t at = random() % expected.size();
      Buffer part(random() % (expected.size() - at + 1));
      REQUIRE(file.value()->read(at, part).ok());
      CHECK(equal_bytes(part, ByteView(expected).subspan(at, part.size())));
    }
    Buffer beyond(2);
    const Status status = file.value()->read(expected.size() - 1, beyond);
    CHECK(status.code() == StatusCode::kCorruption);
    CHECK(status.message().find(path) != std::string_view::npos);
  });
}

TEST_CASE("a replaced file is new: who has the old one open still reads it") {
  on_each_env([](Env& env, const std::string& directory) {
    const std::string path = directory + "/file";
    write_whole(env, path, as_bytes("old content"));
    const auto old_file = env.open(path);
    REQUIRE(old_file.ok());
    write_whole(env, path, as_bytes("new"));
    CHECK(text_of(env, path) == "new");
    REQUIRE(env.remove(path).ok());
    Buffer bytes(11);
    REQUIRE(old_file.value()->read(0, bytes).ok());
    CHECK(as_text(bytes) == "old content");
  });
}

TEST_CASE("a missing file or directory is kNotFound, and the message names it") {
  on_each_env([](Env& env, const std::string& directory) {
    const std::string path = directory + "/missing";
    const std::string below = path + "/file";
    const std::vector<Status> statuses = {env.open(path).status(),
                                          env.open_log(path).status(),
                                          env.file_bytes(path).status(),
                                          env.list(path).status(),
                                          env.remove(path),
                                          env.rename(path, path + "2"),
                                          env.sync_directory(path),
                                          env.create(below).status(),
                                          env.create_log(below).status(),
                                          env.lock(below).status(),
                                          read_file(env, path, 10).status()};
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      CAPTURE(i);
      CHECK(statuses[i].code() == StatusCode::kNotFound);
      CHECK(statuses[i].message().find("missing") != std::string_view::npos);
    }
    CHECK_FALSE(env.exists(path).value());
  });
}

TEST_CASE("names are listed in order, directories too, and follow rename and remove") {
  on_each_env([](Env& env, const std::string& directory) {
    REQUIRE(env.create_directory(directory + "/b/c").ok());
    REQUIRE(env.create_directory(directory + "/b").ok());
    write_whole(env, directory + "/z", {});
    write_whole(env, directory + "/a", as_bytes("a"));
    write_whole(env, directory + "/b/inner", {});
    CHECK(env.list(directory).value() == std::vector<std::string>{"a", "b", "z"});
    CHECK(env.list(directory + "/b").value() == std::vector<std::string>{"c", "inner"});
    REQUIRE(env.rename(directory + "/a", directory + "/z").ok());
    CHECK(env.list(directory).value() == std::vector<std::string>{"b", "z"});
    CHECK(text_of(env, directory + "/z") == "a");
    CHECK(env.exists(directory + "/b").value());
    CHECK(env.create_directory(directory + "/z").code() == StatusCode::kIoError);
    REQUIRE(env.remove(directory + "/z").ok());
    CHECK(env.sync_directory(directory).ok());
    CHECK(env.list(directory).value() == std::vector<std::string>{"b"});
  });
}

TEST_CASE("prepared log space reads as zero, keeps what is there, and takes writes anywhere below it") {
  on_each_log([](Env& env, const std::string& directory, LogWrites writes) {
    const std::string path = directory + "/000001.wal";
    const Buffer first = pattern(5000, 1), second = pattern(70'000, 2);
    {
      const auto log = env.create_log(path, writes);
      REQUIRE(log.ok());
      CHECK(env.create_log(path, writes).status().code() == StatusCode::kIoError);
      CHECK(log.value()->prepare(8192).value() == 8192);
      CHECK(log.value()->prepare(8192).value() == 0);
      CHECK(log.value()->prepare(100).value() == 0);
      REQUIRE(write_log(*log.value(), 0, first, false).ok());
      CHECK(log.value()->prepare(100'000).value() == 100'000 - 8192);
      // Tickets may be waited for in any order.
      const std::array<ByteView, 2> pieces = {ByteView(second).first(1), ByteView(second).subspan(1)};
      const auto one = log.value()->submit(8192, pieces, true);
      const auto two = log.value()->submit(first.size(), {pieces.data(), 1}, false);
      REQUIRE(one.ok());
      REQUIRE(two.ok());
      CHECK(log.value()->wait(two.value()).value() == 1);
      CHECK(log.value()->wait(one.value()).value() == second.size());
      CHECK(log.value()->sync().ok());
      CHECK(log.value()->close().ok());
    }
    Buffer expected(100'000);
    std::copy(first.begin(), first.end(), expected.begin());
    std::copy(second.begin(), second.end(), expected.begin() + 8192);
    expected[first.size()] = second[0];
    CHECK(equal_bytes(read_file(env, path, expected.size()).value(), expected));

    const auto log = env.open_log(path);
    REQUIRE(log.ok());
    CHECK(log.value()->truncate(4000).ok());
    CHECK(log.value()->prepare(6000).value() == 2000);
    CHECK(log.value()->sync().ok());
    CHECK(log.value()->close().ok());
    expected.resize(4000);
    expected.resize(6000);
    CHECK(equal_bytes(read_file(env, path, 6000).value(), expected));
    CHECK(read_file(env, path, 5999).status().code() == StatusCode::kCorruption);
  });
}

TEST_CASE("a durable write to the log is whole, whatever its size and place, and so is what lies around it") {
  on_each_log([](Env& env, const std::string& directory, LogWrites writes) {
    const std::string path = directory + "/000001.wal";
    constexpr std::uint64_t kBytes = 2u << 20;
    constexpr std::uint64_t kBlock = 4096;
    Buffer expected(kBytes);
    const auto log = env.create_log(path, writes).value();
    REQUIRE(log->prepare(kBytes).ok());
    std::uint64_t offset = 0;
    std::uint64_t number = 0;
    // Around the sizes of a block and of what goes past the page cache, at the begin of a block and elsewhere.
    for (const std::size_t bytes : {1u, 88u, 4095u, 4096u, 4097u, 20'000u, 262'144u, 262'145u}) {
      for (const std::uint64_t shift : {0u, 8u}) {
        const Buffer content = pattern(bytes, ++number);
        const std::array<ByteView, 2> pieces = {ByteView(content).first(bytes / 2),
                                                ByteView(content).subspan(bytes / 2)};
        const auto ticket = log->submit(offset + shift, pieces, true);
        REQUIRE_MESSAGE(ticket.ok(), ticket.status().message());
        CHECK(log->wait(ticket.value()).value() == bytes);
        std::copy(content.begin(), content.end(), expected.begin() + static_cast<std::ptrdiff_t>(offset + shift));
        offset += (shift + bytes + kBlock - 1) / kBlock * kBlock;
      }
    }
    CHECK(equal_bytes(read_file(env, path, kBytes).value(), expected));
  });
}

TEST_CASE("any number of log writes may be under way, and are waited for in any order") {
  on_each_log([](Env& env, const std::string& directory, LogWrites writes) {
    constexpr std::uint64_t kSlotBytes = 512u << 10;
    constexpr std::size_t kWrites = 40;  // more than a ring has room for
    const std::string path = directory + "/000001.wal";
    const auto log = env.create_log(path, writes).value();
    REQUIRE(log->prepare(kWrites * kSlotBytes).ok());
    Random random(7);
    Buffer expected(kWrites * kSlotBytes);
    std::vector<Buffer> contents;
    std::vector<std::vector<ByteView>> pieces(kWrites);
    std::vector<LogFile::Ticket> tickets;
    for (std::size_t number = 0; number < kWrites; ++number) {
      const Buffer& content = contents.emplace_back(pattern(1 + random() % kSlotBytes, number));
      const std::size_t cut = random() % content.size();
      pieces[number] = {ByteView(content).first(cut), ByteView(content).subspan(cut)};
      const std::uint64_t offset = number * kSlotBytes;
      tickets.push_back(log->submit(offset, pieces[number], random() % 2 == 0).value());
      std::copy(content.begin(), content.end(), expected.begin() + static_cast<std::ptrdiff_t>(offset));
    }
    std::vector<std::size_t> order(kWrites);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    for (const std::size_t number : order) CHECK(log->wait(tickets[number]).value() == contents[number].size());
    CHECK(std::set<LogFile::Ticket>(tickets.begin(), tickets.end()).size() == kWrites);
    CHECK(equal_bytes(read_file(env, path, expected.size()).value(), expected));
  });
}

TEST_CASE("threads take turns at a log, each from submitting to waiting, and what they wrote outlives them") {
  on_each_log([](Env& env, const std::string& directory, LogWrites writes) {
    const std::string path = directory + "/000001.wal";
    constexpr std::uint64_t kWriteBytes = 100'000;
    constexpr std::size_t kThreads = 20;
    const auto log = env.create_log(path, writes).value();
    REQUIRE(log->prepare(kThreads * kWriteBytes).ok());
    Buffer expected;
    for (std::size_t number = 0; number < kThreads; ++number) {
      const Buffer content = pattern(kWriteBytes, number);
      Status status;
      std::thread([&] {
        const ByteView piece = content;
        const auto ticket = log->submit(expected.size(), {&piece, 1}, number % 2 == 0);
        status = ticket.ok() ? log->wait(ticket.value()).status() : ticket.status();
      }).join();
      REQUIRE_MESSAGE(status.ok(), status.message());
      append(expected, bytes_of(content));
    }
    CHECK(equal_bytes(read_file(env, path, expected.size()).value(), expected));
  });
}

TEST_CASE("a forked child that lets go of a log does not take what the parent's writes completed with") {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/000001.wal";
  const Buffer content = pattern(1u << 20, 1);
  const ByteView piece = content;
  auto log = posix_env().create_log(path, LogWrites::kIoUring).value();
  REQUIRE(log->prepare(content.size()).ok());
  const LogFile::Ticket ticket = log->submit(0, {&piece, 1}, true).value();
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    log.reset();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(log->wait(ticket).value() == content.size());
  CHECK(equal_bytes(read_file(posix_env(), path, content.size()).value(), content));
}

TEST_CASE("aligned bytes written to the log are whole, durable or not, past the page cache or with it") {
  on_each_log([](Env& env, const std::string& directory, LogWrites writes) {
    const std::string path = directory + "/000001.wal";
    constexpr std::uint64_t kWrites = 100;  // so many that each way is tried
    constexpr std::uint64_t kWriteBytes = 3 * BatchMemory::kAlignment;
    const auto log = env.create_log(path, writes).value();
    REQUIRE(log->prepare(kWrites * kWriteBytes).ok());
    BatchMemory memory(0);
    Buffer expected;
    for (std::uint64_t number = 0; number < kWrites; ++number) {
      const Buffer content = pattern(kWriteBytes, number);
      const std::shared_ptr<std::byte> aligned = memory.allocate(kWriteBytes);
      std::copy(content.begin(), content.end(), aligned.get());
      REQUIRE(write_log(*log, expected.size(), {aligned.get(), kWriteBytes}, number % 5 == 0).ok());
      append(expected, bytes_of(content));
    }
    REQUIRE(log->sync().ok());
    CHECK(equal_bytes(read_file(env, path, expected.size()).value(), expected));
  });
}

TEST_CASE("a file written past the page cache has the bytes that were appended, whatever their number and pieces") {
  on_each_env([](Env& env, const std::string& directory) {
    Random random(5);
    constexpr std::size_t kMiB = 1u << 20;
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{1}, kMiB - 1, kMiB, kMiB + 1, 2 * kMiB, 5 * kMiB + 4097}) {
      CAPTURE(bytes);
      const Buffer content = pattern(bytes, bytes);
      const std::string path = directory + "/file";
      const auto file = env.create(path, FileWrites::kDirect).value();
      for (std::size_t at = 0; at < bytes;) {
        const std::size_t size = std::min(bytes - at, static_cast<std::size_t>(random() % (kMiB + kMiB / 2)));
        const std::array<ByteView, 2> pieces = {ByteView(content).subspan(at, size / 3),
                                                ByteView(content).subspan(at + size / 3, size - size / 3)};
        REQUIRE(file->append(pieces).ok());
        at += size;
      }
      REQUIRE(file->sync().ok());
      REQUIRE(file->close().ok());
      CHECK(env.file_bytes(path).value() == bytes);
      CHECK(equal_bytes(read_file(env, path, bytes).value(), content));
    }
  });
}

TEST_CASE("zeros are written over a part of the log and nothing else") {
  on_each_log([](Env& env, const std::string& directory, LogWrites writes) {
    const std::string path = directory + "/000001.wal";
    Buffer expected = pattern(20'000, 3);
    const auto log = env.create_log(path, writes).value();
    REQUIRE(log->prepare(3u << 20).ok());
    REQUIRE(write_log(*log, 0, expected, false).ok());
    expected.resize(3u << 20);
    REQUIRE(log->zero(8192, 12'288).ok());
    REQUIRE(log->zero(20'480, 3u << 20).ok());
    REQUIRE(log->zero(4096, 4096).ok());
    std::fill(expected.begin() + 8192, expected.begin() + 12'288, std::byte{0});
    CHECK(equal_bytes(read_file(env, path, expected.size()).value(), expected));
  });
}

TEST_CASE("space behind a prepared log file is really reserved") {
  const TemporaryDirectory directory;
  const auto log = posix_env().create_log(directory.path() + "/log");
  REQUIRE(log.ok());
  constexpr std::uint64_t kBytes = 40u << 20;  // more than one step
  REQUIRE(log.value()->prepare(kBytes).ok());
  struct stat attributes;
  REQUIRE(::stat(log.value()->path().c_str(), &attributes) == 0);
  CHECK(static_cast<std::uint64_t>(attributes.st_size) == kBytes);
  CHECK(static_cast<std::uint64_t>(attributes.st_blocks) * 512 >= kBytes);
}

TEST_CASE("a store is locked once, by whom the message says, and free again afterwards") {
  on_each_env([](Env& env, const std::string& directory) {
    const std::string path = lock_path(directory);
    for (int round = 0; round < 3; ++round) {
      CAPTURE(round);
      const auto held = env.lock(path);
      REQUIRE_MESSAGE(held.ok(), held.status().message());
      for (int again = 0; again < 2; ++again) {  // a refused attempt does not free it
        const Status second = env.lock(path).status();
        CHECK(second.code() == StatusCode::kBusy);
        CHECK(second.message().find("this process") != std::string_view::npos);
      }
      CHECK(env.lock(path + "2").ok());
    }
    CHECK(env.exists(path).value());
  });
}

TEST_CASE("who only reads a store keeps out who writes, and neither makes nor changes the lock's file") {
  on_each_env([](Env& env, const std::string& directory) {
    const std::string path = lock_path(directory);
    CHECK(env.lock_read_only(path).status().code() == StatusCode::kNotFound);
    CHECK_FALSE(env.exists(path).value());
    REQUIRE(replace_file(env, path, as_bytes("as it was\n")).ok());
    {
      const auto held = env.lock_read_only(path);
      REQUIRE_MESSAGE(held.ok(), held.status().message());
      CHECK(env.lock(path).status().code() == StatusCode::kBusy);
      CHECK(env.lock_read_only(path).status().code() == StatusCode::kBusy);
    }
    CHECK(text_of(env, path) == "as it was\n");
    const auto held = env.lock(path);
    REQUIRE_MESSAGE(held.ok(), held.status().message());
    CHECK(env.lock_read_only(path).status().code() == StatusCode::kBusy);
  });
}

TEST_CASE("nothing of a locked directory is changed once its lock is lost, given back, or was to read only") {
  MemoryEnv env;
  const std::string path = lock_path("store");
  REQUIRE(env.create_directory("store").ok());
  REQUIRE(replace_file(env, "store/file", as_bytes("content")).ok());
  const auto changes_of = [](Env& locked) {
    return std::vector<Status>{locked.create("store/new").status(),
                               locked.create_log("store/new").status(),
                               locked.open_log("store/file").status(),
                               locked.create_directory("store/new"),
                               locked.rename("store/file", "store/other"),
                               locked.link("store/file", "store/other"),
                               locked.remove("store/file")};
  };
  const auto check_refused = [&](LockedEnv& locked, StatusCode code) {
    CHECK(locked.check_lock().code() == code);
    for (const Status& change : changes_of(locked)) CHECK(change.code() == code);
    CHECK(text_of(locked, "store/file") == "content");
    CHECK(env.list("store").value() ==
          (env.exists(path).value() ? std::vector<std::string>{"LOCK", "file"} : std::vector<std::string>{"file"}));
  };
  {
    LockedEnv locked(env);
    CHECK(locked.check_lock().ok());
    REQUIRE(locked.take_lock(path).ok());
    CHECK(locked.check_lock().ok());
    CHECK(locked.create("store/new").ok());
    REQUIRE(locked.remove("store/new").ok());
    REQUIRE(env.remove(path).ok());
    check_refused(locked, StatusCode::kIoError);
  }
  {
    LockedEnv locked(env);
    REQUIRE(locked.take_lock(path).ok());
    locked.release_lock();
    check_refused(locked, StatusCode::kClosed);
  }
  for (const bool has_lock_file : {true, false}) {
    if (!has_lock_file) REQUIRE(env.remove(path).ok());
    LockedEnv locked(env);
    REQUIRE(locked.take_lock_read_only(path).ok());
    check_refused(locked, StatusCode::kClosed);
    CHECK(locked.sync_file("store/file").ok());
    CHECK(locked.sync_directory("store").ok());
  }
}

TEST_CASE("of many threads one at a time holds the lock") {
  on_each_env([](Env& env, const std::string& directory) {
    const std::string path = lock_path(directory);
    std::atomic<int> holders = 0, successes = 0, overlaps = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 200; ++round) {
          const auto held = env.lock(path);
          if (!held.ok()) continue;
          if (holders.fetch_add(1) != 0) ++overlaps;
          ++successes;
          --holders;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(overlaps == 0);
    CHECK(successes > 0);
  });
}

TEST_CASE("another process is refused the lock, and its death frees it") {
  const TemporaryDirectory directory;
  const std::string path = lock_path(directory.path());
  std::array<int, 2> ready, done;
  REQUIRE(::pipe(ready.data()) == 0);
  REQUIRE(::pipe(done.data()) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  char byte = 0;
  if (child == 0) {
    ::close(done[1]);
    const auto held = posix_env().lock(path);
    byte = held.ok() ? 1 : 0;
    if (::write(ready[1], &byte, 1) == 1) [[maybe_unused]]
      const ssize_t ended = ::read(done[0], &byte, 1);
    ::_exit(0);  // without releasing it
  }
  ::close(done[0]);
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  REQUIRE(byte == 1);
  const Status status = posix_env().lock(path).status();
  CHECK(status.code() == StatusCode::kBusy);
  CHECK(status.message().find("process " + std::to_string(child)) != std::string_view::npos);
  ::close(done[1]);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  ::close(ready[0]);
  ::close(ready[1]);
  CHECK(posix_env().lock(path).ok());
}

TEST_CASE("errors of the operating system keep path, operation and remedy") {
  const TemporaryDirectory directory;
  const Status not_a_file = posix_env().open(directory.path()).status();
  CHECK(not_a_file.code() == StatusCode::kIoError);
  write_whole(posix_env(), directory.path() + "/file", as_bytes("x"));
  const Status through_a_file = posix_env().create(directory.path() + "/file/below").status();
  CHECK(through_a_file.code() == StatusCode::kIoError);
  CHECK(through_a_file.message().find("/file/below: ") != std::string_view::npos);
  if (::access("/dev/full", W_OK) == 0) {
    const auto full = posix_env().open_log("/dev/full");
    CHECK(full.status().message().find("not a regular file") != std::string_view::npos);
  }
  if (::geteuid() != 0) {  // root may write anywhere
    std::filesystem::permissions(directory.path(), std::filesystem::perms::owner_read);
    const Status refused = posix_env().create(directory.path() + "/new").status();
    CHECK(refused.code() == StatusCode::kIoError);
    CHECK(refused.message().find("permissions") != std::string_view::npos);
    std::filesystem::permissions(directory.path(), std::filesystem::perms::owner_all);
  }
}

TEST_CASE("a file is replaced as a whole or not at all, wherever the replacement fails or crashes") {
  const std::string path = "store/CURRENT";
  for (std::uint64_t stop = 0; stop < 20; ++stop) {
    for (const bool is_crash : {false, true}) {
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        CAPTURE(stop);
        CAPTURE(is_crash);
        CAPTURE(seed);
        MemoryEnv env;
        REQUIRE(env.create_directory("store").ok());
        REQUIRE(replace_file(env, path, as_bytes("the old content")).ok());
        const std::uint64_t from = env.operations() + stop;
        if (is_crash) {
          env.crash_at(from);
        } else {
          env.fail_at(from);
        }
        const Status status = replace_file(env, path, as_bytes("new"));
        env.crash(seed);
        const std::string content = text_of(env, path);
        if (status.ok()) {
          CHECK(content == "new");
        } else {
          CHECK((content == "new" || content == "the old content"));
        }
      }
    }
  }
}

TEST_CASE("a directory in which a copy begins is durably marked, also where the mark was there and not synced") {
  const UnfinishedCopy copy{CopyKind::kRepair, "a store"};
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    CAPTURE(seed);
    MemoryEnv env;
    REQUIRE(env.create_directory("copy").ok());
    {
      auto mark = env.create(unfinished_path("copy"));
      REQUIRE(mark.ok());
      const ByteView text = as_bytes("repair of a store");
      REQUIRE((*mark)->append({&text, 1}).ok());
      REQUIRE((*mark)->sync().ok());
    }
    REQUIRE(begin_copy(env, "copy", copy).ok());
    env.crash(seed);
    REQUIRE(env.exists(unfinished_path("copy")).value());
    CHECK(check_finished(env, "copy").code() == StatusCode::kInvalidArgument);
    REQUIRE(remove_mark(env, "copy").ok());
    env.crash(seed);
    CHECK(check_finished(env, "copy").ok());
  }
}

TEST_CASE("file names parse to the number they were built from, and to nothing else") {
  for (const std::uint64_t number :
       {std::uint64_t{0}, std::uint64_t{7}, std::uint64_t{999'999}, std::uint64_t{1'000'000}, ~std::uint64_t{0}}) {
    CAPTURE(number);
    CHECK(parse_manifest_name(manifest_name(FileNumber(number))) == FileNumber(number));
    CHECK(parse_segment_name(segment_name(SegmentNumber(number))) == SegmentNumber(number));
    CHECK(parse_table_name(table_name(FileNumber(number))) == FileNumber(number));
  }
  CHECK(manifest_path("s", FileNumber(7)) == "s/MANIFEST-000007");
  CHECK(segment_path("s", SegmentNumber(12)) == "s/wal/000012.wal");
  CHECK(table_path("s", FileNumber(31)) == "s/sstables/000031.sst");
  for (const std::string_view name :
       {"", ".wal", "12.wal", "0000012.wal", "00001a.wal", "-00012.wal", "+00012.wal", " 00012.wal", "000012.sst",
        "000012.wal.tmp", "000012.wal ", "000012", "99999999999999999999.wal"}) {
    CAPTURE(name);
    CHECK_FALSE(parse_segment_name(name).has_value());
  }
  CHECK_FALSE(parse_manifest_name("MANIFEST-7").has_value());
  CHECK_FALSE(parse_manifest_name("MANIFEST-").has_value());
  CHECK(is_temporary_name(temporary_path(table_name(FileNumber(1)))));
  CHECK_FALSE(is_temporary_name("tmp"));
  CHECK(parent_directory("/a/b/c") == "/a/b");
  CHECK(parent_directory("/a") == "/");
  CHECK(parent_directory("a") == ".");
}

}  // namespace hdb::test
