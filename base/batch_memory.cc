#include "base/batch_memory.h"

#include <sys/mman.h>

#include <new>
#include <utility>

#include <hdb/status.h>

namespace hdb {

namespace {

// A piece over this share of a region gets one of its own, so that it wastes nobody's rest.
constexpr std::size_t kOwnRegionBytes = BatchMemory::kRegionBytes / 4;

std::byte* make_region(std::size_t bytes) {
  return static_cast<std::byte*>(::operator new (bytes, std::align_val_t{BatchMemory::kAlignment}));
}

void free_region(std::byte* region) noexcept {
  ::operator delete (region, std::align_val_t{BatchMemory::kAlignment});
}

}  // namespace

// Regions that nobody uses now. Thread-safe.
class BatchMemory::Regions {
 public:
  explicit Regions(std::size_t bytes_max) noexcept : count_max_(bytes_max / kRegionBytes) {}
  Regions(const Regions&) = delete;
  Regions& operator=(const Regions&) = delete;
  ~Regions() {
    while (first_ != nullptr) free_region(reinterpret_cast<std::byte*>(std::exchange(first_, first_->next)));
  }

  // Null if there is none.
  std::byte* take() noexcept HDB_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (first_ == nullptr) return nullptr;
    --count_;
    return reinterpret_cast<std::byte*>(std::exchange(first_, first_->next));
  }

  void put_back(std::byte* region) noexcept HDB_EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (count_ < count_max_) {
        first_ = new (region) Spare{first_};
        ++count_;
        return;
      }
    }
    free_region(region);
  }

 private:
  struct Spare {  // lies in the region's own memory
    Spare* next;
  };

  const std::size_t count_max_;
  Mutex mutex_;
  Spare* first_ HDB_GUARDED_BY(mutex_) = nullptr;
  std::size_t count_ HDB_GUARDED_BY(mutex_) = 0;
};

BatchMemory::BatchMemory(std::size_t spare_bytes_max) : regions_(std::make_shared<Regions>(spare_bytes_max)) {}

std::shared_ptr<std::byte> BatchMemory::allocate(std::size_t bytes) {
  HDB_CHECK(bytes > 0 && bytes % kAlignment == 0);
  if (bytes > kOwnRegionBytes) {
    std::shared_ptr<std::byte> own(make_region(bytes), free_region);
    touch(own.get(), bytes);
    return own;
  }
  std::shared_ptr<std::byte> full;  // let go of outside the lock
  std::shared_ptr<std::byte> piece;
  bool is_fresh = false;
  {
    MutexLock lock(mutex_);
    if (current_.bytes == nullptr || bytes > kRegionBytes - used_) {
      full = std::exchange(current_, {}).bytes;
      current_ = allocate_region();
      used_ = 0;
    }
    piece = {current_.bytes, current_.bytes.get() + used_};
    used_ += bytes;
    is_fresh = current_.is_fresh;
  }
  if (is_fresh) touch(piece.get(), bytes);
  return piece;
}

BatchMemory::Region BatchMemory::allocate_region() {
  std::byte* region = regions_->take();
  const bool is_fresh = region == nullptr;
  if (is_fresh) region = make_region(kRegionBytes);
  return {{region, [regions = regions_](std::byte* unused) { regions->put_back(unused); }}, is_fresh};
}

// Not as huge pages: where the host of a virtual machine takes unused ones back, they cost seven times as much.
void BatchMemory::touch([[maybe_unused]] std::byte* piece, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef MADV_POPULATE_WRITE
  static_cast<void>(::madvise(piece, bytes, MADV_POPULATE_WRITE));
#endif
}

}  // namespace hdb
