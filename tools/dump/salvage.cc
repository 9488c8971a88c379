#include "tools/dump/salvage.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "base/seeded_defect.h"
#include "compaction/merge_iterator.h"
#include "io/file_name.h"
#include "io/unfinished_copy.h"
#include "sstable/event_block.h"
#include "sstable/event_table.h"
#include "sstable/key_block.h"
#include "sstable/key_table.h"
#include "sstable/key_table_builder.h"
#include "sstable/table_cache.h"
#include "tools/dump/salvage_log.h"
#include "tools/dump/salvaged_store.h"
#include "tools/dump/survey_store.h"

namespace hdb::dump {

namespace {

using compaction::ManifestState;
using compaction::TableRef;
using sstable::TableKind;

constexpr std::uint64_t kCopyCacheBytes = 8u << 20;
constexpr std::uint32_t kOpenTables = 64;
constexpr std::size_t kMergedAtOnce = 64;           // runs of keys
constexpr std::uint32_t kKeyspacesMax = 1u << 20;   // to be named anew
constexpr std::uint64_t kLostEventsMax = 1u << 22;  // beside one for each byte of the store
constexpr std::uint64_t kChangesBytes = 64u << 20;  // of the log, held until they are a table

// A run of events that can be read: a whole sound table, or a block of a damaged one. An empty one says only that all
// before it was there.
struct EventRun {
  Position begin = 0;
  Position end = 0;
  const SurveyedTable* table = nullptr;
  const SurveyedBlock* block = nullptr;  // null: the whole table
};

// Stored keys that the table lost: between the ends of the intact blocks around the damaged ones.
std::vector<DoubtfulKeys> lost_keys_of(const SurveyedTable& table) {
  std::vector<DoubtfulKeys> lost;
  if (table.is_sound || !table.meta) return lost;
  const Buffer* before = &table.meta->smallest_key;
  bool is_in_gap = false;
  for (const SurveyedBlock& block : table.blocks) {
    if (!block.is_intact) {
      if (!is_in_gap) lost.push_back({*before, {}});
      lost.back().to = block.last_key;
    }
    is_in_gap = !block.is_intact;
    before = &block.last_key;
  }
  if (table.is_cut) lost.push_back({*before, table.meta->largest_key});
  return lost;
}

// Ranges of stored keys, sorted and apart. Single-owner.
class KeyRanges {
 public:
  void add(DoubtfulKeys range) {
    ranges_.push_back(std::move(range));
    std::sort(ranges_.begin(), ranges_.end(), [](const DoubtfulKeys& a, const DoubtfulKeys& b) {
      return compare_bytes(bytes_of(a.from), bytes_of(b.from)) < 0;
    });
    std::vector<DoubtfulKeys> apart;
    for (DoubtfulKeys& next : ranges_) {
      if (apart.empty() || compare_bytes(bytes_of(apart.back().to), bytes_of(next.from)) < 0) {
        apart.push_back(std::move(next));
      } else if (compare_bytes(bytes_of(apart.back().to), bytes_of(next.to)) < 0) {
        apart.back().to = std::move(next.to);
      }
    }
    ranges_ = std::move(apart);
  }

  // Whether some range meets [from, to], both inclusive.
  bool meets(ByteView from, ByteView to) const {
    const auto at = std::partition_point(ranges_.begin(), ranges_.end(), [from](const DoubtfulKeys& range) {
      return compare_bytes(bytes_of(range.to), from) < 0;
    });
    return at != ranges_.end() && compare_bytes(bytes_of(at->from), to) <= 0;
  }

 private:
  std::vector<DoubtfulKeys> ranges_;
};

// One salvage of one store. Single-owner.
class Salvage {
 public:
  Salvage(Env& env, const std::string& store, const SalvageOptions& options, const Sink& sink)
      : env_(env), store_(store), options_(options), sink_(sink) {}

  Result<SalvageReport> run() {
    HDB_TRY(check_ends());
    HDB_TRY(take_lock());
    found_ = HDB_TRY(survey_store(env_, store_));
    report();
    plan_events();
    plan_keys();
    const Status taken = take();
    report_.position_end = next_position_;
    tell(report_, found_.state, sink_);  // of an interrupted one too: what is damaged is known
    HDB_TRY(taken);
    return std::move(report_);
  }

