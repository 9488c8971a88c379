#include "tests/support/memory_env.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "base/mutex.h"
#include "io/file_name.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kSectorBytes = 512;

bool coin(std::mt19937_64& random) {
  return (random() & 1) != 0;
}

bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

// The content of a file, and what a crash may undo of it. Thread-compatible: the disk's mutex guards it.
class Content {
 public:
  const Buffer& bytes() const { return bytes_; }
  std::uint64_t size() const { return bytes_.size(); }

  void write(std::uint64_t offset, ByteView piece) {
    if (piece.empty()) return;
    const std::uint64_t end = offset + piece.size();
    for (std::uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < end; ++sector) remember(sector);
    if (end > size()) bytes_.resize(end);
    std::copy(piece.begin(), piece.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
  }

  void grow(std::uint64_t bytes) { bytes_.resize(std::max(bytes, size())); }

  void truncate(std::uint64_t bytes) {
    for (std::uint64_t sector = bytes / kSectorBytes; sector * kSectorBytes < size(); ++sector) {
      if (unsynced_.contains(sector) || !is_zero(present(sector))) remember(sector);
    }
    bytes_.resize(bytes);
  }

  void sync() {
    std::erase_if(unsynced_, [](const auto& sector) { return !sector.second.is_lost; });
    synced_bytes_ = size();
  }

  // Only what lies in [begin, end) is durable.
  void sync_range(std::uint64_t begin, std::uint64_t end) {
    std::erase_if(unsynced_, [begin, end](const auto& sector) {
      return !sector.second.is_lost && (sector.first + 1) * kSectorBytes > begin && sector.first * kSectorBytes < end;
    });
    synced_bytes_ = std::max(synced_bytes_, end);
  }

  void fail_sync() {
    for (auto& sector : unsynced_) sector.second.is_lost = true;
  }

  void crash(std::mt19937_64& random) {
    const std::uint64_t least = std::min(synced_bytes_, size());
    const std::uint64_t most = std::max(synced_bytes_, size());
    const std::uint64_t choice = random() % 4;
    const std::uint64_t between = least + (most > least ? random() % (most - least) : 0);
    const std::uint64_t survived = choice == 0 ? synced_bytes_ : (choice == 1 ? between : size());
    const std::uint64_t cut_from = size();
    bytes_.resize(most + kSectorBytes);
    for (const auto& [sector, state] : unsynced_) {
      if (sector * kSectorBytes >= most) continue;  // written, then cut off, and never durable
      // What a truncation took away comes back whole if the truncation is undone.
      const bool was_cut = sector * kSectorBytes >= cut_from;
      if (!was_cut && !state.is_lost && coin(random)) continue;
      const auto at = bytes_.begin() + static_cast<std::ptrdiff_t>(sector * kSectorBytes);
      std::fill_n(at, std::min<std::uint64_t>(kSectorBytes, bytes_.size() - sector * kSectorBytes), std::byte{0});
      std::copy(state.before.begin(), state.before.end(), at);
    }
    bytes_.resize(survived);
    unsynced_.clear();
    synced_bytes_ = survived;
  }

 private:
  struct Unsynced {
    Buffer before;         // the durable bytes; what is missing of a whole sector is zero
    bool is_lost = false;  // a sync of it failed: a crash restores `before`
  };

  ByteView present(std::uint64_t sector) const {
    const std::uint64_t begin = std::min(sector * kSectorBytes, size());
    return ByteView(bytes_).subspan(begin, std::min(kSectorBytes, size() - begin));
  }

  // The sector is about to change.
  void remember(std::uint64_t sector) {
    const auto found = unsynced_.find(sector);
    if (found != unsynced_.end()) {
      found->second.is_lost = false;
      return;
    }
    const ByteView before = present(sector);
    unsynced_.emplace(sector, Unsynced{Buffer(before.begin(), before.end()), false});
  }

  Buffer bytes_;
  std::uint64_t synced_bytes_ = 0;
  std::map<std::uint64_t, Unsynced> unsynced_;  // by sector
};

using File = std::shared_ptr<Content>;

}  // namespace

// The state behind the Env and its handles. Thread-safe: whoever calls holds mutex_.
class MemoryEnv::Disk {
 public:
  Mutex mutex_;

