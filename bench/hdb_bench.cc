// hdb-bench: fills engines, measures them, reads everything back.
#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string>

#include "bench/options.h"
#include "bench/security_events.h"
#include "bench/workload.h"
#include "tools/program/program.h"

namespace hdb::bench {

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr Workload kWorkloads[] = {
    {"kv-ingest", "ordered key-value pairs, ascending keys, atomic batches, several writers", &run_kv_ingest},
    {"kv-get", "random gets of existing and of absent keys by several readers", &run_kv_get},
    {"kv-scan", "every pair forward and backward, every byte read", &run_kv_scan},
    {"ingest", "security events (generated, or --input NDJSON) with every index", &run_ingest},
    {"mixed", "writers and readers at once, past ten memtables, flush and compaction included", &run_mixed},
    {"recover", "reopening after a kill with 1 GiB of log", &run_recover},
    {"open", "reopening a cleanly closed store of many tables", &run_open},
    {"space", "real logs (--input) on disk, compacted: bytes by kind against raw, gzip, zstd and RocksDB", &run_space},
    {"skip-list", "HDB's skip list alone: ascending and random keys, 1 and 2 threads", &run_skip_list},
    {"batch-encode", "HDB's batch encoder alone", &run_batch_encode},
    {"checksum", "HDB's checksum alone: pieces of 256 B, 4 KiB and 1 MiB", &run_checksum},
    {"log-append", "HDB's log writer alone: large groups, not synced", &run_log_append},
    {"log-sync", "HDB's log writer alone: small groups, each synced, by one thread", &run_log_sync},
};

// The workloads, and what else can be said in their place.
Status list(const BenchOptions&) {
  for (const Workload& workload : all_workloads()) {
    std::string line(workload.name);
    line.resize(14, ' ');
    HDB_TRY(print_line(line + std::string(workload.summary)));
  }
  return print_line("generate      no measurement: writes --events generated security events as NDJSON, by --seed");
}

// The generated events as NDJSON on standard output, for `hdb ingest --format ndjson -`.
Status generate(const BenchOptions& options) {
  const SecurityEvents events(options.seed);
  SecurityEvent event;
  for (std::uint64_t number = 0; number < options.events; ++number) {
    events.make(number, event);
    event.payload += '\n';
    if (std::fwrite(event.payload.data(), 1, event.payload.size(), stdout) != event.payload.size()) {
      return Status::io_error("standard output cannot be written");
    }
  }
  return std::fflush(stdout) == 0 ? Status() : Status::io_error("standard output cannot be written");
}

Status run(const BenchOptions& options) {
  if (options.workload == "list") return list(options);
  if (options.workload == "generate") return generate(options);
  for (const Workload& workload : all_workloads()) {
    if (workload.name == options.workload) return workload.run(options);
  }
  return Status::invalid_argument("workload " + options.workload + " is not known; `hdb-bench list` names them");
}

int fail(const Status& status) {
  std::fprintf(stderr, "hdb-bench: %s\n", std::string(status.message()).c_str());
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

}  // namespace

std::span<const Workload> all_workloads() {
  return kWorkloads;
}

int main(int argc, char** argv) {
  prepare_program();
  const auto options = parse_options(argc, argv);
  if (!options.ok() && options.status().code() == StatusCode::kNotFound) {
    std::printf("%s", std::string(options.status().message()).c_str());
    const Status printed = finish_output();
    return printed.ok() ? 0 : fail(printed);
  }
  if (!options.ok()) return fail(options.status());
  const Status status = run(options.value());
  return status.ok() ? 0 : fail(status);
}

}  // namespace hdb::bench

int main(int argc, char** argv) {
  return hdb::bench::main(argc, argv);
}