 private:
  // What would be refused is refused before the store is read, which may take long.
  Status check_ends() {
    if (!HDB_TRY(env_.exists(current_path(store_)))) HDB_TRY(check_finished(env_, store_));
    if (options_.target.empty()) return {};
    return check_repair_target(env_, options_.target);
  }

  Status take_lock() {
    const std::string path = lock_path(store_);
    if (HDB_TRY(env_.exists(path))) lock_ = HDB_TRY(env_.lock_read_only(path));
    return {};
  }

  Status take() {
    if (!options_.target.empty()) {
      copy_.emplace(env_, options_.target, found_.first_new_number);
      HDB_TRY(copy_->begin(found_.state.store_id));
    }
    HDB_TRY(take_tables());
    HDB_TRY(take_log());
    HDB_TRY(take_keys());
    doubt_keyspaces();
    return copy_ ? finish() : Status();
  }

  void report() {
    report_.is_manifest_sound = found_.is_manifest_sound;
    report_.has_unproved_keys = options_.takes_unproved_keys;
    report_.damages = found_.damages;
    report_.unplaced_events = found_.unplaced_events;
    for (const TableInStore& table : found_.tables) {
      const auto& lost = table.survey.lost_before;
      report_.lost_before.insert(report_.lost_before.end(), lost.begin(), lost.end());
    }
    report_.torn_bytes = found_.log.torn_bytes;
    report_.lost_changes = found_.log.lost_changes;
    report_.is_log_end_lost = found_.log.is_end_lost;
  }

  // --- what to take
  bool is_of(const TableInStore& table, TableKind kind) const {
    return table.survey.meta && table.survey.meta->kind == kind;
  }

  void plan_events() {
    for (const TableInStore& table : found_.tables) {
      if (!is_of(table, TableKind::kEvents)) continue;
      if (table.survey.is_sound) levels_[&table.survey] = table.level;
      add_runs(table.survey, runs_);
      // Where it ended, all of it was: nothing else tells of what is damaged there.
      const Position end = table.survey.meta->position_end;
      if (!table.survey.is_sound) runs_.push_back({end, end, &table.survey, nullptr});
    }
    sort(runs_);
    for (const TableInStore& table : found_.unnamed_tables) {
      if (is_of(table, TableKind::kEvents)) add_runs(table.survey, spare_runs_);
    }
    sort(spare_runs_);
  }

  static void add_runs(const SurveyedTable& survey, std::vector<EventRun>& runs) {
    if (survey.is_sound) runs.push_back({survey.meta->position_begin, survey.meta->position_end, &survey, nullptr});
    for (const SurveyedBlock& block : survey.blocks) {
      if (block.is_intact) runs.push_back({block.first, block.first + block.count, &survey, &block});
    }
  }

  // By position; of those that begin at one position the longest first.
  static void sort(std::vector<EventRun>& runs) {
    std::sort(runs.begin(), runs.end(), [](const EventRun& a, const EventRun& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
    });
  }

  // Which keys may have had a newer version in what is damaged.
  void plan_keys() {
    for (const TableInStore& table : found_.tables) {
      if (!is_of(table, TableKind::kKeys) || table.survey.is_sound) continue;
      std::uint64_t intact = 0;
      for (const SurveyedBlock& block : table.survey.blocks) intact += block.is_intact ? block.count : 0;
      report_.lost_key_versions += table.survey.meta->entry_count - std::min(intact, table.survey.meta->entry_count);
      for (DoubtfulKeys& range : lost_keys_of(table.survey)) report_.doubtful_keys.push_back(std::move(range));
    }
  }

  // --- events
  Status take_tables() {
    for (const EventRun& run : runs_) {
      if (run.end <= next_position_ || is_beyond_belief(run.begin, run.table->path)) continue;
      HDB_TRY(seek_until(run.begin));
      if (run.begin == run.end) continue;
      if (run.block == nullptr && run.begin == next_position_) {
        if (copy_) HDB_TRY(copy_->copy(*run.table, level_of(*run.table)));
        last_commit_time_ = std::max(last_commit_time_, run.table->meta->commit_time_max);
      } else {
        HDB_TRY(take_blocks(run));
      }
      report_.events += run.end - next_position_;
      next_position_ = run.end;
    }
    return {};
  }