  // Counts the operation; the fault it meets, if any.
  Status begin(const std::string& path, std::string_view operation) HDB_REQUIRES(mutex_) {
    const std::uint64_t number = operations_++;
    if (number >= dead_from_) return Status::io_error("the machine has crashed").in_context(path);
    const auto single = fail_at_.find(number);
    if (single != fail_at_.end()) return single->second.in_context(path + ": " + std::string(operation));
    if (number >= fail_from_) return fail_from_error_.in_context(path + ": " + std::string(operation));
    return {};
  }
  // As begin, of a handle opened in `generation`.
  Status begin(std::uint64_t generation, const std::string& path, std::string_view operation) HDB_REQUIRES(mutex_) {
    HDB_TRY(begin(path, operation));
    if (generation != generation_) return Status::io_error(path + ": opened before the machine crashed");
    return {};
  }
  bool is_dead() const HDB_REQUIRES(mutex_) { return operations_ > dead_from_; }

  // kNoSpace if `more` bytes do not fit.
  Status claim(const std::string& path, std::uint64_t more) const HDB_REQUIRES(mutex_) {
    const std::uint64_t used = bytes_used();
    if (more <= bytes_max_ && used <= bytes_max_ - more) return {};
    return Status::error(StatusCode::kNoSpace, path + ": write: no space left on the test disk");
  }
  std::uint64_t bytes_used() const HDB_REQUIRES(mutex_) {
    std::uint64_t used = 0;
    std::set<const Content*> counted;  // a file with two names takes its space once
    for (const auto& entry : live_) {
      if (counted.insert(entry.second.get()).second) used += entry.second->size();
    }
    return used;
  }

  Result<File> find(const std::string& path) const HDB_REQUIRES(mutex_) {
    const auto found = live_.find(path);
    if (found == live_.end()) return Status::not_found(path + ": open: no such file");
    return found->second;
  }

  Status check_directory(const std::string& directory) const HDB_REQUIRES(mutex_) {
    if (is_directory(directory)) return {};
    return Status::not_found(directory + ": no such directory");
  }
  bool is_directory(const std::string& path) const HDB_REQUIRES(mutex_) {
    return path == "." || path == "/" || directories_.contains(path);
  }

  Result<File> make_file(const std::string& path) HDB_REQUIRES(mutex_) {
    HDB_TRY(check_directory(parent_directory(path)));
    auto file = std::make_shared<Content>();
    change({parent_directory(path), {{path, file}}});
    return file;
  }

  // One create, rename or remove: all of it survives a crash or nothing.
  struct EntryChange {
    std::string directory;
    std::vector<std::pair<std::string, File>> entries;  // null: the path is free
  };
  void change(EntryChange change) HDB_REQUIRES(mutex_) {
    apply(change, live_);
    pending_.push_back(std::move(change));
  }

  void sync_entries(const std::string& directory) HDB_REQUIRES(mutex_) {
    for (const EntryChange& change : pending_) {
      if (change.directory == directory) apply(change, durable_);
    }
    std::erase_if(pending_, [&](const EntryChange& change) { return change.directory == directory; });
  }

  void crash(std::uint64_t seed) HDB_REQUIRES(mutex_) {
    std::mt19937_64 random(seed);
    for (const EntryChange& change : pending_) {
      if (coin(random)) apply(change, durable_);
    }
    pending_.clear();
    live_ = durable_;
    std::set<const Content*> crashed;
    for (const auto& entry : live_) {
      if (crashed.insert(entry.second.get()).second) entry.second->crash(random);
    }
    locked_.clear();
    ++generation_;
    heal();
  }

  void heal() HDB_REQUIRES(mutex_) {
    fail_at_.clear();
    fail_from_ = kNever;
    dead_from_ = kNever;
  }

  static constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

  std::uint64_t operations_ HDB_GUARDED_BY(mutex_) = 0;
  std::uint64_t generation_ HDB_GUARDED_BY(mutex_) = 0;  // crashes so far
  std::map<std::uint64_t, Status> fail_at_ HDB_GUARDED_BY(mutex_);
  std::uint64_t fail_from_ HDB_GUARDED_BY(mutex_) = kNever;
  Status fail_from_error_ HDB_GUARDED_BY(mutex_);
  std::uint64_t dead_from_ HDB_GUARDED_BY(mutex_) = kNever;
  std::uint64_t bytes_max_ HDB_GUARDED_BY(mutex_) = kNever;

