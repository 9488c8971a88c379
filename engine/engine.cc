// The public API: keeps exceptions in, and hands everything to the Store.
#include <hdb/engine.h>

#include <random>
#include <system_error>

#include "engine/event_cursor.h"
#include "engine/key_cursor.h"
#include "engine/ready_errors.h"
#include "engine/store.h"
#include "engine/store_copy.h"
#include "io/file_name.h"

namespace hdb {

namespace {

// Runs one call of the API. Allocation is the only thing below that throws; what a failed one interrupts has had no
// effect.
template <typename Call>
auto guarded(Call call) noexcept -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return out_of_memory();
  } catch (const std::system_error& error) {  // no more threads
    const Status busy = without_exceptions([&] {
      return Status::error(StatusCode::kBusy,
                           std::string("the engine's threads cannot be started: ") + error.what() +
                               "; raise the limits on processes or memory, or lower Options::background_threads");
    });
    return busy;
  } catch (...) {
    return out_of_memory();
  }
}

// As guarded, for what has no room for an error.
template <typename Call>
auto guarded_or_empty(Call call) noexcept -> decltype(call()) {
  try {
    return call();
  } catch (...) {
    return {};
  }
}

std::uint64_t random_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 32) | device();
}

Platform real_platform(std::unique_ptr<Background> background) {
  return {.env = &posix_env(), .clock = &system_clock(), .background = std::move(background), .seed = random_seed()};
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const std::filesystem::path& directory, const Options& options,
                                             OpenMode mode, Hooks hooks) {
  return guarded([&]() -> Result<std::unique_ptr<Engine>> {
    HDB_TRY(validate(options));
    return std::make_unique<Engine>(HDB_TRY(Store::open(directory.string(), options, mode, std::move(hooks),
                                                        real_platform(thread_background(options.background_threads)))));
  });
}

Result<std::unique_ptr<Engine>> Engine::open_read_only(const std::filesystem::path& directory, const Options& options,
                                                       Hooks hooks) {
  return guarded([&]() -> Result<std::unique_ptr<Engine>> {
    HDB_TRY(validate(options));
    return std::make_unique<Engine>(
        HDB_TRY(Store::open_read_only(directory.string(), options, std::move(hooks), real_platform(no_background()))));
  });
}

Engine::Engine(std::shared_ptr<Store> store) noexcept : store_(std::move(store)) {}

Engine::~Engine() {
  ignore(guarded([this] { return store_->close(/*is_forced=*/true); }), "a destructor cannot report");
}

Result<AppendResult> Engine::append(const Batch& batch) {
  return guarded([&] { return store_->append(batch); });
}

Result<AppendTicket> Engine::submit(const Batch& batch, AppendCallback callback) {
  return guarded(
      [&]() -> Result<AppendTicket> { return AppendTicket(HDB_TRY(store_->submit(batch, std::move(callback)))); });
}

Result<std::optional<StoredEvent>> Engine::get(Position position, const Snapshot* at) const {
  return guarded([&] { return store_->get(position, at); });
}

Result<std::optional<StoredEvent>> Engine::get(const EventId& id, const Snapshot* at) const {
  return guarded([&] { return store_->get(id, at); });
}

Result<EventCursor> Engine::query(const Query& query, const Snapshot* at) const {
  return guarded([&] { return store_->query(query, at); });
}

Result<Keyspace> Engine::keyspace(std::string_view name) {
  return guarded([&] { return store_->keyspace(name); });
}

std::vector<std::pair<std::string, Keyspace>> Engine::keyspaces() const {
  return guarded_or_empty([&] { return store_->keyspaces(); });
}

Status Engine::put(Keyspace keyspace, ByteView key, ByteView value) {
  const KeyValueChange change{keyspace, key, value};
  return append(Batch{.events = {}, .changes = {&change, 1}, .durability = {}}).status();
}

Status Engine::erase(Keyspace keyspace, ByteView key) {
  const KeyValueChange change{keyspace, key, std::nullopt};
  return append(Batch{.events = {}, .changes = {&change, 1}, .durability = {}}).status();
}

Result<std::optional<Value>> Engine::get(Keyspace keyspace, ByteView key, const Snapshot* at) const {
  return guarded([&] { return store_->get(keyspace, key, at); });
}

Result<KeyCursor> Engine::scan(Keyspace keyspace, const KeyRange& range, const Snapshot* at) const {
  return guarded([&] { return store_->scan(keyspace, range, at); });
}

Result<Snapshot> Engine::snapshot() const {
  return guarded([&] { return store_->snapshot(); });
}

Status Engine::sync() {
  return guarded([&] { return store_->sync(); });
}

Status Engine::flush() {
  return guarded([&] { return store_->flush(); });
}

Status Engine::compact() {
  return guarded([&] { return store_->compact(); });
}

Result<BackupReport> Engine::backup(const std::filesystem::path& directory, BackupMode mode) {
  return guarded([&] { return store_->backup(without_trailing_slashes(directory.string()), mode); });
}

Result<BackupReport> restore(const std::filesystem::path& from, const std::filesystem::path& to) {
  return guarded([&] {
    return restore_store(posix_env(), without_trailing_slashes(from.string()), without_trailing_slashes(to.string()));
  });
}

Stats Engine::stats() const {
  return guarded_or_empty([&] { return store_->stats(); });
}

std::string Engine::store_id() const {
  return guarded_or_empty([&] { return store_->store_id(); });
}

Status Engine::close() {
  return guarded([&] { return store_->close(/*is_forced=*/false); });
}

AppendTicket::AppendTicket(std::shared_ptr<const Submission> submission) noexcept
    : submission_(std::move(submission)) {}

bool AppendTicket::is_done() const {
  return submission_->is_done();
}

const Result<AppendResult>& AppendTicket::wait() const {
  return submission_->wait();
}

EventCursor::EventCursor(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
EventCursor::EventCursor(EventCursor&&) noexcept = default;
EventCursor& EventCursor::operator=(EventCursor&&) noexcept = default;
EventCursor::~EventCursor() = default;

Result<std::optional<StoredEvent>> EventCursor::next() {
  return guarded([&] { return impl_->next(); });
}

Result<std::size_t> EventCursor::next_batch(std::size_t max, std::vector<StoredEvent>& events) {
  return guarded([&] { return impl_->next_batch(max, events); });
}

Result<std::string> EventCursor::resume_token() const {
  return guarded([&] { return impl_->resume_token(); });
}

KeyCursor::KeyCursor(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
KeyCursor::KeyCursor(KeyCursor&&) noexcept = default;
KeyCursor& KeyCursor::operator=(KeyCursor&&) noexcept = default;
KeyCursor::~KeyCursor() = default;

Result<std::optional<KeyValue>> KeyCursor::next() {
  return guarded([&] { return impl_->next(); });
}

}  // namespace hdb
