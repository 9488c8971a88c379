#include "tools/cli/ingest_job.h"

#include <fmt/format.h>

#include "base/record.h"

namespace hdb::cli {

namespace {

constexpr std::size_t kBatchBytesMax = 32u << 20;  // bounds memory where events are large

std::string shown_name(const std::string& path) {
  return path == "-" ? "standard input" : path;
}

}  // namespace

Status IngestJob::take_file(const std::string& path) {
  File file;
  file.path = path;
  file.is_resumable = path != "-";
  ++totals_.files;
  const FileStamp stamp = HDB_TRY(stamp_of(path));
  if (file.is_resumable) {
    IngestProgress::Start start = HDB_TRY(progress_.start(path, settings_.starts_anew));
    file.progress = std::move(start.progress);
    file.stream = std::move(start.stream);
  } else {
    file.stream = HDB_TRY(InputStream::open(path));
  }
  if (file.stream == nullptr) {
    ++totals_.files_done_before;
  } else {
    HDB_TRY(take_lines(file));
  }
  totals_.file_bytes += stamp.bytes;
  return {};
}

Status IngestJob::take_lines(File& file) {
  HDB_TRY(parser_.begin_file(file.path, file.progress.headers));
  const bool was_line_open = file.progress.is_line_open;
  LineReader reader(*file.stream, kPayloadBytesMax, file.progress.line - (was_line_open ? 1 : 0));
  bool is_first = true;
  while (true) {
    const auto line = reader.next();
    if (!line.ok()) {
      HDB_TRY(commit(file));
      return line.status();
    }
    if (!line.value()) break;
    if (is_first && was_line_open && line.value()->text.empty() && !line.value()->is_too_long) {
      // The newline of the line that was the last when the file was read before.
      file.progress.advance(line.value()->end_offset, line.value()->number, {}, line.value()->has_newline);
    } else {
      HDB_TRY(take_line(file, *line.value()));
    }
    is_first = false;
    if (batch_.size() >= settings_.batch_events || batch_.bytes() >= kBatchBytesMax) HDB_TRY(commit(file));
  }
  file.progress.is_finished = true;
  return commit(file);
}

Status IngestJob::take_line(File& file, const Line& line) {
  if (line.is_too_long) {
    return refuse_line(file, line, "longer than 16 MiB, the most a payload may have; split the event");
  }
  const auto event = parser_.parse(line.text);
  if (!event.ok()) return refuse_line(file, line, event.status().message());
  if (event.value()) {
    if (batch_.size() == 0) file.first_line = line.number;
    file.last_line = line.number;
    batch_.add(*event.value());
  }
  file.progress.advance(line.end_offset, line.number, line.text, line.has_newline);
  return {};
}

Status IngestJob::refuse_line(File& file, const Line& line, std::string_view why) {
  ++totals_.bad_lines;
  const std::string report = fmt::format("{}:{}: {}", shown_name(file.path), line.number, why);
  if (settings_.stops_at_bad_line) {
    HDB_TRY(commit(file));
    return Status::invalid_argument(report);
  }
  hooks_.on_bad_line(report);
  // A last line without its newline may still be being written: it is read again when the file has grown.
  const bool may_be_unfinished = !line.has_newline && file.stream->packing() == InputStream::Packing::kNone;
  if (!may_be_unfinished) file.progress.advance(line.end_offset, line.number, line.text, line.has_newline);
  return {};
}

Status IngestJob::commit(File& file) {
  if (batch_.size() == 0 && !file.is_resumable) return {};
  file.progress.headers = parser_.headers();
  const std::string value = file.progress.encode();
  const KeyValueChange change = progress_.change(file.progress, value);
  const std::span<const KeyValueChange> changes(&change, file.is_resumable ? 1 : 0);
  const auto result =
      engine_.append(Batch{.events = batch_.events(), .changes = changes, .durability = settings_.durability});
  if (!result.ok()) {
    const std::string lines = batch_.size() == 0 ? "" : fmt::format(":{}-{}", file.first_line, file.last_line);
    return result.status().in_context(shown_name(file.path) + lines);
  }
  if (result->count > 0) hooks_.on_acknowledged(result->first_position, result->count);
  totals_.events += result->count;
  totals_.duplicates += result->duplicates.size();
  if (file.is_resumable) progress_.remember(file.progress);
  batch_.clear();
  hooks_.on_batch(totals_, file.stream->file_bytes_read());
  return {};
}

}  // namespace hdb::cli