  std::map<std::string, File> live_ HDB_GUARDED_BY(mutex_);
  std::set<std::string> directories_ HDB_GUARDED_BY(mutex_);
  std::set<std::string> locked_ HDB_GUARDED_BY(mutex_);

 private:
  static void apply(const EntryChange& change, std::map<std::string, File>& entries) {
    for (const auto& [path, file] : change.entries) {
      if (file == nullptr) {
        entries.erase(path);
      } else {
        entries.insert_or_assign(path, file);
      }
    }
  }

  std::map<std::string, File> durable_ HDB_GUARDED_BY(mutex_);
  std::vector<EntryChange> pending_ HDB_GUARDED_BY(mutex_);  // since their directories were synced
};

class MemoryEnv::Reader final : public RandomAccessFile {
 public:
  Reader(std::shared_ptr<Disk> disk, std::uint64_t generation, std::string path, File file, std::uint64_t bytes)
      : disk_(std::move(disk)),
        generation_(generation),
        path_(std::move(path)),
        file_(std::move(file)),
        bytes_(bytes) {}

  Status read(std::uint64_t offset, MutableBytes destination) const override {
    const MutexLock lock(disk_->mutex_);
    HDB_TRY(disk_->begin(generation_, path_, "read"));
    if (offset > file_->size() || destination.size() > file_->size() - offset) {
      return Status::corruption(path_ + ": ends at byte " + std::to_string(file_->size()) + "; " +
                                std::to_string(destination.size()) + " bytes were expected at byte " +
                                std::to_string(offset));
    }
    std::copy_n(file_->bytes().begin() + static_cast<std::ptrdiff_t>(offset), destination.size(), destination.begin());
    return {};
  }
  std::uint64_t size_bytes() const noexcept override { return bytes_; }
  const std::string& path() const noexcept override { return path_; }

 private:
  std::shared_ptr<Disk> disk_;
  std::uint64_t generation_;
  std::string path_;
  File file_;
  std::uint64_t bytes_;
};

class MemoryEnv::Writer final : public WritableFile {
 public:
  Writer(std::shared_ptr<Disk> disk, std::uint64_t generation, std::string path, File file)
      : disk_(std::move(disk)), generation_(generation), path_(std::move(path)), file_(std::move(file)) {}

  Status append(std::span<const ByteView> pieces) override {
    Buffer run;
    for (const ByteView piece : pieces) hdb::append(run, piece);
    const MutexLock lock(disk_->mutex_);
    Status status = disk_->begin(generation_, path_, "append");
    if (status.ok()) status = disk_->claim(path_, run.size());
    if (status.ok()) {
      file_->write(file_->size(), run);
    } else if (generation_ == disk_->generation_ && !disk_->is_dead()) {
      file_->write(file_->size(), ByteView(run).first(run.size() / 2));
    }
    return status;
  }
  Status sync() override {
    const MutexLock lock(disk_->mutex_);
    const Status status = disk_->begin(generation_, path_, "sync");
    if (status.ok()) {
      file_->sync();
    } else if (generation_ == disk_->generation_ && !disk_->is_dead()) {
      file_->fail_sync();
    }
    return status;
  }
  Status close() override {
    const MutexLock lock(disk_->mutex_);
    return disk_->begin(generation_, path_, "close");
  }
  const std::string& path() const noexcept override { return path_; }

 private:
  std::shared_ptr<Disk> disk_;
  std::uint64_t generation_;
  std::string path_;
  File file_;
};

// Writes when submitted; a durable write is so once it was waited for, and alone: not what was written before it.
class MemoryEnv::Log final : public LogFile {
 public:
  Log(std::shared_ptr<Disk> disk, std::uint64_t generation, std::string path, File file)
      : disk_(std::move(disk)), generation_(generation), path_(std::move(path)), file_(std::move(file)) {}

