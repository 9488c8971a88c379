#include "tools/dump/salvage.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/seeded_defect.h"
#include "compaction/manifest.h"
#include "compaction/merge_iterator.h"
#include "io/file_name.h"
#include "sstable/event_block.h"
#include "sstable/event_table.h"
#include "sstable/key_block.h"
#include "sstable/key_table.h"
#include "sstable/key_table_builder.h"
#include "sstable/table_cache.h"
#include "tools/dump/salvage_log.h"
#include "tools/dump/salvaged_store.h"
#include "wal/reader.h"

namespace hdb::dump {

namespace {

using compaction::ManifestState;
using compaction::TableRef;
using sstable::TableKind;

constexpr std::uint64_t kManifestBytesMax = 4ull << 30;
constexpr std::uint64_t kCopyCacheBytes = 8u << 20;
constexpr std::uint32_t kOpenTables = 64;
constexpr std::size_t kMergedAtOnce = 64;           // runs of keys
constexpr std::uint32_t kKeyspacesMax = 1u << 20;   // to be named anew
constexpr std::uint64_t kChangesBytes = 64u << 20;  // of the log, held until they are a table

// What is known of the store as a whole.
struct Knowledge {
  ManifestState state;
  bool is_manifest_sound = false;
};

// A manifest by itself, whatever CURRENT says.
struct ReadManifest {
  ManifestState state;    // after as many edits as can be read
  bool is_whole = false;  // these are all there are, and it is the only manifest
};

// The newest manifest of which anything can be read; empty if there is none.
Result<std::optional<ReadManifest>> read_manifest(Env& env, const std::string& store) {
  std::vector<FileNumber> numbers;
  for (const std::string& name : HDB_TRY(env.list(store))) {
    if (const auto number = parse_manifest_name(name)) numbers.push_back(*number);
  }
  std::sort(numbers.rbegin(), numbers.rend());
  for (const FileNumber number : numbers) {
    const auto content = read_file(env, manifest_path(store, number), kManifestBytesMax);
    if (!content.ok()) continue;
    const auto header = compaction::decode_header(bytes_of(content.value()), number);
    if (header.status().code() == StatusCode::kUnsupported) return header.status();
    if (!header.ok()) continue;
    ReadManifest manifest;
    manifest.state.store_id = header->store_id;
    bool has_any = false;
    const auto take = [&](std::uint64_t, const compaction::Record& record) -> Status {
      if (record.header.kind == compaction::RecordKind::kDurable) return {};
      const compaction::VersionEdit edit = HDB_TRY(compaction::decode_edit(record.payload));
      manifest.state = HDB_TRY(compaction::apply(manifest.state, edit));
      has_any = true;
      return {};
    };
    const auto read = compaction::for_each_record(bytes_of(content.value()), header.value(), take);
    if (read.status().code() == StatusCode::kUnsupported) return read.status();
    if (!has_any) continue;
    manifest.is_whole = numbers.size() == 1 && read.ok() && read->offset == content->size();
    return std::optional(std::move(manifest));
  }
  return std::optional<ReadManifest>();
}

struct TableInStore {
  std::uint32_t level = 0;
  SurveyedTable survey;
};

// A run of events that can be read: a whole sound table, or a block of a damaged one.
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
    HDB_TRY(take_lock());
    HDB_TRY(learn());
    HDB_TRY(survey_tables());
    HDB_TRY(survey_log());
    plan_events();
    plan_keys();
    const Status taken = take();
    tell();  // of an interrupted one too: what is damaged is known
    HDB_TRY(taken);
    return std::move(report_);
  }

 private:
  Status take_lock() {
    const std::string path = lock_path(store_);
    if (HDB_TRY(env_.exists(path))) lock_ = HDB_TRY(env_.lock_read_only(path));
    return {};
  }

  Status take() {
    if (!options_.target.empty()) {
      copy_.emplace(env_, options_.target, first_new_number_);
      HDB_TRY(copy_->begin());
    }
    HDB_TRY(take_tables());
    HDB_TRY(take_log());
    HDB_TRY(take_keys());
    return copy_ ? finish() : Status();
  }

