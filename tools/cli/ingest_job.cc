#include "tools/cli/ingest_job.h"

#include <fmt/format.h>

#include "base/record.h"

namespace hdb::cli {

namespace {

constexpr std::size_t kBatchBytesMax = 32u << 20;  // bounds memory where events are large

// The name that a mapping may take an attribute from: that of a stream's device (/dev/stdin, or /dev/fd/63 as a shell
// makes it for <(...)) says nothing of what comes out of it; that of a file or of a named pipe may.
std::string telling_name(const std::string& path, bool is_regular) {
  return !is_regular && (path.starts_with("/dev/") || path.starts_with("/proc/")) ? "-" : path;
}

}  // namespace

Status IngestJob::take_file(const std::string& path) {
  File file;
  file.path = path;
  file.is_resumable = HDB_TRY(is_regular_file(path));
  ++totals_.files;
  const FileStamp stamp = HDB_TRY(stamp_of(path));
  if (file.is_resumable) {
    IngestProgress::Start start = HDB_TRY(progress_.start(path, settings_.starts_anew));
    file.progress = std::move(start.progress);
    file.stream = std::move(start.stream);
    file.superseded = std::move(start.superseded);
    if (start.has_moved) {
      hooks_.on_remark(fmt::format("{}: is taken from line {} on: the {} lines before it were taken in before", path,
                                   file.progress.line + 1, file.progress.line));
    }
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
  HDB_TRY(parser_.begin_file(telling_name(file.path, file.is_resumable), file.progress.headers));
  const bool was_line_open = file.progress.is_line_open;
  LineReader reader(*file.stream, kPayloadBytesMax, file.progress.line - (was_line_open ? 1 : 0), file.progress.hash);
  // Lines of a pipe are stored when it pauses, not when a batch is full: they come only once.
  if (!file.is_resumable)
    reader.set_before_wait([this, &file] { return batch_.size() == 0 ? Status() : commit(file); });
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
      file.progress.advance(*line.value());
    } else {
      if (is_first && was_line_open) {
        hooks_.on_remark(fmt::format("{}:{}: was taken before it was whole; what has been added to it is taken alone",
                                     shown_name(file.path), line.value()->number));
      }
      HDB_TRY(take_line(file, *line.value()));
    }
    is_first = false;
    if (is_interrupted()) {
      HDB_TRY(commit(file));
      return Status::error(StatusCode::kClosed, "stopped by a signal; run the same command again to go on");
    }
    if (batch_.size() >= settings_.batch_events || batch_.bytes() >= kBatchBytesMax) HDB_TRY(commit(file));
  }
  file.progress.is_finished = true;
  return commit(file);
}

Status IngestJob::take_line(File& file, const Line& line) {
  if (line.is_too_long) {
    return refuse_line(file, line, "longer than 16 MiB, the most a payload may have; split the event");
  }
  // A batch has one place, and so the header lines of one place.
  if (settings_.format == InputFormat::kZeek && line.text.starts_with('#') && batch_.size() > 0) HDB_TRY(commit(file));
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  std::string_view text = line.text;
  if (line.number == 1 && text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const auto event = parser_.parse(text);
  if (!event.ok()) return refuse_line(file, line, event.status().message());
  file.progress.advance(line);
  if (event.value()) {
    if (settings_.expects_id && !event.value()->id) ++totals_.without_id;
    batch_.add(*event.value());
    places_.push_back(file.progress);
  }
  return {};
}

Status IngestJob::refuse_line(File& file, const Line& line, std::string_view why) {
  const std::string report = fmt::format("{}:{}: {}", shown_name(file.path), line.number, why);
  if (settings_.stops_at_bad_line) {
    HDB_TRY(commit(file));
    ++totals_.bad_lines;
    return Status::invalid_argument(report);
  }
  ++totals_.bad_lines;
  hooks_.on_bad_line(report);
  // A last line without its newline may still be being written: it is read again when the file has grown.
  const bool may_be_unfinished = !line.has_newline && file.stream->packing() == InputStream::Packing::kNone;
  if (!may_be_unfinished) file.progress.advance(line);
  return {};
}

// Of an event whose id is stored with other content.
Status IngestJob::refuse_event(const File& file, std::size_t event, const Status& why) {
  ++totals_.bad_lines;
  ++totals_.conflicts;
  const std::string report = fmt::format("{}:{}: {}", shown_name(file.path), places_[event].line, why.message());
  if (settings_.stops_at_bad_line) return Status::error(why.code(), report);
  hooks_.on_bad_line(report);
  return {};
}

Status IngestJob::commit(File& file) {
  file.progress.headers = parser_.headers();
  HDB_TRY(append_events(file, 0, batch_.size()));
  file.superseded.clear();
  batch_.clear();
  places_.clear();
  hooks_.on_batch(totals_, file.stream->file_bytes_read());
  return {};
}

// Commits these events of the batch with the place behind them, which for the last is that of the file. A conflict
// refuses them all: then the halves are tried in their order, down to the event that is to blame, so that every other
// one is stored and whatever is stored has its place with it.
Status IngestJob::append_events(const File& file, std::size_t begin, std::size_t end) {
  if (begin == end && !file.is_resumable) return {};
  FileProgress progress = file.progress;
  if (end < batch_.size()) {
    static_cast<LinePlace&>(progress) = places_[end - 1];
    progress.is_finished = false;
  }
  const std::string value = progress.encode();
  std::vector<KeyValueChange> changes;
  if (file.is_resumable) {
    for (const std::string& key : file.superseded) changes.push_back(progress_.erasure(key));
    changes.push_back(progress_.change(progress, value));
  }
  const auto result = engine_.append(Batch{
      .events = batch_.events().subspan(begin, end - begin), .changes = changes, .durability = settings_.durability});
  if (result.ok()) {
    if (result->count > 0) hooks_.on_acknowledged(result->first_position, result->count);
    totals_.events += result->count;
    totals_.duplicates += result->duplicates.size();
    if (file.is_resumable) progress_.remember(progress);
    return {};
  }
  const Status& failure = result.status();
  if (begin == end) return failure.in_context(shown_name(file.path));
  if (failure.code() != StatusCode::kConflict) {
    return failure.in_context(
        fmt::format("{}:{}-{}", shown_name(file.path), places_[begin].line, places_[end - 1].line));
  }
  if (end - begin > 1) {
    const std::size_t middle = begin + (end - begin) / 2;
    HDB_TRY(append_events(file, begin, middle));
    return append_events(file, middle, end);
  }
  HDB_TRY(refuse_event(file, begin, failure));
  return end == batch_.size() ? append_events(file, end, end) : Status();
}

}  // namespace hdb::cli
