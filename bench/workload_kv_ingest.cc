// kv-ingest: bare ordered key-value pairs: ascending 17-byte keys, values cut from a pool of random bytes.
#include <memory>

#include "bench/pair_maker.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::string_view kPreset = "throughput";

}  // namespace

Status run_kv_ingest(const BenchOptions& options) {
  if (!options.inputs.empty()) return Status::invalid_argument("--input: kv-ingest makes its own pairs");
  constexpr std::string_view kSupported[] = {"hdb", "rocksdb", "leveldb", "lmdb"};
  IngestRounds rounds;
  rounds.engines = HDB_TRY(engines_of(options, {"hdb"}, kSupported));
  rounds.run_options = HDB_TRY(run_options(options, kPreset));
  rounds.value_bytes = options.value_bytes;
  rounds.complete = [&options](IngestRun& run) {
    const auto maker = std::make_shared<const PairMaker>(options.seed, options.value_bytes);
    run = pair_run(options, run.engine, run.settings, maker);
  };
  return run_ingest_rounds(options, rounds);
}

}  // namespace hdb::bench
