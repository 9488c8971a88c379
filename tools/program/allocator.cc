// operator new and delete of HDB's executables, by mimalloc. Its own ones abort where memory runs out: the library is
// built as C and cannot throw.
#include <mimalloc.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

// mimalloc takes address space in pieces of 32 MiB. Where not even the first is to be had, an allocation of something
// that is constructed before main() fails, and libstdc++, which got no memory to throw with either, ends the program by
// a signal. This comes before all that: constructors with a priority do.
[[gnu::constructor(101)]] void check_there_is_memory() noexcept {
  constexpr std::size_t kBytes = 128u << 10;  // more than libstdc++ keeps for exceptions
  void* const memory = mi_malloc(kBytes);
  if (memory == nullptr) {
    std::fprintf(stderr, "%s: there is no memory to start with; raise the limit on address space (ulimit -v)\n",
                 program_invocation_short_name);
    std::_Exit(EXIT_FAILURE);
  }
  mi_free(memory);
}

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