  // --- what there was
  Status learn() {
    auto recovered = compaction::recover(env_, store_);
    if (recovered.ok()) {
      known_ = {std::move(recovered->state), true};
      return check_manifest_is_newest();
    }
    const StatusCode code = recovered.status().code();
    if (code == StatusCode::kNotFound || code == StatusCode::kUnsupported) return recovered.status();
    // Not even opened: whoever may not read the store must not be told that it is lost.
    if (code == StatusCode::kIoError && env_.open(current_path(store_)).status().code() == StatusCode::kIoError) {
      return recovered.status();
    }
    report_.damages.push_back({std::string(recovered.status().message()), 0});
    // Without CURRENT: the manifest it named is the only one, once an open has ended.
    if (const auto manifest = HDB_TRY(read_manifest(env_, store_)); manifest && manifest->is_whole) {
      known_ = {manifest->state, true};
      if (has_all_tables()) return check_manifest_is_newest();
    }
    return distrust_manifest();
  }

  bool has_all_tables() const {
    const auto tables = known_.state.version->all_tables();
    return std::all_of(tables.begin(), tables.end(), [this](const TableRef& table) {
      const auto bytes = env_.file_bytes(table_path(store_, table->number));
      return bytes.ok() && bytes.value() == table->file_bytes;
    });
  }

  Status distrust_manifest() {
    known_ = {};
    report_.is_manifest_sound = false;
    if (auto manifest = HDB_TRY(read_manifest(env_, store_))) {
      known_.state = std::move(manifest->state);
    } else if (const auto id = HDB_TRY(store_id_in_log(env_, store_))) {
      known_.state.store_id = *id;
    }
    return {};
  }

  // What lies in the store and the manifest should know, but does not, says that its end is missing.
  Status check_manifest_is_newest() {
    const ManifestState& state = known_.state;
    const wal::ReplayStart start{.store_id = state.store_id,
                                 .epoch_max = state.epoch,
                                 .floor = state.log_floor,
                                 .next_sequence = state.next_sequence,
                                 .next_position = state.position_end};
    const Status log = state.is_log_open
                           ? wal::replay(env_, store_, start, [](const wal::Group&) { return Status(); }).status()
                           : wal::check_closed(env_, store_, start);
    if (log.code() == StatusCode::kUnsupported) return log;
    Status lost = state.is_log_open ? Status() : log;
    for (const FileNumber number : HDB_TRY(tables_on_disk())) {
      if (!lost.ok() || state.version->find(number) != nullptr) continue;
      const bool is_unknown = compaction::is_unknown_to(state, number) || (!log.ok() && HDB_TRY(is_beyond(number)));
      if (is_unknown) lost = compaction::manifest_lost_edits(table_path(store_, number));
    }
    if (lost.ok()) return {};
    report_.damages.push_back({std::string(lost.message()), 0});
    return distrust_manifest();
  }

  // Whether the table is sound and holds what was committed after everything that the manifest's tables hold. Where the
  // log is sound too, such a table is what a flush left that never was recorded: the log has all of it.
  Result<bool> is_beyond(FileNumber number) const {
    const SurveyedTable table = HDB_TRY(survey_table(env_, store_, number, nullptr));
    if (!table.is_sound) return false;
    const bool is_events = table.meta->kind == TableKind::kEvents;
    return is_events ? table.meta->position_end > known_.state.position_end
                     : table.meta->sequence_max >= known_.state.next_sequence;
  }

  Result<std::vector<FileNumber>> tables_on_disk() {
    std::vector<FileNumber> numbers;
    const auto names = env_.list(table_directory(store_));
    if (!names.ok() && names.status().code() == StatusCode::kNotFound) return numbers;
    if (!names.ok()) return names.status();
    for (const std::string& name : names.value()) {
      if (const auto number = parse_table_name(name)) numbers.push_back(*number);
    }
    return numbers;
  }

