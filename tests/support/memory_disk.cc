#include "tests/support/memory_disk.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "io/file_name.h"

namespace hdb::test {

namespace {

Fault counted_as(ReadFault fault) {
  switch (fault) {
    case ReadFault::kShort:
      return Fault::kShortRead;
    case ReadFault::kFlippedBit:
      return Fault::kFlippedBit;
    case ReadFault::kStale:
      return Fault::kStaleBlock;
    case ReadFault::kMisdirected:
      return Fault::kMisdirectedBlock;
  }
  return Fault::kFailedOperation;
}

Status ends_early(const std::string& path, std::uint64_t end, std::uint64_t offset, std::uint64_t bytes) {
  return Status::corruption(path + ": ends at byte " + std::to_string(end) + "; " + std::to_string(bytes) +
                            " bytes were expected at byte " + std::to_string(offset));
}

}  // namespace

Mutex& MemoryDisk::entered() {
  std::uint64_t choice = 0;
  {
    const MutexLock lock(mutex_);
    if (delay_one_in_ == 0) return mutex_;
    choice = delays_();
    if (choice % delay_one_in_ != 0) return mutex_;
    choice /= delay_one_in_;
    count(Fault::kDelay);
  }
  if (choice % 4 == 0) {
    std::this_thread::sleep_for(std::chrono::microseconds(choice % 1000));
  } else {
    std::this_thread::yield();
  }
  return mutex_;
}

void MemoryDisk::count(Fault fault) {
  ++injected_[fault];
  count_fault(fault);
}

Status MemoryDisk::begin(const std::string& path, std::string_view operation) {
  const std::uint64_t number = operations_++;
  if (number >= dead_from_) return Status::io_error("the machine has crashed").in_context(path);
  const auto single = fail_at_.find(number);
  if (single == fail_at_.end() && number < fail_from_) return {};
  count(Fault::kFailedOperation);
  const Status& error = single != fail_at_.end() ? single->second : fail_from_error_;
  return error.in_context(path + ": " + std::string(operation));
}

Status MemoryDisk::begin(std::uint64_t generation, const std::string& path, std::string_view operation) {
  HDB_TRY(begin(path, operation));
  if (generation != generation_) return Status::io_error(path + ": opened before the machine crashed");
  return {};
}

Status MemoryDisk::check_permitted(const std::string& path) {
  if (!denied_.contains(path)) return {};
  count(Fault::kFailedOperation);
  return Status::io_error(path + ": open: Permission denied; check owner and permissions");
}

Status MemoryDisk::read(MemoryFile& file, const std::string& path, std::uint64_t offset, MutableBytes destination) {
  const std::uint64_t number = reads_++;
  if (offset > file.size() || destination.size() > file.size() - offset) {
    return ends_early(path, file.size(), offset, destination.size());
  }
  for (const BadPlace& bad : bad_places_) {
    if (bad.path != path || offset >= bad.end || offset + destination.size() <= bad.begin) continue;
    count(Fault::kFailedOperation);
    return Status::io_error(path + ": read at byte " + std::to_string(offset) + ": Input/output error");
  }
  std::copy_n(file.bytes().begin() + static_cast<std::ptrdiff_t>(offset), destination.size(), destination.begin());
  const auto chosen = damaged_reads_.find(number);
  if (chosen == damaged_reads_.end() || destination.empty()) return {};

  const ReadFault fault = chosen->second.fault;
  std::mt19937_64 random(chosen->second.seed);
  if (fault == ReadFault::kShort) {
    count(Fault::kShortRead);
    const std::uint64_t got = random() % destination.size();
    std::fill(destination.begin() + static_cast<std::ptrdiff_t>(got), destination.end(), std::byte{0xee});
    return ends_early(path, offset + got, offset, destination.size());
  }
  const Buffer found = damaged(file, offset, destination, fault, random);
  if (equal_bytes(found, destination)) return {};
  count(counted_as(fault));
  if (chosen->second.stays) file.damage(offset, found);
  std::copy(found.begin(), found.end(), destination.begin());
  return {};
}

// What a read of `sound` gives under the fault: all of it, or a run of its sectors.
Buffer MemoryDisk::damaged(const MemoryFile& file, std::uint64_t offset, ByteView sound, ReadFault fault,
                           std::mt19937_64& random) {
  Buffer found(sound.begin(), sound.end());
  if (fault == ReadFault::kFlippedBit) {
    found[random() % found.size()] ^= static_cast<std::byte>(1u << random() % 8);
    return found;
  }
  Buffer wrong;
  if (fault == ReadFault::kStale) {
    wrong = file.stale_part(offset, sound.size());
  } else {
    // Of the same place in another file, or of another place in this one.
    auto other = live_.begin();
    std::advance(other, random() % live_.size());
    const bool is_other = other->second.get() != &file && coin(random);
    const std::uint64_t sectors = file.size() / kSectorBytes + 1;
    wrong = is_other ? other->second->part(offset, sound.size())
                     : file.part((offset + (1 + random() % sectors) * kSectorBytes) % (sectors * kSectorBytes),
                                 sound.size());
  }
  if (coin(random)) return wrong;
  // One sector of the disk only.
  const std::uint64_t sector = (offset + random() % sound.size()) / kSectorBytes;
  const std::uint64_t begin = std::max(sector * kSectorBytes, offset) - offset;
  const std::uint64_t end = std::min<std::uint64_t>((sector + 1) * kSectorBytes - offset, sound.size());
  std::copy(wrong.begin() + static_cast<std::ptrdiff_t>(begin), wrong.begin() + static_cast<std::ptrdiff_t>(end),
            found.begin() + static_cast<std::ptrdiff_t>(begin));
  return found;
}

MemoryDisk::Completion MemoryDisk::next_completion() {
  const auto chosen = faulty_submissions_.find(submissions_++);
  if (chosen == faulty_submissions_.end()) return {};
  return {true, chosen->second.first, chosen->second.second};
}

Status MemoryDisk::claim(const std::string& path, std::uint64_t more) {
  if (more == 0) return {};
  const std::uint64_t used = bytes_max_ == kNever ? 0 : bytes_used();
  if (more <= bytes_max_ && used <= bytes_max_ - more) return {};
  count(Fault::kFullDisk);
  return Status::error(StatusCode::kNoSpace, path + ": write: no space left on the test disk");
}

std::uint64_t MemoryDisk::bytes_used() const {
  std::uint64_t used = 0;
  std::set<const MemoryFile*> seen;  // a file with two names takes its space once
  for (const auto& entry : live_) {
    if (seen.insert(entry.second.get()).second) used += entry.second->size();
  }
  return used;
}

Result<MemoryDisk::File> MemoryDisk::find(const std::string& path) const {
  const auto found = live_.find(path);
  if (found == live_.end()) return Status::not_found(path + ": open: no such file");
  return found->second;
}

Status MemoryDisk::check_directory(const std::string& directory) const {
  if (is_directory(directory)) return {};
  return Status::not_found(directory + ": no such directory");
}

bool MemoryDisk::is_directory(const std::string& path) const {
  return path == "." || path == "/" || directories_.contains(path);
}

Result<MemoryDisk::File> MemoryDisk::make_file(const std::string& path) {
  HDB_TRY(check_directory(parent_directory(path)));
  auto file = std::make_shared<MemoryFile>();
  change({parent_directory(path), {{path, file}}});
  return file;
}

void MemoryDisk::change(EntryChange change) {
  apply(change, live_);
  pending_.push_back(std::move(change));
}

void MemoryDisk::sync_entries(const std::string& directory) {
  for (const EntryChange& change : pending_) {
    if (change.directory == directory) apply(change, durable_);
  }
  std::erase_if(pending_, [&](const EntryChange& change) { return change.directory == directory; });
}

void MemoryDisk::apply(const EntryChange& change, std::map<std::string, File>& entries) {
  for (const auto& [path, file] : change.entries) {
    if (file == nullptr) {
      entries.erase(path);
    } else {
      entries.insert_or_assign(path, file);
    }
  }
}

void MemoryDisk::crash(std::uint64_t seed) {
  count(Fault::kPowerLoss);
  std::mt19937_64 random(seed);
  for (const EntryChange& change : pending_) {
    if (coin(random)) apply(change, durable_);
  }
  pending_.clear();
  live_ = durable_;
  std::set<const MemoryFile*> crashed;
  for (const auto& entry : live_) {
    if (crashed.insert(entry.second.get()).second) entry.second->crash(random);
  }
  locked_.clear();
  ++generation_;
  heal();
}

void MemoryDisk::heal() {
  fail_at_.clear();
  fail_from_ = kNever;
  dead_from_ = kNever;
  damaged_reads_.clear();
  bad_places_.clear();
  denied_.clear();
  faulty_submissions_.clear();
  is_reordering_ = false;
  delay_one_in_ = 0;
}

}  // namespace hdb::test
