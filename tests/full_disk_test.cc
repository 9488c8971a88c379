// A disk that is really full: a small file system of our own, filled up. Errors are clear, nothing acknowledged is
// lost, a flush uses the space kept for it, and the same engine goes on once there is room.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <hdb/engine.h>

#include "io/env.h"
#include "io/file_name.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/test_run.h"
#include "tests/support/test_store.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kDiskBytes = 16u << 20;

bool wrote(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  return file.good();
}

// Gives this process mounts of its own, which end with it, however it ends. Empty, or why it may have none.
std::string take_own_mounts() {
  const std::string user = std::to_string(geteuid());
  const std::string group = std::to_string(getegid());
  if (geteuid() == 0) {
    if (unshare(CLONE_NEWNS) != 0) return "this process may not have mounts of its own";
  } else {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return "this user may not have mounts of his own";
    wrote("/proc/self/setgroups", "deny");
    if (!wrote("/proc/self/uid_map", user + " " + user + " 1") ||
        !wrote("/proc/self/gid_map", group + " " + group + " 1"))
      return "this user may not have mounts of his own";
  }
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return "mounts cannot be kept private";
  return "";
}

bool runs(const std::string& command) {
  return std::system(("PATH=$PATH:/usr/sbin:/sbin; " + command + " >/dev/null 2>&1").c_str()) == 0;
}

// A folder with a small file system mounted on it.
class SmallDisk {
 public:
  enum class Kind { kMemory, kExt4 };