  // With a manifest, the tables it names; without one, all that are there.
  Status survey_tables() {
    first_new_number_ = known_.state.next_file_number;
    const auto survey = [this](FileNumber number, std::uint32_t level, const sstable::TableMeta* meta) -> Status {
      SurveyedTable table = HDB_TRY(survey_table(env_, store_, number, meta));
      tables_.push_back({level, std::move(table)});
      first_new_number_ = std::max(first_new_number_, number.next());
      for (const Damage& damage : tables_.back().survey.damages) report_.damages.push_back(damage);
      for (const LostPositions& lost : tables_.back().survey.lost_before) report_.lost_before.push_back(lost);
      return {};
    };
    const std::vector<FileNumber> on_disk = HDB_TRY(tables_on_disk());
    for (const FileNumber number : on_disk) {
      first_new_number_ = std::max(first_new_number_, number.next());
      if (!known_.is_manifest_sound) HDB_TRY(survey(number, 0, nullptr));
    }
    if (!known_.is_manifest_sound) return {};
    const compaction::Version& version = *known_.state.version;
    for (std::size_t index = 0; index < version.event_tables().size(); ++index) {
      const TableRef& table = version.event_tables()[index];
      HDB_TRY(survey(table->number, version.event_level(index), table.get()));
    }
    for (std::uint32_t level = 0; level < compaction::Version::level_count(); ++level) {
      for (const TableRef& table : version.level(level)) HDB_TRY(survey(table->number, level, table.get()));
    }
    return {};
  }

  // Before anything is taken: where the log lost changes, no key is proved.
  Status survey_log() {
    log_ = HDB_TRY(salvage_log(env_, store_, known_.state, known_.is_manifest_sound, {}));
    for (const Damage& damage : log_.damages) report_.damages.push_back(damage);
    report_.torn_bytes = log_.torn_bytes;
    report_.lost_changes = log_.lost_changes;
    report_.is_log_end_lost = log_.is_end_lost;
    return {};
  }

  bool is_of(const TableInStore& table, TableKind kind) const {
    return table.survey.meta && table.survey.meta->kind == kind;
  }

  // Every run of events that can be read, by position; of those that begin at one position the longest first.
  void plan_events() {
    for (const TableInStore& table : tables_) {
      if (!is_of(table, TableKind::kEvents)) continue;
      const SurveyedTable& survey = table.survey;
      if (survey.is_sound) {
        runs_.push_back({survey.meta->position_begin, survey.meta->position_end, &survey, nullptr});
        levels_[&survey] = table.level;
      }
      for (const SurveyedBlock& block : survey.blocks) {
        if (block.is_intact) runs_.push_back({block.first, block.first + block.count, &survey, &block});
      }
    }
    std::sort(runs_.begin(), runs_.end(), [](const EventRun& a, const EventRun& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end > b.end;
    });
  }

