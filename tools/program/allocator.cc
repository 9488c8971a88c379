// operator new and delete of HDB's executables, by mimalloc. Its own ones abort where memory runs out: the library is
// built as C and cannot throw.
#include <mimalloc.h>

#include <cstddef>
#include <new>

namespace {

void* allocate(std::size_t bytes) {
  void* const memory = mi_malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* allocate(std::size_t bytes, std::align_val_t alignment) {
  void* const memory = mi_malloc_aligned(bytes, static_cast<std::size_t>(alignment));
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) {
  return allocate(bytes);
}
void* operator new[](std::size_t bytes) {
  return allocate(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, alignment);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, alignment);
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return mi_malloc(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return mi_malloc(bytes);
}
void operator delete(void* memory) noexcept {
  mi_free(memory);
}
void operator delete[](void* memory) noexcept {
  mi_free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  mi_free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  mi_free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  mi_free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  mi_free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  mi_free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  mi_free(memory);
}
