#include "tools/dump/salvage.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
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
constexpr std::uint64_t kCacheBytes = 8u << 20;
constexpr std::uint32_t kOpenTables = 64;
constexpr std::uint64_t kChangesBytes = 64u << 20;  // of the log, held until they are a table

// What is known of the store as a whole.
struct Knowledge {
  ManifestState state;
  bool is_manifest_sound = false;
};

// The state after as many edits as can be read, of the newest manifest of which any can.
Result<std::optional<ManifestState>> readable_state(Env& env, const std::string& store) {
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
    ManifestState state;
    state.store_id = header->store_id;
    const auto take = [&state](std::uint64_t, const compaction::Record& record) -> Status {
      if (record.header.kind == compaction::RecordKind::kDurable) return {};
      const compaction::VersionEdit edit = HDB_TRY(compaction::decode_edit(record.payload));
      state = HDB_TRY(compaction::apply(state, edit));
      return {};
    };
    const auto read = compaction::for_each_record(bytes_of(content.value()), header.value(), take);
    if (read.status().code() == StatusCode::kUnsupported) return read.status();
    return std::optional(std::move(state));
  }
  return std::optional<ManifestState>();
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

bool holds(const std::vector<DoubtfulKeys>& ranges, ByteView key) {
  return std::any_of(ranges.begin(), ranges.end(), [key](const DoubtfulKeys& range) {
    return compare_bytes(bytes_of(range.from), key) <= 0 && compare_bytes(key, bytes_of(range.to)) <= 0;
  });
}

// One salvage of one store. Single-owner.
class Salvage {
 public:
  Salvage(Env& env, const std::string& store, const SalvageOptions& options, const Sink& sink)
      : env_(env), store_(store), options_(options), sink_(sink) {}

  Result<SalvageReport> run() {
    HDB_TRY(take_lock());
    HDB_TRY(learn());
    HDB_TRY(survey_tables());
    plan_events();
    plan_keys();
    if (!options_.target.empty()) {
      copy_.emplace(env_, options_.target, first_new_number_);
      HDB_TRY(copy_->begin());
    }
    HDB_TRY(take_tables());
    HDB_TRY(take_log());
    HDB_TRY(take_keys());
    if (copy_) HDB_TRY(finish());
    tell();
    return std::move(report_);
  }

 private:
  Status take_lock() {
    const std::string path = lock_path(store_);
    if (!HDB_TRY(env_.exists(path))) return {};
    auto lock = env_.lock(path);
    if (lock.ok()) lock_ = std::move(lock).value();
    // A medium that takes no lock has nobody who writes to it.
    return lock.status().code() == StatusCode::kBusy ? lock.status() : Status();
  }

  // --- what there was
  Status learn() {
    const auto recovered = compaction::recover(env_, store_);
    if (recovered.ok()) {
      known_ = {recovered->state, true};
      HDB_TRY(check_manifest_is_newest(recovered.value()));
    } else {
      if (recovered.status().code() == StatusCode::kNotFound || recovered.status().code() == StatusCode::kUnsupported) {
        return recovered.status();
      }
      distrust_manifest(recovered.status());
    }
    report_.is_manifest_sound = known_.is_manifest_sound;
    if (known_.is_manifest_sound) return {};
    if (const auto state = HDB_TRY(readable_state(env_, store_))) {
      known_.state = *state;
    } else if (const auto id = HDB_TRY(store_id_in_log(env_, store_))) {
      known_.state.store_id = *id;
    }
    return {};
  }

  void distrust_manifest(const Status& why) {
    known_ = {ManifestState(), false};
    report_.damages.push_back({std::string(why.message()), 0});
  }