  std::uint32_t level_of(const SurveyedTable& table) const {
    return found_.is_manifest_sound ? levels_.at(&table) : compaction::kMergedEventLevel;
  }

  Status take_blocks(const EventRun& run) {
    if (!copy_) return {};
    return for_each_event(run, [this](Position position, Timestamp commit_time, const RecordView& record) {
      last_commit_time_ = std::max(last_commit_time_, commit_time);
      return copy_->add_event(position, last_commit_time_, record);
    });
  }

  using TakeEvent = std::function<Status(Position, Timestamp, const RecordView&)>;

  // The events of the run from next_position_, as it is now, on.
  Status for_each_event(const EventRun& run, const TakeEvent& take) {
    if (open_table_ != run.table) {
      open_file_ = HDB_TRY(env_.open(run.table->path));
      open_table_ = run.table;
    }
    const RandomAccessFile* const file = open_file_.get();
    const Position begin = next_position_;
    const auto take_block = [&](sstable::BlockHandle handle, Position position) -> Status {
      Buffer raw = HDB_TRY(read_block(*file, run.table->number, handle, sstable::BlockKind::kEventData));
      const sstable::EventBlock block = HDB_TRY(sstable::EventBlock::decode(std::move(raw)));
      for (std::uint32_t row = 0; row < block.count(); ++row, ++position) {
        if (position >= begin) HDB_TRY(take(position, block.commit_time(row), block.record(row)));
      }
      return {};
    };
    if (run.block != nullptr) return take_block(run.block->handle, run.block->first);
    sstable::BlockCache cache(kCopyCacheBytes);
    const auto table = HDB_TRY(sstable::EventTable::open(env_, run.table->path, run.table->number, cache));
    for (const auto& entry : table->blocks()) {
      const Position first = run.begin + entry.first;
      if (first + entry.count > begin) HDB_TRY(take_block(entry.handle, first));
    }
    return {};
  }

  // The events from next_position_ to `end` are not where they should be. A position never changes its event, so that
  // whatever else has it will do.
  Status seek_until(Position end) {
    if (end <= next_position_) return {};
    for (const EventRun& run : spare_runs_) {
      if (run.end <= next_position_ || run.begin >= end) continue;
      HDB_TRY(seek_in_log(run.begin));
      HDB_TRY(for_each_event(run, [this, end](Position position, Timestamp commit_time, const RecordView& record) {
        return take_spare(position, end, commit_time, record);
      }));
    }
    return seek_in_log(end);
  }

  // Likewise: the log still has, below its floor, some of what a damaged table held.
  Status seek_in_log(Position end) {
    if (end <= next_position_) return {};
    if (!is_log_listed_) HDB_TRY(list_log());
    const bool has_any = std::any_of(in_log_.begin(), in_log_.end(), [this, end](const LostPositions& range) {
      return range.begin < end && range.end > next_position_;
    });
    if (!has_any) return lose_until(end);
    HDB_TRY(visit_log_from_its_begin([this, end](const SalvagedBatch& salvaged) {
      Position position = salvaged.first_position;
      Status status;
      salvaged.batch.for_each_record([&](const RecordView& record) {
        if (status.ok()) status = take_spare(position++, end, salvaged.commit_time, record);
      });
      return status;
    }));
    return lose_until(end);
  }

  Status list_log() {
    is_log_listed_ = true;
    return visit_log_from_its_begin([this](const SalvagedBatch& salvaged) -> Status {
      const Position begin = salvaged.first_position;
      const Position end = begin + salvaged.batch.event_count();
      if (begin == end) return {};
      if (in_log_.empty() || in_log_.back().end != begin) in_log_.push_back({begin, begin});
      in_log_.back().end = end;
      return {};
    });
  }