  Result<std::uint64_t> prepare(std::uint64_t bytes) override {
    const MutexLock lock(disk_->mutex_);
    HDB_TRY(disk_->begin(generation_, path_, "prepare"));
    const std::uint64_t more = bytes > file_->size() ? bytes - file_->size() : 0;
    HDB_TRY(disk_->claim(path_, more));
    file_->grow(bytes);
    return more;
  }

  Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) override {
    const MutexLock lock(disk_->mutex_);
    HDB_TRY(disk_->begin(generation_, path_, "write"));
    std::uint64_t end = offset;
    for (const ByteView piece : pieces) {
      HDB_CHECK(end <= file_->size() && piece.size() <= file_->size() - end);
      file_->write(end, piece);
      end += piece.size();
    }
    writes_.emplace(++last_ticket_, Write{offset, end, is_durable});
    return last_ticket_;
  }

  Result<std::uint64_t> wait(Ticket ticket) override {
    const MutexLock lock(disk_->mutex_);
    const auto found = writes_.find(ticket);
    HDB_CHECK(found != writes_.end());
    const Write write = found->second;
    writes_.erase(found);
    const Status status = disk_->begin(generation_, path_, "write");
    if (write.is_durable && generation_ == disk_->generation_ && !disk_->is_dead()) {
      if (status.ok()) {
        file_->sync_range(write.begin, write.end);
      } else {
        file_->fail_sync();
      }
    }
    if (!status.ok()) return status;
    return write.end - write.begin;
  }

  Status sync() override {
    const MutexLock lock(disk_->mutex_);
    const Status status = disk_->begin(generation_, path_, "sync");
    if (status.ok()) {
      file_->sync();
    } else if (generation_ == disk_->generation_ && !disk_->is_dead()) {
      file_->fail_sync();
    }
    return status;
  }

  Status truncate(std::uint64_t bytes) override {
    const MutexLock lock(disk_->mutex_);
    HDB_TRY(disk_->begin(generation_, path_, "truncate"));
    if (bytes > file_->size()) {
      file_->grow(bytes);
    } else {
      file_->truncate(bytes);
    }
    return {};
  }
  Status close() override {
    const MutexLock lock(disk_->mutex_);
    return disk_->begin(generation_, path_, "close");
  }
  const std::string& path() const noexcept override { return path_; }

 private:
  struct Write {
    std::uint64_t begin;
    std::uint64_t end;
    bool is_durable;
  };

  std::shared_ptr<Disk> disk_;
  std::uint64_t generation_;
  std::string path_;
  File file_;
  Ticket last_ticket_ = 0;
  std::map<Ticket, Write> writes_;  // not waited for yet
};

class MemoryEnv::Lock final : public FileLock {
 public:
  Lock(std::shared_ptr<Disk> disk, std::uint64_t generation, std::string path)
      : disk_(std::move(disk)), generation_(generation), path_(std::move(path)) {}
  ~Lock() override {
    const MutexLock lock(disk_->mutex_);
    if (generation_ == disk_->generation_) disk_->locked_.erase(path_);
  }

 private:
  std::shared_ptr<Disk> disk_;
  std::uint64_t generation_;
  std::string path_;
};

MemoryEnv::MemoryEnv() : disk_(std::make_shared<Disk>()) {}
MemoryEnv::~MemoryEnv() = default;

void MemoryEnv::crash(std::uint64_t seed) {
  const MutexLock lock(disk_->mutex_);
  disk_->crash(seed);
}

std::uint64_t MemoryEnv::operations() const {
  const MutexLock lock(disk_->mutex_);
  return disk_->operations_;
}

void MemoryEnv::fail_at(std::uint64_t number, Status error) {
  const MutexLock lock(disk_->mutex_);
  disk_->fail_at_.insert_or_assign(number, std::move(error));
}

void MemoryEnv::fail_from(std::uint64_t number, Status error) {
  const MutexLock lock(disk_->mutex_);
  disk_->fail_from_ = number;
  disk_->fail_from_error_ = std::move(error);
}

void MemoryEnv::crash_at(std::uint64_t number) {
  const MutexLock lock(disk_->mutex_);
  disk_->dead_from_ = number;
}

void MemoryEnv::heal() {
  const MutexLock lock(disk_->mutex_);
  disk_->heal();
}

void MemoryEnv::limit_bytes(std::uint64_t bytes) {
  const MutexLock lock(disk_->mutex_);
  disk_->bytes_max_ = bytes;
}

std::uint64_t MemoryEnv::bytes_used() const {
  const MutexLock lock(disk_->mutex_);
  return disk_->bytes_used();
}

