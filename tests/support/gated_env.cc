#include "tests/support/gated_env.h"

#include <new>
#include <utility>

#include "tests/support/faults.h"

namespace hdb::test {

class GatedEnv::GatedFile final : public WritableFile {
 public:
  GatedFile(GatedEnv& env, std::unique_ptr<WritableFile> file) : env_(env), file_(std::move(file)) {}

  Status append(std::span<const ByteView> pieces) override {
    env_.pass(Gate::kTables);
    return file_->append(pieces);
  }
  Status sync() override { return file_->sync(); }
  Status close() override { return file_->close(); }
  const std::string& path() const noexcept override { return file_->path(); }

 private:
  GatedEnv& env_;
  std::unique_ptr<WritableFile> file_;
};

class GatedEnv::GatedLog final : public LogFile {
 public:
  GatedLog(GatedEnv& env, std::unique_ptr<LogFile> file) : env_(env), file_(std::move(file)) {}

  Result<std::uint64_t> prepare(std::uint64_t bytes) override { return file_->prepare(bytes); }
  Status zero(std::uint64_t begin, std::uint64_t end) override { return file_->zero(begin, end); }
  Result<Ticket> submit(std::uint64_t offset, std::span<const ByteView> pieces, bool is_durable) override {
    env_.pass_log_write();
    return file_->submit(offset, pieces, is_durable);
  }
  Result<std::uint64_t> wait(Ticket ticket) override { return file_->wait(ticket); }
  Status sync() override {
    env_.pass(Gate::kLog);
    return file_->sync();
  }
  Status truncate(std::uint64_t bytes) override { return file_->truncate(bytes); }
  Status close() override { return file_->close(); }
  const std::string& path() const noexcept override { return file_->path(); }

 private:
  GatedEnv& env_;
  std::unique_ptr<LogFile> file_;
};

void GatedEnv::hold(Gate gate) {
  const MutexLock lock(mutex_);
  gates_[static_cast<std::size_t>(gate)].is_held = true;
}

void GatedEnv::release(Gate gate) {
  const MutexLock lock(mutex_);
  gates_[static_cast<std::size_t>(gate)].is_held = false;
  signal_.notify_all();
}

void GatedEnv::wait_for_held(Gate gate) {
  const MutexLock lock(mutex_);
  while (gates_[static_cast<std::size_t>(gate)].waiting == 0) signal_.wait(mutex_);
}

void GatedEnv::starve_log_write(std::uint64_t number) {
  const MutexLock lock(mutex_);
  log_writes_left_ = number;
}

bool GatedEnv::has_starved() const {
  const MutexLock lock(mutex_);
  return has_starved_;
}

void GatedEnv::pass(Gate gate) {
  const MutexLock lock(mutex_);
  State& state = gates_[static_cast<std::size_t>(gate)];
  if (!state.is_held) return;
  count_fault(Fault::kDelay);
  ++state.waiting;
  signal_.notify_all();
  while (state.is_held) signal_.wait(mutex_);
  --state.waiting;
}

void GatedEnv::pass_log_write() {
  {
    const MutexLock lock(mutex_);
    if (log_writes_left_ != kNever && log_writes_left_-- == 0) {
      log_writes_left_ = kNever;
      has_starved_ = true;
      count_fault(Fault::kFailedAllocation);
      throw std::bad_alloc();
    }
  }
  pass(Gate::kLog);
}

Result<std::unique_ptr<WritableFile>> GatedEnv::create(const std::string& path, FileWrites writes) {
  auto file = HDB_TRY(env_.create(path, writes));
  if (path.find("/sstables/") == std::string::npos) return file;
  return std::unique_ptr<WritableFile>(std::make_unique<GatedFile>(*this, std::move(file)));
}

Result<std::unique_ptr<LogFile>> GatedEnv::create_log(const std::string& path, LogWrites writes) {
  auto file = HDB_TRY(env_.create_log(path, writes));
  return std::unique_ptr<LogFile>(std::make_unique<GatedLog>(*this, std::move(file)));
}

}  // namespace hdb::test