  Status visit_log_from_its_begin(const std::function<Status(const SalvagedBatch&)>& visit) {
    return salvage_log(env_, store_, found_.state, /*is_manifest_sound=*/false, visit).status();
  }

  // An event found elsewhere, if it is one that is sought.
  Status take_spare(Position position, Position end, Timestamp commit_time, const RecordView& record) {
    if (position < next_position_ || position >= end || record.kind() == RecordKind::kLost) return {};
    HDB_TRY(lose_until(position));
    last_commit_time_ = std::max(last_commit_time_, commit_time);
    if (copy_) HDB_TRY(copy_->add_event(position, last_commit_time_, record));
    ++next_position_;
    ++report_.events;
    return {};
  }

  // Whether a file, if it does have events from there on, says of more lost ones before them than there can have been:
  // each of those is written down. A manifest would vouch for them; without one, as many bytes as all files have must
  // do, and some for files that are missing. Tells of it once.
  bool is_beyond_belief(Position begin, const std::string& path) {
    const Position vouched = std::max(next_position_, found_.state.position_end);
    if (found_.is_manifest_sound || begin <= vouched) return false;
    const std::uint64_t room = kLostEventsMax + found_.bytes;
    if (begin - vouched <= room - std::min(room, unvouched_events_)) return false;
    if (left_out_.insert(path).second) {
      report_.damages.push_back({path + ": claims events from position " + std::to_string(begin) + " on, of which " +
                                     std::to_string(begin - vouched) +
                                     " are nowhere: more than a store of this size can have lost; left out",
                                 0});
    }
    return true;
  }

  // The events from next_position_ to `end` are nowhere.
  Status lose_until(Position end) {
    if (end <= next_position_) return {};
    const Position vouched = std::max(next_position_, found_.state.position_end);
    unvouched_events_ += end - std::min(end, vouched);
    if (!report_.lost_positions.empty() && report_.lost_positions.back().end == next_position_) {
      report_.lost_positions.back().end = end;
    } else {
      report_.lost_positions.push_back({next_position_, end});
    }
    const auto record = encode_lost_record(last_commit_time_);
    for (; copy_ && next_position_ < end; ++next_position_) {
      HDB_TRY(copy_->add_event(next_position_, last_commit_time_, RecordView::trusted(record)));
    }
    next_position_ = end;
    return {};
  }

  // --- the log: its events follow those of tables, its changes are newer than all tables of keys
  Status take_log() {
    // What tables held at their end, and is damaged, comes before.
    if (found_.is_manifest_sound) HDB_TRY(seek_until(found_.state.position_end));
    const Status taken =
        salvage_log(env_, store_, found_.state, found_.is_manifest_sound, [this](const SalvagedBatch& batch) {
          return take_batch(batch);
        }).status();
    HDB_TRY(taken);
    HDB_TRY(seek_until(found_.state.position_end));
    if (!is_beyond_belief(found_.log.next_position, log_directory(store_))) {
      HDB_TRY(seek_until(found_.log.next_position));
    }
    HDB_TRY(write_changes());
    next_sequence_ = std::max({found_.state.next_sequence, found_.log.next_sequence, next_sequence_});
    return {};
  }

  Status take_batch(const SalvagedBatch& salvaged) {
    Position position = salvaged.first_position;
    if (is_beyond_belief(position, segment_path(store_, salvaged.segment))) return {};
    last_commit_time_ = std::max(last_commit_time_, salvaged.commit_time);
    HDB_TRY(seek_until(position));
    Status status;
    salvaged.batch.for_each_record([&](const RecordView& record) {
      if (status.ok() && position == next_position_) {
        if (copy_) status = copy_->add_event(position, last_commit_time_, record);
        ++next_position_;
        ++report_.events;
      }
      ++position;
    });
    HDB_TRY(status);
    SequenceNumber sequence(salvaged.first_sequence.raw() + salvaged.batch.event_count());
    salvaged.batch.for_each_change([&](const BatchView::Change& change) {
      changes_bytes_ += change.key.size() + change.value.size() + sizeof(Change);
      changes_.push_back({Buffer(change.key.begin(), change.key.end()), sequence, change.kind,
                          Buffer(change.value.begin(), change.value.end())});
      sequence = sequence.next();
    });
    next_sequence_ = std::max(next_sequence_, sequence);
    return changes_bytes_ >= kChangesBytes ? write_changes() : Status();
  }

