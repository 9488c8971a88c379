#include "engine/visibility.h"

#include "base/seeded_defect.h"

#include <algorithm>

namespace hdb {

Snapshot::Pin::~Pin() {
  visibility_->unpin(at_.next_sequence);
}

Position Snapshot::position_end() const noexcept {
  return pin_->at().position_end;
}

Visibility::Read Visibility::read() const {
  MutexLock lock(mutex_);
  return {view_, published_};
}

std::shared_ptr<const Snapshot::Pin> Visibility::pin() {
  auto self = shared_from_this();
  MutexLock lock(mutex_);
  const auto registered = pins_.insert(published_.next_sequence);
  try {
    return std::make_shared<const Snapshot::Pin>(std::move(self), published_);
  } catch (...) {
    pins_.erase(registered);
    throw;
  }
}

std::shared_ptr<const ReadView> Visibility::view() const {
  MutexLock lock(mutex_);
  return view_;
}

void Visibility::open_slot(Published end, std::size_t batches) {
  MutexLock lock(mutex_);
  slots_.push_back({end, batches});
}

void Visibility::batch_applied(SequenceNumber end) {
  MutexLock lock(mutex_);
  const auto slot =
      std::lower_bound(slots_.begin(), slots_.end(), end,
                       [](const Slot& candidate, SequenceNumber value) { return candidate.end.next_sequence < value; });
  HDB_CHECK(slot != slots_.end() && slot->end.next_sequence == end && slot->batches_left > 0);
  --slot->batches_left;
  bool has_advanced = false;
  const bool is_early = HDB_SEEDED(publish_before_all_is_applied);
  while (!slots_.empty() && (slots_.front().batches_left == 0 || (is_early && slots_.size() > 1))) {
    published_ = slots_.front().end;
    slots_.pop_front();
    has_advanced = true;
  }
  if (!has_advanced) return;
  published_sequence_.store(published_.next_sequence.raw(), std::memory_order_release);
  published_signal_.notify_all();
}

Status Visibility::wait_published(SequenceNumber end) {
  if (published_sequence_.load(std::memory_order_acquire) >= end.raw()) return {};
  MutexLock lock(mutex_);
  while (published_.next_sequence < end && failure_.ok()) published_signal_.wait(mutex_);
  return published_.next_sequence < end ? failure_ : Status();
}

void Visibility::fail(const Status& error) {
  MutexLock lock(mutex_);
  failure_ = error;
  published_signal_.notify_all();
}

void Visibility::install(std::shared_ptr<const ReadView> view) {
  MutexLock lock(mutex_);
  view_.swap(view);
  generation_.fetch_add(1, std::memory_order_release);
}

std::vector<SequenceNumber> Visibility::held_sequences() const {
  MutexLock lock(mutex_);
  std::vector<SequenceNumber> held;
  held.reserve(pins_.size() + 1);
  for (const SequenceNumber next_sequence : pins_) held.push_back(SequenceNumber(next_sequence.raw() - 1));
  held.push_back(SequenceNumber(published_.next_sequence.raw() - 1));
  held.erase(std::unique(held.begin(), held.end()), held.end());
  return held;
}

std::size_t Visibility::pin_count() const {
  MutexLock lock(mutex_);
  return pins_.size();
}

void Visibility::unpin(SequenceNumber next_sequence) noexcept {
  MutexLock lock(mutex_);
  pins_.erase(pins_.find(next_sequence));
}

}  // namespace hdb
