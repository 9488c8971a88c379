#include "tests/support/memory_file.h"

#include <algorithm>
#include <cstring>

namespace hdb::test {

namespace {

bool is_zero(ByteView bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

void MemoryFile::write(std::uint64_t offset, ByteView piece) {
  if (piece.empty()) return;
  const std::uint64_t end = offset + piece.size();
  for (std::uint64_t sector = offset / kSectorBytes; sector * kSectorBytes < end; ++sector) {
    remember(sector);
    const ByteView before = present(sector);
    if (!is_zero(before)) previous_.insert_or_assign(sector, Buffer(before.begin(), before.end()));
  }
  if (end > size()) bytes_.resize(end);
  std::copy(piece.begin(), piece.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
}

void MemoryFile::write_some(std::uint64_t offset, ByteView piece, std::mt19937_64& random) {
  for (std::uint64_t done = 0; done < piece.size();) {
    const std::uint64_t at = offset + done;
    const std::uint64_t bytes = std::min(piece.size() - done, kSectorBytes - at % kSectorBytes);
    if (coin(random)) write(at, piece.subspan(done, bytes));
    done += bytes;
  }
}

void MemoryFile::grow(std::uint64_t bytes) {
  bytes_.resize(std::max(bytes, size()));
}

void MemoryFile::truncate(std::uint64_t bytes) {
  for (std::uint64_t sector = bytes / kSectorBytes; sector * kSectorBytes < size(); ++sector) {
    if (unsynced_.contains(sector) || !is_zero(present(sector))) remember(sector);
  }
  bytes_.resize(bytes);
}

void MemoryFile::sync() {
  std::erase_if(unsynced_, [](const auto& sector) { return !sector.second.is_lost; });
  synced_bytes_ = size();
}

void MemoryFile::sync_range(std::uint64_t begin, std::uint64_t end) {
  std::erase_if(unsynced_, [begin, end](const auto& sector) {
    return !sector.second.is_lost && (sector.first + 1) * kSectorBytes > begin && sector.first * kSectorBytes < end;
  });
  synced_bytes_ = std::max(synced_bytes_, end);
}

void MemoryFile::fail_sync() {
  for (auto& sector : unsynced_) sector.second.is_lost = true;
}

void MemoryFile::crash(std::mt19937_64& random) {
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

Buffer MemoryFile::part(std::uint64_t offset, std::uint64_t bytes) const {
  Buffer found(bytes);
  const std::uint64_t begin = std::min(offset, size());
  std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(begin), std::min(bytes, size() - begin), found.begin());
  return found;
}

Buffer MemoryFile::stale_part(std::uint64_t offset, std::uint64_t bytes) const {
  Buffer found(bytes);
  for (std::uint64_t done = 0; done < bytes;) {
    const std::uint64_t within = (offset + done) % kSectorBytes;
    const auto before = previous_.find((offset + done) / kSectorBytes);
    const std::uint64_t step = std::min(bytes - done, kSectorBytes - within);
    if (before != previous_.end() && before->second.size() > within) {
      const std::uint64_t known = std::min<std::uint64_t>(step, before->second.size() - within);
      std::copy_n(before->second.begin() + static_cast<std::ptrdiff_t>(within), known,
                  found.begin() + static_cast<std::ptrdiff_t>(done));
    }
    done += step;
  }
  return found;
}

void MemoryFile::damage(std::uint64_t offset, ByteView content) {
  if (offset >= size()) return;
  const ByteView within = content.first(std::min<std::uint64_t>(content.size(), size() - offset));
  std::copy(within.begin(), within.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
}

ByteView MemoryFile::present(std::uint64_t sector) const {
  const std::uint64_t begin = std::min(sector * kSectorBytes, size());
  return ByteView(bytes_).subspan(begin, std::min(kSectorBytes, size() - begin));
}

// The sector is about to change.
void MemoryFile::remember(std::uint64_t sector) {
  const auto found = unsynced_.find(sector);
  if (found != unsynced_.end()) {
    found->second.is_lost = false;
    return;
  }
  const ByteView before = present(sector);
  unsynced_.emplace(sector, Unsynced{Buffer(before.begin(), before.end()), false});
}

}  // namespace hdb::test