  explicit SmallDisk(Kind kind) {
    static const std::string refusal = take_own_mounts();
    why_not_ = refusal;
    std::filesystem::create_directory(path());
    if (!why_not_.empty()) return;
    const std::string size = std::to_string(kDiskBytes);
    if (kind == Kind::kMemory) {
      is_mounted_ = mount("none", path().c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
      if (!is_mounted_) why_not_ = "a file system in memory cannot be mounted here";
    } else {
      const std::string image = folder_.path() + "/image";
      is_mounted_ = runs("truncate -s " + size + " '" + image + "' && mkfs.ext4 -q -F -m 0 '" + image +
                         "' && mount -o loop '" + image + "' '" + path() + "'");
      if (!is_mounted_) why_not_ = "an ext4 file system in a file cannot be made and mounted here";
    }
  }
  ~SmallDisk() {
    if (is_mounted_) umount2(path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // Whether there is one; else the test is skipped.
  bool is_there() const {
    if (!is_mounted_) skip(why_not_);
    return is_mounted_;
  }
  std::string path() const { return folder_.path() + "/disk"; }
  std::string store() const { return path() + "/store"; }
  std::uint64_t bytes_left() const { return std::filesystem::space(path()).available; }

  // Takes all but `left` bytes.
  void fill(std::uint64_t left) const {
    const int file = open((path() + "/filler").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    REQUIRE(file >= 0);
    const std::vector<char> some(4096);
    while (bytes_left() > left && write(file, some.data(), some.size()) > 0) continue;
    fsync(file);
    close(file);
  }
  void free_again() const { std::filesystem::remove(path() + "/filler"); }

 private:
  TemporaryDirectory folder_;
  std::string why_not_;
  bool is_mounted_ = false;
};

Options small_options() {
  Options options = shrunk(presets::durable());
  options.memtable_bytes = 256u << 10;
  options.reserve_bytes = 2u << 20;
  return options;
}

// Events by number, which do not compress.
std::string payload_of(std::uint64_t number) {
  std::mt19937_64 random(number);
  std::string payload(500 + random() % 3000, '\0');
  std::generate(payload.begin(), payload.end(), [&random] { return static_cast<char>(random()); });
  return payload;
}

// Appends events from number `next` on until one is refused, or `count` are taken; returns the refusal.
Status append_some(Engine& engine, std::uint64_t& next, std::uint64_t count) {
  for (const std::uint64_t end = next + count; next < end; ++next) {
    const std::string payload = payload_of(next);
    const Event event{.type = "full", .payload = as_bytes(payload)};
    // The machine stays up: what is not synced survives too. Syncs of a disk that others use take long.
    const auto appended = engine.append(Batch{
        .events = {&event, 1}, .changes = {}, .durability = next % 20 == 0 ? Durability::kSync : Durability::kNone});
    if (!appended.ok()) return appended.status();
    REQUIRE(appended->first_position == next);
  }
  return {};
}

// An append that is refused leaves no event: those that are there are the acknowledged ones.
void check_holds(Engine& engine, std::uint64_t events) {
  CHECK(engine.stats().events == events);
  std::uint64_t wrong = 0;
  for (Position position = 0; position < events; ++position) {
    const auto event = engine.get(position);
    REQUIRE_MESSAGE(event.ok(), std::string(event.status().message()));
    wrong += !event.value() || as_text(event.value()->payload()) != payload_of(position);
  }
  CHECK(wrong == 0);
}

void check_says_full(const Status& status) {
  CHECK(status.code() == StatusCode::kNoSpace);
  const std::string message(status.message());
  CHECK_MESSAGE(message.find("free space") != std::string::npos, message);
  CHECK_MESSAGE(message.find("/disk/store/") != std::string::npos, message);
}

std::unique_ptr<Engine> opened(const SmallDisk& disk) {
  auto engine = Engine::open(disk.store(), small_options());
  REQUIRE_MESSAGE(engine.ok(), std::string(engine.status().message()));
  return std::move(engine).value();
}

void check_goes_on_after_it_was_full(const SmallDisk& disk) {
  if (!disk.is_there()) return;
  std::uint64_t next = 0;
  auto engine = opened(disk);
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    REQUIRE(append_some(*engine, next, 200).ok());
    disk.fill(0);
    check_says_full(append_some(*engine, next, 100'000));
    check_holds(*engine, next);
    const Status flushed = engine->flush();
    CHECK_MESSAGE(flushed.ok(), std::string(flushed.message()));
    CHECK(engine->stats().memtable_bytes < small_options().memtable_bytes / 2);
    disk.fill(0);
    check_says_full(append_some(*engine, next, 100'000));
    check_holds(*engine, next);
    disk.free_again();
    const Status taken = append_some(*engine, next, 200);
    CHECK_MESSAGE(taken.ok(), std::string(taken.message()));
  }
  CHECK(engine->flush().ok());
  CHECK(engine->compact().ok());
  // It reports the first error of background work, if there was one, also when that was done later.
  if (const Status closed = engine->close(); !closed.ok()) check_says_full(closed);
  engine = opened(disk);
  check_holds(*engine, next);
}

// Filled by its own events; the process then dies.
void check_keeps_all_when_it_dies_full(const SmallDisk& disk) {
  if (!disk.is_there()) return;
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto engine = Engine::open(disk.store(), small_options());
    if (!engine.ok()) _exit(2);
    std::uint64_t next = 0;
    const Status refused = append_some(*engine.value(), next, 100'000);
    const bool is_told = refused.code() == StatusCode::kNoSpace && write(ends[1], &next, sizeof next) == sizeof next;
    _exit(is_told ? 0 : 3);
  }
  close(ends[1]);
  std::uint64_t acknowledged = 0;
  REQUIRE(read(ends[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged);
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WEXITSTATUS(status) == 0);
  CHECK(acknowledged > 1000);

  disk.fill(0);
  auto full = Engine::open(disk.store(), small_options());
  if (full.ok()) {
    check_holds(**full, acknowledged);
    ignore(full.value()->close(), "there is no room for what it writes");
  } else {
    check_says_full(full.status());
  }
  full = Status::not_found("let go");
  disk.free_again();
  // What filled the disk was the store itself: its owner gives it a larger one.
  std::filesystem::remove(reserve_path(disk.store()));
  Options without_reserve = small_options();
  without_reserve.reserve_bytes = 0;
  auto again = Engine::open(disk.store(), without_reserve);
  REQUIRE_MESSAGE(again.ok(), std::string(again.status().message()));
  check_holds(**again, acknowledged);
}

}  // namespace

TEST_CASE("on a full ext4 nothing acknowledged is lost, a flush works by the reserve, and appends go on with room") {
  check_goes_on_after_it_was_full(SmallDisk(SmallDisk::Kind::kExt4));
}

TEST_CASE("on a full file system in memory nothing acknowledged is lost, and appends go on with room") {
  check_goes_on_after_it_was_full(SmallDisk(SmallDisk::Kind::kMemory));
}

TEST_CASE("a process that dies with an ext4 that it filled leaves everything it acknowledged") {
  check_keeps_all_when_it_dies_full(SmallDisk(SmallDisk::Kind::kExt4));
}

TEST_CASE("a process that dies with a file system in memory that it filled leaves everything it acknowledged") {
  check_keeps_all_when_it_dies_full(SmallDisk(SmallDisk::Kind::kMemory));
}

}  // namespace hdb::test
