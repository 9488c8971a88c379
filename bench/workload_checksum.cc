// checksum: XXH3-64 of pieces as small as a few records, as large as a block, and as large as a batch. The same MiB is
// taken again and again, so that the processor's caches have it, as they have what was just encoded or read.
#include <algorithm>

#include "base/checksum.h"
#include "bench/fold.h"
#include "bench/random.h"
#include "bench/threads.h"
#include "bench/workload.h"

namespace hdb::bench {

namespace {

constexpr std::size_t kDataBytes = 1u << 20;

struct PieceSize {
  const char* rate;  // the name of its figure
  const char* done;  // of its course
  std::size_t bytes;
};
constexpr PieceSize kPieceSizes[] = {
    {"bytes_per_s_of_256_b", "bytes, in pieces of 256 B", 256},
    {"bytes_per_s_of_4_kib", "bytes, in pieces of 4 KiB", 4096},
    {"bytes_per_s_of_1_mib", "bytes, in pieces of 1 MiB", kDataBytes},
};

Buffer random_data(std::uint64_t seed) {
  Buffer data(kDataBytes);
  Random random(seed);
  for (std::size_t offset = 0; offset < kDataBytes; offset += 8) store(data.data() + offset, random.next());
  return data;
}

// The checksums of all pieces, folded.
template <typename Checksum>
std::uint64_t fold_pieces(ByteView data, std::size_t piece_bytes, Checksum checksum) {
  std::uint64_t fold = 0;
  for (std::size_t offset = 0; offset < data.size(); offset += piece_bytes) {
    fold = fold_word(fold, checksum(data.subspan(offset, piece_bytes)));
  }
  return fold;
}

Result<FigureMeasurement> measure_checksums(const BenchOptions& options, const PeerSettings&) {
  const Buffer data = random_data(options.seed);
  const std::uint64_t passes = std::max<std::uint64_t>(1, options.events * options.value_bytes / kDataBytes);
  FigureMeasurement measured;
  measured.figures.given("events", options.events)
      .given("value_bytes", options.value_bytes)
      .amount("bytes", passes * kDataBytes);
  Status checked;
  for (const PieceSize& size : kPieceSizes) {
    // XXH3's other way, which takes the bytes in parts, must come to the same.
    const std::uint64_t expected = fold_pieces(bytes_of(data), size.bytes, [](ByteView piece) {
      return checksum64(piece.first(piece.size() / 3), piece.subspan(piece.size() / 3), 0);
    });
    Course course;
    course.done = size.done;
    std::uint64_t wrong_passes = 0;
    const Clock::time_point begin = Clock::now();
    for (std::uint64_t pass = 0; pass < passes; ++pass) {
      const std::uint64_t fold =
          fold_pieces(bytes_of(data), size.bytes, [](ByteView piece) { return checksum64(piece); });
      if (fold != expected) ++wrong_passes;
      course.timeline.add(ns_since(begin), kDataBytes);
    }
    measured.figures.rate(size.rate, static_cast<double>(passes * kDataBytes) / seconds_since(begin));
    measured.courses.add(course);
    if (wrong_passes > 0 && checked.ok()) {
      checked = Status::corruption("checksums of pieces of " + std::to_string(size.bytes) + " bytes are wrong");
    }
  }
  measured.is_verified = is_verified("hdb", checked);
  return measured;
}

}  // namespace

Status run_checksum(const BenchOptions& options) {
  return run_part(options, &measure_checksums);
}

}  // namespace hdb::bench