  // Which keys may have had a newer version in what is damaged.
  void plan_keys() {
    for (const TableInStore& table : tables_) {
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
      if (run.end <= next_position_) continue;
      HDB_TRY(lose_until(run.begin));
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
    return known_.is_manifest_sound ? levels_.at(&table) : compaction::kMergedEventLevel;
  }

  // The events of the run from next_position_ on, one by one.
  Status take_blocks(const EventRun& run) {
    if (!copy_) return {};
    if (open_table_ != run.table) {
      open_file_ = HDB_TRY(env_.open(run.table->path));
      open_table_ = run.table;
    }
    const RandomAccessFile* const file = open_file_.get();
    const auto take = [&](sstable::BlockHandle handle, Position position) -> Status {
      Buffer raw = HDB_TRY(read_block(*file, run.table->number, handle, sstable::BlockKind::kEventData));
      const sstable::EventBlock block = HDB_TRY(sstable::EventBlock::decode(std::move(raw)));
      for (std::uint32_t row = 0; row < block.count(); ++row, ++position) {
        if (position < next_position_) continue;
        last_commit_time_ = std::max(last_commit_time_, block.commit_time(row));
        HDB_TRY(copy_->add_event(position, last_commit_time_, block.record(row)));
      }
      return {};
    };
    if (run.block != nullptr) return take(run.block->handle, run.block->first);
    sstable::BlockCache cache(kCopyCacheBytes);
    const auto table = HDB_TRY(sstable::EventTable::open(env_, run.table->path, run.table->number, cache));
    for (const auto& entry : table->blocks()) {
      const Position first = run.begin + entry.first;
      if (first + entry.count > next_position_) HDB_TRY(take(entry.handle, first));
    }
    return {};
  }

  // The events from next_position_ to `end` are nowhere.
  Status lose_until(Position end) {
    if (end <= next_position_) return {};
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
    if (known_.is_manifest_sound) HDB_TRY(lose_until(known_.state.position_end));
    const Status taken =
        salvage_log(env_, store_, known_.state, known_.is_manifest_sound, [this](const SalvagedBatch& batch) {
          return take_batch(batch);
        }).status();
    HDB_TRY(taken);
    HDB_TRY(lose_until(std::max(log_.next_position, known_.state.position_end)));
    HDB_TRY(write_changes());
    next_sequence_ = std::max({known_.state.next_sequence, log_.next_sequence, next_sequence_});
    return {};
  }

  Status take_batch(const SalvagedBatch& salvaged) {
    Position position = salvaged.first_position;
    last_commit_time_ = std::max(last_commit_time_, salvaged.commit_time);
    HDB_TRY(lose_until(position));
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
    if (takes_keys()) {
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
    } else {
      report_.unproved_key_versions += changes_.size();
    }
    changes_.clear();
    changes_bytes_ = 0;
    return {};
  }

  // --- keys
  bool takes_keys() const {
    const bool is_proved = known_.is_manifest_sound && log_.lost_changes == 0 && !log_.is_end_lost;
    return is_proved || options_.takes_unproved_keys;
  }

  // Tables come newest first: what is doubtful in a table are the keys that newer ones lost.
  Status take_keys() {
    KeyRanges lost;
    for (const TableInStore& table : tables_) {
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
    if (copy_ && !known_.is_manifest_sound) HDB_TRY(merge_keys());
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
    if (!opened.ok()) return {};  // told by the survey, which lists no block then
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
  Status finish() {
    ManifestState state = known_.state;
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
    if (known_.is_manifest_sound) return {};
    std::uint32_t last = 0;
    for (const auto& added : copy_->edit().added) {
      if (added.meta->kind == TableKind::kKeys) last = std::max(last, keyspace_of(added.meta->largest_key));
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

  // 0 if it is no stored key.
  static std::uint32_t keyspace_of(const Buffer& stored) {
    return stored.size() < kKeyspacePrefixBytes ? 0 : load_be32(stored.data());
  }

  std::string key_text(const Buffer& stored) const {
    if (stored.size() < kKeyspacePrefixBytes) return "?";
    const std::uint32_t id = load_be32(stored.data());
    std::string name = std::to_string(id);
    for (const auto& keyspace : known_.state.keyspaces) {
      if (keyspace.id == id) name = keyspace.name;
    }
    return name + "/" + printable(bytes_of(stored).subspan(kKeyspacePrefixBytes));
  }

  static std::string printable(ByteView bytes) {
    constexpr std::size_t kShown = 64;
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (const std::byte byte : bytes.first(std::min(bytes.size(), kShown))) {
      const auto letter = static_cast<unsigned char>(byte);
      if (letter >= 0x20 && letter < 0x7f && letter != '\\') {
        text += static_cast<char>(letter);
      } else {
        text += {'\\', 'x', kDigits[letter >> 4], kDigits[letter & 15]};
      }
    }
    return bytes.size() > kShown ? text + "..." : text;
  }

  void tell() const {
    for (const Damage& damage : report_.damages) {
      sink_("damaged " + damage.what + (damage.bytes > 0 ? " (" + std::to_string(damage.bytes) + " bytes)" : ""));
    }
    for (const LostPositions& lost : report_.lost_positions) {
      sink_("lost    positions " + std::to_string(lost.begin) + " to " + std::to_string(lost.end - 1) + ": " +
            std::to_string(lost.end - lost.begin) + " events");
    }
    for (const DoubtfulKeys& keys : report_.doubtful_keys) {
      sink_("lost    versions of keys " + key_text(keys.from) + " to " + key_text(keys.to));
    }
    for (const LostPositions& lost : report_.lost_before) {
      sink_("lost before positions " + std::to_string(lost.begin) + " to " + std::to_string(lost.end - 1) + ": " +
            std::to_string(lost.end - lost.begin) + " events, since an earlier repair");
    }
    if (report_.lost_changes > 0) {
      sink_("lost    " + std::to_string(report_.lost_changes) + " changes of keys in the log: nothing tells of which");
    }
    if (report_.is_log_end_lost) {
      sink_("lost    what the log held behind position " + std::to_string(next_position_) +
            ", if anything: nothing tells how much");
    }
    if (report_.unproved_key_versions > 0) {
      sink_("left    " + std::to_string(report_.unproved_key_versions) +
            " versions of keys out: nothing proves that they are the newest");
    }
    if (report_.torn_bytes > 0) {
      sink_("torn    " + std::to_string(report_.torn_bytes) +
            " bytes at the end of the log, as an open would cut them");
    }
  }

  Env& env_;
  const std::string& store_;
  const SalvageOptions& options_;
  const Sink& sink_;
  SalvageReport report_;
  std::unique_ptr<FileLock> lock_;
  Knowledge known_;
  std::vector<TableInStore> tables_;  // events by position, then keys from the newest on; without a manifest by number
  std::vector<EventRun> runs_;
  std::map<const SurveyedTable*, std::uint32_t> levels_;
  FileNumber first_new_number_{1};
  std::optional<SalvagedStore> copy_;          // empty: nothing is written
  const SurveyedTable* open_table_ = nullptr;  // whose damaged file is read block by block
  std::unique_ptr<RandomAccessFile> open_file_;
  LogSurvey log_;
  Position next_position_ = 0;  // everything below is taken or lost
  SequenceNumber next_sequence_{1};
  Timestamp last_commit_time_{};
  std::vector<Change> changes_;
  std::uint64_t changes_bytes_ = 0;
};

}  // namespace

std::uint64_t SalvageReport::lost_events() const noexcept {
  std::uint64_t lost = 0;
  for (const LostPositions& range : lost_positions) lost += range.end - range.begin;
  return lost;
}

std::uint64_t SalvageReport::lost_before_events() const noexcept {
  std::uint64_t lost = 0;
  for (const LostPositions& range : lost_before) lost += range.end - range.begin;
  return lost;
}

std::uint64_t SalvageReport::damaged_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const Damage& damage : damages) bytes += damage.bytes;
  return bytes;
}

bool SalvageReport::is_whole() const noexcept {
  return damages.empty() && lost_positions.empty() && doubtful_keys.empty() && lost_key_versions == 0 &&
         unproved_key_versions == 0 && lost_changes == 0 && !is_log_end_lost;
}

std::string summary_of(const SalvageReport& report) {
  const std::uint64_t lost_before = report.lost_before_events();
  std::string text = std::to_string(report.events - lost_before) + " events and " +
                     std::to_string(report.key_versions) + " versions of keys are intact; ";
  if (report.is_whole()) {
    text += "nothing is lost";
  } else {
    text += "lost: " + std::to_string(report.lost_events()) + " events, " +
            std::to_string(report.lost_key_versions + report.lost_changes) + " versions of keys; " +
            std::to_string(report.damaged_bytes()) + " bytes cannot be read";
  }
  if (report.is_log_end_lost) text += "; the end of the log is lost, and nothing tells how much it held";
  if (report.unproved_key_versions > 0) {
    text += "; left out: " + std::to_string(report.unproved_key_versions) +
            " versions of keys that may not be the newest (--unproved-keys takes them)";
  }
  if (lost_before > 0) text += "; " + std::to_string(lost_before) + " events were lost before an earlier repair";
  return text;
}

Result<SalvageReport> salvage_store(Env& env, const std::string& store, const SalvageOptions& options,
                                    const Sink& sink) {
  const std::string directory = without_trailing_slashes(store);
  if (options.target == directory || options.target.starts_with(directory + "/")) {
    return Status::invalid_argument(options.target + ": is in the damaged store itself; choose a directory elsewhere");
  }
  return Salvage(env, directory, options, sink).run();
}

}  // namespace hdb::dump