  // Files that it does not know, though nothing came after it, say that its end is missing.
  Status check_manifest_is_newest(const compaction::Recovered& recovered) {
    for (const FileNumber number : HDB_TRY(tables_on_disk())) {
      if (recovered.state.version->find(number) != nullptr || !compaction::is_unknown_to(recovered.state, number)) {
        continue;
      }
      distrust_manifest(compaction::manifest_lost_edits(table_path(store_, number)));
      return {};
    }
    if (recovered.state.is_log_open) return {};
    const Status closed = wal::check_closed(env_, store_,
                                            {.store_id = recovered.state.store_id,
                                             .epoch_max = recovered.state.epoch,
                                             .floor = recovered.state.log_floor,
                                             .next_sequence = recovered.state.next_sequence,
                                             .next_position = recovered.state.position_end});
    if (closed.code() == StatusCode::kUnsupported) return closed;
    if (!closed.ok()) distrust_manifest(closed);
    return {};
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
    const std::unique_ptr<RandomAccessFile> file = HDB_TRY(env_.open(run.table->path));
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
    sstable::BlockCache cache(kCacheBytes);
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
    ManifestState start = known_.state;
    start.position_end = std::max(start.position_end, next_position_);
    const LogSurvey log =
        HDB_TRY(salvage_log(env_, store_, known_.is_manifest_sound ? known_.state : start, known_.is_manifest_sound,
                            [this](const SalvagedBatch& batch) { return take_batch(batch); }));
    HDB_TRY(lose_until(std::max(log.next_position, known_.state.position_end)));
    HDB_TRY(write_changes());
    for (const Damage& damage : log.damages) report_.damages.push_back(damage);
    report_.torn_bytes = log.torn_bytes;
    report_.lost_changes = log.lost_changes;
    next_sequence_ = std::max({known_.state.next_sequence, log.next_sequence, next_sequence_});
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
  bool takes_keys() const { return known_.is_manifest_sound || options_.takes_unproved_keys; }

  // Tables come newest first: what is doubtful in a table are the keys that newer ones lost.
  Status take_keys() {
    std::vector<DoubtfulKeys> lost;
    for (const TableInStore& table : tables_) {
      if (!is_of(table, TableKind::kKeys)) continue;
      const SurveyedTable& survey = table.survey;
      const auto overlaps = [&survey](const DoubtfulKeys& range) {
        return compaction::overlaps(*survey.meta, bytes_of(range.from), bytes_of(range.to));
      };
      const bool is_doubtful = std::any_of(lost.begin(), lost.end(), overlaps);
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
        if (!HDB_SEEDED(let_old_values_come_back)) lost.push_back(std::move(range));
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
  Status for_each_proved(const SurveyedTable& table, const std::vector<DoubtfulKeys>& lost,
                         const std::function<Status(const Entry&)>& take) {
    const Buffer* lost_end = nullptr;  // the last key of the damaged block before
    const auto consider = [&](const Entry& entry) -> Status {
      const bool is_behind_loss = lost_end != nullptr && equal_bytes(entry.key, bytes_of(*lost_end));
      if (!options_.takes_unproved_keys && (is_behind_loss || holds(lost, entry.key))) {
        ++report_.unproved_key_versions;
        return {};
      }
      ++report_.key_versions;
      return take(entry);
    };
    if (table.is_sound) {
      sstable::BlockCache cache(kCacheBytes);
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

  // The tables of keys written so far, of which nobody knows which is newer, as one run of each key's newest version.
  Status merge_keys() {
    compaction::VersionEdit& edit = copy_->edit();
    std::vector<TableRef> inputs;
    std::erase_if(edit.added, [&inputs](const compaction::AddedTable& table) {
      if (table.meta->kind != TableKind::kKeys) return false;
      inputs.push_back(table.meta);
      return true;
    });
    if (inputs.empty()) return {};
    sstable::BlockCache cache(kCacheBytes);
    sstable::TableCache tables(env_, options_.target, kOpenTables, cache);
    std::vector<std::unique_ptr<EntryIterator>> sources;
    for (const TableRef& input : inputs) {
      const auto table = HDB_TRY(tables.get_keys(*input));
      sources.push_back(table->entries());
    }
    const std::unique_ptr<EntryIterator> entries = compaction::merge(std::move(sources));
    const Status merged = copy_->add_keys(compaction::kLevels - 1, [&](sstable::KeyTableBuilder& builder) -> Status {
      Buffer last;
      bool is_first = true;
      for (bool more = entries->seek_to_first(); more; more = entries->next()) {
        const Entry& entry = entries->entry();
        if (!is_first && equal_bytes(bytes_of(last), entry.key)) continue;
        is_first = false;
        last.assign(entry.key.begin(), entry.key.end());
        if (entry.kind == EntryKind::kPut) HDB_TRY(builder.add(entry));
      }
      return entries->status();
    });
    HDB_TRY(merged);
    for (const TableRef& input : inputs) HDB_TRY(env_.remove(table_path(options_.target, input->number)));
    return {};
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
    std::uint32_t ids = 0;
    for (const auto& added : copy_->edit().added) {
      if (added.meta->kind == TableKind::kKeys) ids = std::max(ids, load_be32(added.meta->largest_key.data()) + 1);
    }
    std::uint32_t known = 1;  // ids are dense, from 1
    for (const auto& keyspace : state.keyspaces) known = std::max(known, keyspace.id + 1);
    for (std::uint32_t id = known; id < ids; ++id) {
      state.keyspaces.push_back({id, "salvaged-" + std::to_string(id)});
    }
    return {};
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
    if (report_.lost_changes > 0) {
      sink_("lost    " + std::to_string(report_.lost_changes) +
            " changes of keys in the log: any key may have an older value, or one that was erased");
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
  std::optional<SalvagedStore> copy_;  // empty: nothing is written
  Position next_position_ = 0;         // everything below is taken or lost
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

std::uint64_t SalvageReport::damaged_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const Damage& damage : damages) bytes += damage.bytes;
  return bytes;
}

bool SalvageReport::is_whole() const noexcept {
  return damages.empty() && lost_positions.empty() && doubtful_keys.empty() && lost_key_versions == 0 &&
         unproved_key_versions == 0 && lost_changes == 0;
}

std::string summary_of(const SalvageReport& report) {
  std::string text = std::to_string(report.events) + " events and " + std::to_string(report.key_versions) +
                     " versions of keys are intact; ";
  if (report.is_whole()) return text + "nothing is lost";
  text += "lost: " + std::to_string(report.lost_events()) + " events, " +
          std::to_string(report.lost_key_versions + report.lost_changes) + " versions of keys; " +
          std::to_string(report.damaged_bytes()) + " bytes cannot be read";
  if (report.unproved_key_versions > 0) {
    text += "; left out: " + std::to_string(report.unproved_key_versions) +
            " versions of keys that may not be the newest (--unproved-keys takes them)";
  }
  return text;
}

Result<SalvageReport> salvage_store(Env& env, const std::string& store, const SalvageOptions& options,
                                    const Sink& sink) {
  const std::string directory = without_trailing_slashes(store);
  return Salvage(env, directory, options, sink).run();
}

}  // namespace hdb::dump