  struct Change {
    Buffer key;
    SequenceNumber sequence;
    EntryKind kind;
    Buffer value;
  };

  // The changes gathered so far, as a table newer than all there are.
  Status write_changes() {
    if (changes_.empty()) return {};
    std::sort(changes_.begin(), changes_.end(), [](const Change& a, const Change& b) {
      return compare_entries(bytes_of(a.key), a.sequence, bytes_of(b.key), b.sequence) < 0;
    });
    if (!takes_keys()) {
      report_.unproved_key_versions += std::erase_if(changes_, [this](const Change& change) {
        return !is_log_proved() || change.sequence < found_.log.intact_from;
      });
    }
    if (!changes_.empty()) {
      report_.key_versions += changes_.size();
      if (copy_) {
        const Status written = copy_->add_keys(0, [this](sstable::KeyTableBuilder& builder) -> Status {
          for (const Change& change : changes_) {
            HDB_TRY(builder.add({bytes_of(change.key), change.sequence, change.kind, bytes_of(change.value)}));
          }
          return {};
        });
        HDB_TRY(written);
      }
    }
    changes_.clear();
    changes_bytes_ = 0;
    return {};
  }

  // --- keys
  // Of tables: the log may have lost a newer version of any key.
  bool takes_keys() const { return (is_log_proved() && found_.log.lost_changes == 0) || options_.takes_unproved_keys; }

  // Whether nothing newer can be lost than what the log has behind what it lost.
  bool is_log_proved() const { return found_.is_manifest_sound && !found_.log.is_end_lost; }

  // Tables come newest first: what is doubtful in a table are the keys that newer ones lost.
  Status take_keys() {
    KeyRanges lost;
    for (const TableInStore& table : found_.tables) {
      if (!is_of(table, TableKind::kKeys)) continue;
      const SurveyedTable& survey = table.survey;
      const bool is_doubtful = lost.meets(bytes_of(survey.meta->smallest_key), bytes_of(survey.meta->largest_key));
      if (!takes_keys()) {
        report_.unproved_key_versions += intact_versions(survey);
      } else if (survey.is_sound && (!is_doubtful || options_.takes_unproved_keys)) {
        report_.key_versions += survey.meta->entry_count;
        if (copy_) HDB_TRY(copy_->copy(survey, table.level));
      } else if (copy_) {
        HDB_TRY(copy_->add_keys(table.level, [&](sstable::KeyTableBuilder& builder) {
          return for_each_proved(survey, lost, [&builder](const Entry& entry) { return builder.add(entry); });
        }));
      } else {
        HDB_TRY(for_each_proved(survey, lost, [](const Entry&) { return Status(); }));
      }
      for (DoubtfulKeys& range : lost_keys_of(survey)) {
        if (!HDB_SEEDED(let_old_values_come_back)) lost.add(std::move(range));
      }
    }
    if (copy_ && !found_.is_manifest_sound) HDB_TRY(merge_keys());
    return {};
  }

  static std::uint64_t intact_versions(const SurveyedTable& table) {
    if (table.is_sound) return table.meta->entry_count;
    std::uint64_t versions = 0;
    for (const SurveyedBlock& block : table.blocks) versions += block.is_intact ? block.count : 0;
    return versions;
  }

