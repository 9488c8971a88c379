#include "engine/store.h"

#include <algorithm>

#include "engine/fork_watch.h"
#include "engine/ready_errors.h"
#include "io/file_name.h"

namespace hdb {

Store::Store(const std::string& directory, const Options& options, Hooks hooks, Platform platform, bool is_read_only)
    : directory_(without_trailing_slashes(directory)),
      options_(options),
      hooks_(std::move(hooks)),
      is_read_only_(is_read_only),
      env_(*platform.env),
      clock_(*platform.clock),
      seed_(platform.seed),
      process_generation_(process_generation()),
      block_cache_(std::make_unique<sstable::BlockCache>(options.block_cache_bytes)),
      tables_(std::make_unique<sstable::TableCache>(env_, directory_, options.open_tables_max, *block_cache_)),
      reserve_(env_, directory_, options.reserve_bytes),
      batch_memory_(options.memtable_bytes),
      background_(std::move(platform.background)),
      submissions_(std::make_unique<Submissions>(
          *background_, commit_queue_,
          [this](CommitQueue::Place place, Appending& appending) { return finish_submitted(place, appending); })) {}

Store::~Store() {
  if (is_forked()) {
    // The threads are the parent's, and so are the locks: nothing here can be ended, or may be written.
    static_cast<void>(background_.release());
    static_cast<void>(submissions_.release());
    env_.abandon_lock();
    return;
  }
  ignore(without_exceptions([this] { return close(/*is_forced=*/true); }), "a destructor cannot report");
}

bool Store::is_forked() const noexcept {
  return process_generation() != process_generation_;
}

Status Store::check_open() const {
  if (is_forked()) {
    return Status::error(StatusCode::kClosed,
                         directory_ +
                             ": the engine belongs to the process that opened it, which forked this one; open "
                             "the store here after it was closed there");
  }
  if (!is_closed_.load(std::memory_order_acquire)) return {};
  return Status::error(StatusCode::kClosed, directory_ + ": the engine is closed; open it again");
}

std::shared_ptr<ReadView> Store::make_view() {
  constexpr std::size_t kSealedReserve = 64;  // more than can be sealed while the view is being prepared
  auto view = std::make_shared<ReadView>();
  MutexLock lock(state_mutex_);
  view->sealed.reserve(sealed_.size() + kSealedReserve);
  return view;
}

void Store::publish_view(std::shared_ptr<ReadView> view) {
  view->active = active_;
  view->sealed.assign(sealed_.begin(), sealed_.end());
  view->version = version_;
  visibility_->install(std::move(view));
  update_room();
}

void Store::update_room() noexcept {
  const bool is_pressed =
      sealed_.size() >= options_.sealed_memtables_max || version_->level(0).size() > options_.level0_stop_trigger / 2;
  has_room_.store(write_error_.ok() && !is_pressed, std::memory_order_relaxed);
}

void Store::publish_view() {
  publish_view(std::make_shared<ReadView>());
}

void Store::notify(Notice notice, std::string_view text) const noexcept {
  if (!hooks_.listener) return;
  try {
    hooks_.listener(notice, text);
  } catch (...) {  // the listener's own trouble: nothing of the store depends on it
  }
}

void Store::tell_log_fallback() noexcept {
  if (is_log_fallback_told_) return;
  try {
    const std::string fallback = log_->fallback();
    if (fallback.empty()) return;
    notify(Notice::kFallback, fallback);
    is_log_fallback_told_ = true;
  } catch (...) {  // there may be memory for the line after the next group
  }
}

void Store::note_first_error(const Status& error) noexcept {
  {
    MutexLock lock(state_mutex_);
    if (first_background_error_.ok()) first_background_error_ = error;
  }
  notify(Notice::kError, error.message());
}

// Deletes the files of tables that no version shown to a reader holds any more.
void Store::collect_garbage() noexcept {
  while (true) {
    FileNumber unused;
    {
      MutexLock lock(state_mutex_);
      const auto found =
          std::find_if(obsolete_.begin(), obsolete_.end(), [](const auto& table) { return table.second.expired(); });
      if (found == obsolete_.end()) return;
      unused = found->first;
      obsolete_.erase(found);
    }
    const Status removed = without_exceptions([&] {
      tables_->evict(unused);
      return env_.remove(table_path(directory_, unused));
    });
    ignore(removed, "an orphan is deleted at the next open");
  }
}

Status Store::close(bool is_forced) {
  HDB_TRY(check_open());
  if (!is_forced && submissions_->is_in_callback()) {
    return Status::invalid_argument(directory_ +
                                    ": close: called in a callback of a submitted batch, which it would wait "
                                    "for; close from another thread");
  }
  submissions_->stop();
  if (const std::size_t pins = visibility_->pin_count(); pins > 0 && !is_forced) {
    submissions_->resume();
    return Status::error(StatusCode::kBusy, directory_ + ": " + std::to_string(pins) +
                                                " cursors or snapshots are still open; let them go, then close again");
  }
  Status status = is_read_only_ ? Status() : without_exceptions([this] { return flush(); });
  is_stopping_.store(true, std::memory_order_release);
  {
    MutexLock lock(state_mutex_);
    while (is_flushing_ || running_compactions_ > 0) background_->wait(state_mutex_, state_signal_);
  }
  is_closed_.store(true, std::memory_order_release);
  background_->stop();
  if (!is_read_only_) status = end_log(status);
  {
    MutexLock lock(state_mutex_);
    active_.reset();
    sealed_.clear();
    if (status.ok()) status = first_background_error_;
  }
  collect_garbage();
  if (!is_read_only_) reserve_.remove();
  env_.release_lock();
  return status;
}

// What is written to files that were moved, or that another process has read in the meantime, would be lost to it, and
// may be what it overwrites.
Status Store::check_place() {
  Status held = env_.check_lock();
  if (!held.ok()) stop_writes(held);
  return held;
}

// What could not be flushed stays in the log; the next open replays it.
Status Store::end_log(const Status& flushed) {
  if (flushed.ok()) return without_exceptions([this] { return close_log(); });
  ignore(without_exceptions([this] { return sync_log(); }), "the first error is reported");
  return flushed;
}

Status Store::sync_log() {
  MutexLock lock(log_mutex_);
  return log_->sync();
}

// Everything is in tables: the log ends, and the manifest says so before its files go.
Status Store::close_log() {
  HDB_TRY(check_place());
  LogPoint end;
  {
    MutexLock lock(log_mutex_);
    HDB_TRY(log_->close());
    end = log_->end();
  }
  compaction::VersionEdit edit;
  edit.log_floor = LogPoint{end.segment.next(), 0};
  edit.is_log_open = false;
  edit.next_file_number = FileNumber(file_number_.load(std::memory_order_relaxed));
  MutexLock manifest_lock(manifest_mutex_);
  HDB_TRY(manifest_->append(edit));
  MutexLock lock(log_mutex_);
  return remove_log_files();
}

Status Store::remove_log_files() {
  const std::string directory = log_directory(directory_);
  for (const std::string& name : HDB_TRY(env_.list(directory))) {
    if (parse_segment_name(name)) HDB_TRY(env_.remove(directory + "/" + name));
  }
  return env_.sync_directory(directory);
}

std::string Store::store_id() const {
  return EventId(id_).to_string();
}

}  // namespace hdb
