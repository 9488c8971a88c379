// The same work on disks of many sizes: it fills each of them somewhere else. What was refused is not there, what was
// acknowledged is, and once there is room all goes on without a reopen.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "io/file_name.h"
#include "tests/support/memory_env.h"
#include "tests/support/model.h"
#include "tests/support/test_store.h"
#include "tests/support/workload.h"

namespace hdb::test {

namespace {

constexpr std::uint64_t kAmple = 1u << 30;

// Appends, flushes and compactions, each of which a full disk may refuse.
class Filling {
 public:
  Filling(MemoryEnv& env, const Options& options, std::uint64_t seed)
      : env_(env), random_(seed), store(open_store(env, "store", options, seed).value()) {
    keyspace = store->keyspace("keys").value();
  }

  void work(int batches) {
    for (; batches > 0; --batches) {
      ModelBatch batch = random_batch(random_, std::vector<Keyspace>{keyspace}, 10);
      batch.events.push_back(random_event(random_));
      batch.events.back().payload.resize(random_() % 3 == 0 ? 30'000 : 300, 'x');
      const auto durability = static_cast<Durability>(random_() % 3);
      if (is_done(append(*store.engine, batch, durability).status())) {
        acknowledged.push_back(batch);
        if (durability == Durability::kSync) durable = acknowledged.size();
      }
      switch (random_() % 8) {
        case 0:
          flush();
          break;
        case 1:
          if (is_done(store->compact())) durable = acknowledged.size();
          break;
        case 2:
          store.background->run_timers();
          break;
        default:
          break;
      }
      peak_bytes = std::max(peak_bytes, env_.bytes_used());
    }
  }

  // With space kept for it a flush succeeds on a full disk, once: then appends wait for the space.
  void flush() {
    const bool is_space_kept = env_.exists(reserve_path("store")).value();
    const std::uint64_t refusals_before = refusals;
    if (is_done(store->flush())) durable = acknowledged.size();
    if (is_space_kept) CHECK(refusals == refusals_before);
  }

  Model model() const {
    Model whole;
    for (const ModelBatch& batch : acknowledged) whole.apply(batch);
    return whole;
  }

 private:
  MemoryEnv& env_;
  std::mt19937_64 random_;

  bool is_done(const Status& status) {
    if (status.ok()) return true;
    ++refusals;
    CHECK_MESSAGE(status.code() == StatusCode::kNoSpace, std::string(status.message()));
    return false;
  }

 public:
  TestStore store;
  Keyspace keyspace{0};
  std::vector<ModelBatch> acknowledged;
  std::size_t durable = 0;
  std::uint64_t refusals = 0;
  std::uint64_t peak_bytes = 0;  // that the disk has held
};

void fill_disks(std::uint64_t reserve_bytes) {
  const std::uint64_t seed = test_seed();
  CAPTURE(seed);
  Options options = shrunk(presets::durable());
  options.reserve_bytes = reserve_bytes;
  std::uint64_t needed = 0;  // by all of it, at most
  std::uint64_t begin = 0;   // by the open store
  int batches = 0;
  {
    MemoryEnv env;
    Filling filling(env, options, seed);
    begin = env.bytes_used();
    // How much of the work lies on the disk at once depends on where the seed compacts.
    for (; needed < begin + 100'000 && batches < 1000; needed = filling.peak_bytes, batches += 50) filling.work(50);
    CHECK(filling.refusals == 0);
  }
  REQUIRE(needed >= begin + 100'000);
  const std::size_t disks = scaled(30);
  std::uint64_t refusals_in_all = 0;
  for (std::size_t disk = 0; disk < disks; ++disk) {
    const std::uint64_t budget = begin + disk * (needed - begin) / disks;
    CAPTURE(budget);
    MemoryEnv env;
    std::vector<ModelBatch> acknowledged;
    std::size_t durable = 0;
    {
      Filling filling(env, options, seed);
      env.limit_bytes(budget);
      filling.work(batches);
      REQUIRE(env.faults_injected(Fault::kFullDisk) > 0);  // by the reserve's work where nothing was refused
      refusals_in_all += filling.refusals;
      check_equal(*filling.store.engine, filling.model(), {filling.keyspace});
      filling.flush();

      env.limit_bytes(kAmple);
      const std::uint64_t refusals = filling.refusals;
      filling.work(20);
      filling.flush();
      CHECK(filling.refusals == refusals);
      check_equal(*filling.store.engine, filling.model(), {filling.keyspace});
      filling.work(5);
      acknowledged = filling.acknowledged;
      durable = filling.durable;
      env.crash_at(env.operations());
    }
    env.crash(seed + disk);
    const TestStore store = open_store(env, "store", options, seed).value();
    CHECK(check_prefix(*store.engine, acknowledged) >= durable);
  }
  CHECK(refusals_in_all > 0);
}

}  // namespace

TEST_CASE("a disk that fills up anywhere in the work loses nothing, and the work goes on once there is room") {
  fill_disks(0);
}

TEST_CASE("with space kept for it a flush succeeds on a disk that is full anywhere in the work") {
  fill_disks(1u << 20);
}

}  // namespace hdb::test