  // The entries of the table that can be read, and have no newer version in `lost` or in a damaged block before theirs.
  Status for_each_proved(const SurveyedTable& table, const KeyRanges& lost,
                         const std::function<Status(const Entry&)>& take) {
    const Buffer* lost_end = nullptr;  // the last key of the damaged block before
    const auto consider = [&](const Entry& entry) -> Status {
      const bool is_behind_loss = lost_end != nullptr && equal_bytes(entry.key, bytes_of(*lost_end));
      if (!options_.takes_unproved_keys && (is_behind_loss || lost.meets(entry.key, entry.key))) {
        ++report_.unproved_key_versions;
        return {};
      }
      ++report_.key_versions;
      return take(entry);
    };
    if (table.is_sound) {
      sstable::BlockCache cache(kCopyCacheBytes);
      const auto open = HDB_TRY(sstable::KeyTable::open(env_, table.path, table.number, cache));
      const std::unique_ptr<EntryIterator> entries = open->entries();
      for (bool more = entries->seek_to_first(); more; more = entries->next()) HDB_TRY(consider(entries->entry()));
      return entries->status();
    }
    const auto opened = env_.open(table.path);
    // What could not be opened was told by the survey, which lists no block then.
    if (!opened.ok()) return table.blocks.empty() ? Status() : opened.status();
    for (const SurveyedBlock& listed : table.blocks) {
      if (!listed.is_intact) {
        lost_end = &listed.last_key;
        continue;
      }
      Buffer raw = HDB_TRY(read_block(*opened.value(), table.number, listed.handle, sstable::BlockKind::kKeyData));
      const sstable::SortedBlock block = HDB_TRY(sstable::decode_key_data(std::move(raw)));
      sstable::SortedBlock::Cursor cursor(block);
      for (bool more = cursor.first(); more; more = cursor.next()) {
        HDB_TRY(consider(sstable::entry_of(cursor.key(), cursor.value())));
      }
    }
    return {};
  }

  using KeyRun = std::vector<TableRef>;  // sorted and apart

  // The tables of keys written so far, of which nobody knows which is newer, as one run of each key's newest version.
  Status merge_keys() {
    std::vector<KeyRun> runs;
    std::erase_if(copy_->edit().added, [&runs](const compaction::AddedTable& table) {
      if (table.meta->kind == TableKind::kKeys) runs.push_back({table.meta});
      return table.meta->kind == TableKind::kKeys;
    });
    while (!runs.empty()) {
      const bool is_last = runs.size() <= kMergedAtOnce;
      std::vector<KeyRun> merged;
      for (std::size_t at = 0; at < runs.size(); at += kMergedAtOnce) {
        const std::span<const KeyRun> inputs = std::span(runs).subspan(at, std::min(kMergedAtOnce, runs.size() - at));
        merged.push_back(HDB_TRY(merge_runs(inputs, is_last)));
      }
      runs = std::move(merged);
      if (!is_last) continue;
      for (const TableRef& table : runs.front()) copy_->edit().added.push_back({compaction::kLevels - 1, table});
      return {};
    }
    return {};
  }

  // The newest version of each key of the runs, without those that are erased if `is_last`. The inputs are removed.
  Result<KeyRun> merge_runs(std::span<const KeyRun> inputs, bool is_last) {
    sstable::BlockCache cache(kCopyCacheBytes);
    sstable::TableCache tables(env_, options_.target, kOpenTables, cache);
    std::vector<std::unique_ptr<EntryIterator>> sources;
    for (const KeyRun& run : inputs) sources.push_back(compaction::concatenate(tables, run));
    const std::unique_ptr<EntryIterator> entries = compaction::merge(std::move(sources));
    const std::size_t before = copy_->edit().added.size();
    Buffer last;
    bool has_last = false;
    const auto fill = [&](sstable::KeyTableBuilder& builder, bool& more) -> Status {
      for (; more; more = entries->next()) {
        const Entry& entry = entries->entry();
        if (has_last && equal_bytes(bytes_of(last), entry.key)) continue;
        if (builder.file_bytes() >= kChangesBytes) return {};  // the next table begins with this key
        has_last = true;
        last.assign(entry.key.begin(), entry.key.end());
        if (entry.kind == EntryKind::kPut || !is_last) HDB_TRY(builder.add(entry));
      }
      return entries->status();
    };
    bool more = entries->seek_to_first();
    do {
      const Status added = copy_->add_keys(0, [&](sstable::KeyTableBuilder& builder) { return fill(builder, more); });
      HDB_TRY(added);
    } while (more);
    KeyRun merged;
    auto& added = copy_->edit().added;
    for (std::size_t at = before; at < added.size(); ++at) merged.push_back(added[at].meta);
    added.resize(before);
    for (const KeyRun& run : inputs) {
      for (const TableRef& input : run) HDB_TRY(env_.remove(table_path(options_.target, input->number)));
    }
    return merged;
  }

