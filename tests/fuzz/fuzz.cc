// The fuzzer: libFuzzer runs the target that HDB_FUZZ_TARGET names. scripts/fuzz.py runs them all.
#include <sanitizer/allocator_interface.h>

#include <atomic>
#include <cstdlib>
#include <memory>

#include "tests/fuzz/target.h"

namespace {

// What decoding may take: twice the input and 64 MiB, whatever lengths the input claims.
constexpr std::int64_t kMemoryMax = std::int64_t{64} << 20;

// Counts only; targets run in one thread.
std::atomic<std::int64_t> allocated{0};
std::atomic<std::int64_t> allocated_max{0};

void count_allocation(const volatile void*, std::size_t bytes) {
  const std::int64_t now = allocated.fetch_add(static_cast<std::int64_t>(bytes)) + static_cast<std::int64_t>(bytes);
  if (now > allocated_max.load()) allocated_max.store(now);
}

void count_free(const volatile void* block) {
  if (block == nullptr) return;
  allocated.fetch_sub(static_cast<std::int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(block))));
}

// A bug that only a fuzzer with coverage and comparisons fed back finds, and only a sanitizer tells: of scripts/fuzz.py
// to find, each time.
bool run_canary(hdb::ByteView input) {
  if (input.size() < 12 || hdb::load<std::uint32_t>(input.data()) != 0x2a424448) return false;
  const std::size_t claimed = hdb::load<std::uint32_t>(input.data() + 4);
  if (claimed < input.size() || claimed > input.size() + 8) return false;
  const auto copy = std::make_unique<std::byte[]>(input.size());
  volatile std::byte* const bytes = copy.get();  // else the compiler leaves out what nobody reads
  for (std::size_t at = 8; at <= claimed; ++at) bytes[at] = std::byte{1};
  return true;
}

std::vector<hdb::Buffer> canary_seeds() {
  return {};
}

constexpr hdb::fuzz::Target kCanary{"canary", &run_canary, &canary_seeds};

const hdb::fuzz::Target* chosen = nullptr;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* const name = std::getenv("HDB_FUZZ_TARGET");
  if (name != nullptr) chosen = name == kCanary.name ? &kCanary : hdb::fuzz::find_target(name);
  if (chosen == nullptr) {
    std::fprintf(stderr, "HDB_FUZZ_TARGET names no target; they are");
    for (const auto& target : hdb::fuzz::all_targets()) std::fprintf(stderr, " %s", target.name.data());
    std::fprintf(stderr, "\n");
    std::exit(2);
  }
  HDB_CHECK(__sanitizer_install_malloc_and_free_hooks(&count_allocation, &count_free) != 0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::int64_t before = allocated.load();
  allocated_max.store(before);
  chosen->run({reinterpret_cast<const std::byte*>(data), size});
  const std::int64_t taken = allocated_max.load() - before;
  if (taken > kMemoryMax + 2 * static_cast<std::int64_t>(size)) {
    std::fprintf(stderr, "decoding %zu bytes took %lld bytes of memory\n", size, static_cast<long long>(taken));
    std::abort();
  }
  return 0;
}
