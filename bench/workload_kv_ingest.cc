// kv-ingest: bare ordered key-value pairs: ascending 17-byte keys, values cut from a pool of random bytes.
#include <memory>

#include "bench/pair_maker.h"
#include "bench/workload.h"

namespace hdb::bench {

Status run_kv_ingest(const BenchOptions& options) {
  FigureRounds rounds = HDB_TRY(pair_rounds(options, kPairEngines));
  rounds.takes_every_variant = true;
  rounds.measure = [&options](const std::string& engine, const PeerSettings& settings) -> Result<FigureMeasurement> {
    const auto maker = std::make_shared<const PairMaker>(options.seed, options.value_bytes);
    FigureMeasurement measured;
    measured.figures = asked_for(options);
    add_ingest(measured, HDB_TRY(measure_ingest(pair_run(options, engine, settings, maker))));
    return measured;
  };
  return run_figure_rounds(options, rounds);
}

}  // namespace hdb::bench