  // --- the end
  // Those of which keys are lost or left out, or may be.
  void doubt_keyspaces() {
    report_.is_every_keyspace_doubtful = !found_.is_manifest_sound;
    const bool is_any_key_doubtful = found_.log.is_end_lost || found_.log.lost_changes > 0;
    for (const auto& keyspace : found_.state.keyspaces) {
      const auto holds = [&keyspace](const DoubtfulKeys& keys) {
        return keyspace_of(bytes_of(keys.from)) <= keyspace.id && keyspace.id <= keyspace_of(bytes_of(keys.to));
      };
      const auto& lost = report_.doubtful_keys;
      if (!is_any_key_doubtful && found_.is_manifest_sound && std::none_of(lost.begin(), lost.end(), holds)) continue;
      report_.doubtful_keyspaces.push_back(keyspace.name);
    }
  }

  Status finish() {
    ManifestState state = found_.state;
    for (const auto& added : copy_->edit().added) {
      next_sequence_ = std::max(next_sequence_, added.meta->sequence_max.next());
    }
    state.next_sequence = std::max(next_sequence_, SequenceNumber(next_position_ + 1));
    state.last_commit_time = last_commit_time_;
    HDB_TRY(name_keyspaces(state));
    return copy_->finish(std::move(state));
  }

  // What has keys but no name that can be read gets one.
  Status name_keyspaces(ManifestState& state) {
    if (found_.is_manifest_sound) return {};
    std::uint32_t last = 0;
    for (const auto& added : copy_->edit().added) {
      if (added.meta->kind == TableKind::kKeys) last = std::max(last, keyspace_of(bytes_of(added.meta->largest_key)));
    }
    if (last > kKeyspacesMax) {
      return Status::corruption(store_ + ": has keys of keyspace number " + std::to_string(last) +
                                ", which no store has; leave them out");
    }
    std::uint32_t known = 1;  // ids are dense, from 1
    for (const auto& keyspace : state.keyspaces) known = std::max(known, keyspace.id + 1);
    for (std::uint32_t id = known; id <= last; ++id) {
      std::string name = "salvaged-" + std::to_string(id);
      const auto is_taken = [&](const auto& keyspace) { return keyspace.name == name; };
      while (std::any_of(state.keyspaces.begin(), state.keyspaces.end(), is_taken)) name += "-again";
      state.keyspaces.push_back({id, name});
    }
    return {};
  }

  Env& env_;
  const std::string& store_;
  const SalvageOptions& options_;
  const Sink& sink_;
  SalvageReport report_;
  std::unique_ptr<FileLock> lock_;
  StoreSurvey found_;
  std::vector<EventRun> runs_;         // where events should be
  std::vector<EventRun> spare_runs_;   // for those that are not there
  std::vector<LostPositions> in_log_;  // likewise: of intact batches, once listed
  bool is_log_listed_ = false;
  std::map<const SurveyedTable*, std::uint32_t> levels_;
  std::optional<SalvagedStore> copy_;          // empty: nothing is written
  const SurveyedTable* open_table_ = nullptr;  // whose damaged file is read block by block
  std::unique_ptr<RandomAccessFile> open_file_;
  Position next_position_ = 0;          // everything below is taken or lost
  std::uint64_t unvouched_events_ = 0;  // lost, and no manifest says that they were there
  std::set<std::string> left_out_;      // files that claim too many of them
  SequenceNumber next_sequence_{1};
  Timestamp last_commit_time_{};
  std::vector<Change> changes_;
  std::uint64_t changes_bytes_ = 0;
};

}  // namespace

Result<SalvageReport> salvage_store(Env& env, const std::string& store, const SalvageOptions& options,
                                    const Sink& sink) {
  const std::string directory = without_trailing_slashes(store);
  if (!options.target.empty()) HDB_TRY(check_outside(env, options.target, directory));
  return Salvage(env, directory, options, sink).run();
}

}  // namespace hdb::dump