Result<std::unique_ptr<WritableFile>> MemoryEnv::create(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "create"));
  File file = HDB_TRY(disk_->make_file(path));
  return std::unique_ptr<WritableFile>(std::make_unique<Writer>(disk_, disk_->generation_, path, std::move(file)));
}

Result<std::unique_ptr<RandomAccessFile>> MemoryEnv::open(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "open"));
  File file = HDB_TRY(disk_->find(path));
  const std::uint64_t bytes = file->size();
  return std::unique_ptr<RandomAccessFile>(
      std::make_unique<Reader>(disk_, disk_->generation_, path, std::move(file), bytes));
}

Result<std::unique_ptr<LogFile>> MemoryEnv::create_log(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "create"));
  if (disk_->live_.contains(path)) return Status::io_error(path + ": create: the file exists");
  File file = HDB_TRY(disk_->make_file(path));
  return std::unique_ptr<LogFile>(std::make_unique<Log>(disk_, disk_->generation_, path, std::move(file)));
}

Result<std::unique_ptr<LogFile>> MemoryEnv::open_log(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "open"));
  File file = HDB_TRY(disk_->find(path));
  return std::unique_ptr<LogFile>(std::make_unique<Log>(disk_, disk_->generation_, path, std::move(file)));
}

Result<std::vector<std::string>> MemoryEnv::list(const std::string& directory) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(directory, "list"));
  HDB_TRY(disk_->check_directory(directory));
  std::vector<std::string> names;
  const auto add_child = [&](const std::string& path) {
    if (parent_directory(path) == directory) names.push_back(path.substr(path.rfind('/') + 1));
  };
  for (const auto& entry : disk_->live_) add_child(entry.first);
  for (const std::string& path : disk_->directories_) add_child(path);
  std::sort(names.begin(), names.end());
  return names;
}

Result<bool> MemoryEnv::exists(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "stat"));
  return disk_->live_.contains(path) || disk_->is_directory(path);
}

Result<std::uint64_t> MemoryEnv::file_bytes(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "stat"));
  return HDB_TRY(disk_->find(path))->size();
}

Status MemoryEnv::create_directory(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "create directory"));
  for (std::string at = path; !disk_->is_directory(at); at = parent_directory(at)) {
    if (disk_->live_.contains(at))
      return Status::io_error(at + ": create directory: a file of that name is in the way");
    disk_->directories_.insert(at);
  }
  return {};
}

Status MemoryEnv::rename(const std::string& from, const std::string& to) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(from, "rename"));
  HDB_CHECK(parent_directory(from) == parent_directory(to));  // HDB moves no file between directories
  File file = HDB_TRY(disk_->find(from));
  disk_->change({parent_directory(to), {{from, nullptr}, {to, std::move(file)}}});
  return {};
}

Status MemoryEnv::link(const std::string& from, const std::string& to) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(from, "link"));
  HDB_TRY(disk_->check_directory(parent_directory(to)));
  if (disk_->live_.contains(to)) return Status::io_error(to + ": link: the file exists");
  File file = HDB_TRY(disk_->find(from));
  disk_->change({parent_directory(to), {{to, std::move(file)}}});
  return {};
}

Status MemoryEnv::remove(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "remove"));
  HDB_TRY(disk_->find(path));
  disk_->change({parent_directory(path), {{path, nullptr}}});
  return {};
}

Status MemoryEnv::sync_directory(const std::string& directory) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(directory, "sync directory"));
  HDB_TRY(disk_->check_directory(directory));
  disk_->sync_entries(directory);
  return {};
}

Result<std::unique_ptr<FileLock>> MemoryEnv::lock(const std::string& path) {
  const MutexLock lock(disk_->mutex_);
  HDB_TRY(disk_->begin(path, "lock"));
  if (!disk_->locked_.insert(path).second) {
    return Status::error(StatusCode::kBusy, path + ": an engine in this process has the store open; close it first");
  }
  if (!disk_->live_.contains(path)) {
    const Result<File> made = disk_->make_file(path);
    if (!made.ok()) {
      disk_->locked_.erase(path);
      return made.status();
    }
  }
  return std::unique_ptr<FileLock>(std::make_unique<Lock>(disk_, disk_->generation_, path));
}

}  // namespace hdb::test
