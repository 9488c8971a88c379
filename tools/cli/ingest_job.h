// tools/cli/ingest_job.h: input files into a store, batch by batch, each with the place it reached.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <hdb/engine.h>

#include "tools/cli/event_batch.h"
#include "tools/cli/ingest_progress.h"
#include "tools/cli/line_parser.h"
#include "tools/cli/line_reader.h"

namespace hdb::cli {

struct IngestSettings {
  InputFormat format = InputFormat::kNdjson;
  bool has_content_ids = false;
  std::size_t batch_events = 2000;
  std::optional<Durability> durability;  // absent: the store's
  bool expects_id = false;               // from a field of the line
  bool stops_at_bad_line = false;        // also at one whose id is stored with other content
  bool starts_anew = false;              // takes no file as known
};

struct IngestTotals {
  std::uint64_t events = 0;
  std::uint64_t bad_lines = 0;
  std::uint64_t conflicts = 0;  // of the bad lines: the id is stored with other content
  std::uint64_t duplicates = 0;
  std::uint64_t without_id = 0;  // events for which the field that should give their id gave none
  std::uint64_t files = 0;
  std::uint64_t files_done_before = 0;  // of these: nothing had changed since they were taken in
  std::uint64_t file_bytes = 0;         // of the files themselves, taken in or passed over
};

// What a run tells while it goes on.
struct IngestHooks {
  std::function<void(std::string_view report)> on_bad_line;  // "FILE:LINE: why"
  std::function<void(std::string_view remark)> on_remark;    // "FILE:LINE: what to know of it"
  std::function<void(Position first, std::uint64_t count)> on_acknowledged;
  std::function<void(const IngestTotals& totals, std::uint64_t file_bytes)> on_batch;  // bytes read of this file
};

// Single-owner.
class IngestJob {
 public:
  // All outlive the job.
  IngestJob(Engine& engine, const Mapping& mapping, IngestProgress& progress, const IngestSettings& settings,
            IngestHooks hooks)
      : engine_(engine),
        progress_(progress),
        settings_(settings),
        hooks_(std::move(hooks)),
        parser_(settings.format, mapping, settings.has_content_ids) {}

  // Takes the file in, from where it was left. After an error everything before it is committed, with the place.
  // A file that is not regular ("-", a pipe) is read once, and its place is not kept.
  Status take_file(const std::string& path);

  const IngestTotals& totals() const noexcept { return totals_; }

 private:
  struct File {
    std::string path;
    bool is_resumable = false;
    FileProgress progress;
    std::unique_ptr<InputStream> stream;
    std::vector<std::string> superseded;  // as IngestProgress::Start
  };

  Status take_lines(File& file);
  Status take_line(File& file, const Line& line);
  Status refuse_line(File& file, const Line& line, std::string_view why);
  Status refuse_event(const File& file, std::size_t event, const Status& why);
  Status commit(File& file);
  Status append_events(const File& file, std::size_t begin, std::size_t end);

  Engine& engine_;
  IngestProgress& progress_;
  const IngestSettings& settings_;
  const IngestHooks hooks_;
  LineParser parser_;
  EventBatch batch_;
  std::vector<LinePlace> places_;  // by event of the batch: the end of its line
  IngestTotals totals_;
};

}  // namespace hdb::cli
