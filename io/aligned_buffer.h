// io/aligned_buffer.h: memory that can be written past the page cache (O_DIRECT).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace hdb {

inline constexpr std::uint64_t kDirectAlignment = 4096;  // of offset, size and memory: no device asks for more

constexpr std::uint64_t round_up_to_direct(std::uint64_t bytes) noexcept {
  return (bytes + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment;
}

// Single-owner.
class AlignedBuffer {
 public:
  std::byte* data() const noexcept { return bytes_.get(); }
  std::uint64_t size_bytes() const noexcept { return size_; }
  // At least `bytes`, a multiple of kDirectAlignment; what was there is lost. Throws std::bad_alloc.
  void reserve(std::uint64_t bytes) {
    if (bytes <= size_) return;
    bytes_.reset(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kDirectAlignment})));
    size_ = bytes;
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept { ::operator delete (bytes, std::align_val_t{kDirectAlignment}); }
  };
  std::unique_ptr<std::byte[], Free> bytes_;
  std::uint64_t size_ = 0;
};

}  // namespace hdb
