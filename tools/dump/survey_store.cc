#include "tools/dump/survey_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "compaction/manifest.h"
#include "io/file_name.h"
#include "wal/reader.h"

namespace hdb::dump {

namespace {

using compaction::ManifestState;
using compaction::TableRef;
using sstable::TableKind;

constexpr std::uint64_t kManifestBytesMax = 4ull << 30;

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
    if (!content.ok() && !is_damage(content.status())) return content.status();
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

// One survey of one store. Single-owner.
class Survey {
 public:
  Survey(Env& env, const std::string& store) : env_(env), store_(store) {}

  Result<StoreSurvey> run() {
    HDB_TRY(learn());
    HDB_TRY(read_all());
    if (found_.is_manifest_sound) {
      const Status lost = contradiction();
      if (!lost.ok() && !is_damage(lost)) return lost;
      if (!lost.ok()) {
        HDB_TRY(distrust_manifest(lost));
        HDB_TRY(read_all());
      }
    }
    if (!found_.is_manifest_sound) place_tables();
    found_.damages = std::move(damages_);
    for (const TableInStore& table : found_.tables) {
      found_.damages.insert(found_.damages.end(), table.survey.damages.begin(), table.survey.damages.end());
    }
    found_.damages.insert(found_.damages.end(), found_.log.damages.begin(), found_.log.damages.end());
    return std::move(found_);
  }

 private:
  Status learn() {
    auto recovered = compaction::recover(env_, store_);
    if (recovered.ok()) {
      found_.state = std::move(recovered->state);
      found_.is_manifest_sound = true;
      return {};
    }
    const Status& why = recovered.status();
    // Whoever may not read the store must not be told that it is lost.
    if (why.code() == StatusCode::kNotFound || !is_damage(why)) return why;
    damages_.push_back({std::string(why.message()), 0});
    // Without CURRENT: the manifest it named is the only one, once an open has ended.
    if (const auto manifest = HDB_TRY(read_manifest(env_, store_)); manifest && manifest->is_whole) {
      found_.state = manifest->state;
      found_.is_manifest_sound = has_all_tables();
    }
    return found_.is_manifest_sound ? Status() : forget_manifest();
  }

  bool has_all_tables() const {
    const auto tables = found_.state.version->all_tables();
    return std::all_of(tables.begin(), tables.end(), [this](const TableRef& table) {
      const auto bytes = env_.file_bytes(table_path(store_, table->number));
      return bytes.ok() && bytes.value() == table->file_bytes;
    });
  }

  Status distrust_manifest(const Status& why) {
    damages_.push_back({std::string(why.message()), 0});
    return forget_manifest();
  }

  Status forget_manifest() {
    found_.state = {};
    found_.is_manifest_sound = false;
    if (auto manifest = HDB_TRY(read_manifest(env_, store_))) {
      found_.state = std::move(manifest->state);
    } else if (const auto id = HDB_TRY(store_id_in_log(env_, store_))) {
      found_.state.store_id = *id;
    }
    return {};
  }

  // --- what is there
  Status read_all() {
    HDB_TRY(survey_tables());
    highest_keyspace_ = 0;
    in_log_.clear();
    found_.log = HDB_TRY(salvage_log(env_, store_, found_.state, found_.is_manifest_sound,
                                     [this](const SalvagedBatch& salvaged) -> Status {
                                       note_events(salvaged);
                                       salvaged.batch.for_each_change([this](const BatchView::Change& change) {
                                         highest_keyspace_ = std::max(highest_keyspace_, keyspace_of(change.key));
                                       });
                                       return {};
                                     }));
    found_.bytes += HDB_TRY(log_bytes(env_, store_));
    return {};
  }

  Status survey_tables() {
    found_.tables.clear();
    found_.unnamed_tables.clear();
    found_.bytes = 0;
    found_.first_new_number = found_.state.next_file_number;
    for (const FileNumber number : HDB_TRY(tables_on_disk())) {
      const auto bytes = env_.file_bytes(table_path(store_, number));
      found_.bytes += bytes.ok() ? bytes.value() : 0;
      if (found_.is_manifest_sound && found_.state.version->find(number) != nullptr) continue;
      HDB_TRY(survey(number, 0, nullptr, found_.is_manifest_sound ? found_.unnamed_tables : found_.tables));
    }
    if (!found_.is_manifest_sound) return {};
    const compaction::Version& version = *found_.state.version;
    for (std::size_t index = 0; index < version.event_tables().size(); ++index) {
      const TableRef& table = version.event_tables()[index];
      HDB_TRY(survey(table->number, version.event_level(index), table.get(), found_.tables));
    }
    for (std::uint32_t level = 0; level < compaction::Version::level_count(); ++level) {
      for (const TableRef& table : version.level(level)) {
        HDB_TRY(survey(table->number, level, table.get(), found_.tables));
      }
    }
    return {};
  }

  Status survey(FileNumber number, std::uint32_t level, const sstable::TableMeta* meta,
                std::vector<TableInStore>& tables) {
    found_.first_new_number = std::max(found_.first_new_number, number.next());
    tables.push_back({level, HDB_TRY(survey_table(env_, store_, number, meta))});
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

  // --- tables of events that neither a manifest nor they themselves give a place
  // Events that follow one another.
  struct Stretch {
    Position begin = 0;
    Position end = 0;
    Timestamp commit_time_min{};
    Timestamp commit_time_max{};
  };

  void note_events(const SalvagedBatch& salvaged) {
    const Position begin = salvaged.first_position;
    const Position end = begin + salvaged.batch.event_count();
    if (begin == end) return;
    const Timestamp time = salvaged.commit_time;
    if (in_log_.empty() || in_log_.back().end != begin || time < in_log_.back().commit_time_max) {
      in_log_.push_back({begin, begin, time, time});
    }
    in_log_.back().end = end;
    in_log_.back().commit_time_max = time;
  }

  void place_tables() {
    std::vector<Stretch> placed = in_log_;
    for (const TableInStore& table : found_.tables) {
      const auto& meta = table.survey.meta;
      if (!meta || meta->kind != TableKind::kEvents) continue;
      placed.push_back({meta->position_begin, meta->position_end, meta->commit_time_min, meta->commit_time_max});
    }
    for (TableInStore& table : found_.tables) {
      SurveyedTable& survey = table.survey;
      if (survey.unplaced_events == 0) continue;
      if (const auto begin = place_of(survey, placed)) {
        place(survey, *begin);
        continue;
      }
      survey.damages.push_back({survey.path + ": " + std::to_string(survey.unplaced_events) +
                                    " events of it can be read, but nothing proves which positions they had",
                                0});
      found_.unplaced_events += survey.unplaced_events;
      survey.lost_before.clear();
    }
  }

  // Commit times never decrease from one position to the next, and positions are dense. So a table whose times are
  // between those of its neighbours was between them; if it has as many events as there are positions, it had all.
  static std::optional<Position> place_of(const SurveyedTable& table, const std::vector<Stretch>& placed) {
    Position begin = 0;
    std::optional<Position> end;
    for (const Stretch& other : placed) {
      if (other.commit_time_max < table.commit_time_min) {
        begin = std::max(begin, other.end);
      } else if (other.commit_time_min > table.commit_time_max) {
        end = std::min(end.value_or(other.begin), other.begin);
      } else {
        return std::nullopt;
      }
    }
    if (!end || *end < begin || *end - begin != table.unplaced_events) return std::nullopt;
    return begin;
  }

  static void place(SurveyedTable& table, Position begin) {
    sstable::TableMeta& meta = table.meta.emplace();
    meta.number = table.number;
    meta.kind = TableKind::kEvents;
    meta.entry_count = table.unplaced_events;
    meta.position_begin = begin;
    meta.position_end = begin + table.unplaced_events;
    meta.commit_time_min = table.commit_time_min;
    meta.commit_time_max = table.commit_time_max;
    for (SurveyedBlock& block : table.blocks) block.first += begin;
    for (LostPositions& lost : table.lost_before) lost = {lost.begin + begin, lost.end + begin};
  }

  // --- what of it the manifest should know, but does not: OK if there is no such thing
  Status contradiction() const {
    const ManifestState& state = found_.state;
    const wal::ReplayStart start{.store_id = state.store_id,
                                 .epoch_max = state.epoch,
                                 .floor = state.log_floor,
                                 .next_sequence = state.next_sequence,
                                 .next_position = state.position_end};
    const Status log = state.is_log_open ? Status() : wal::check_closed(env_, store_, start);
    if (!log.ok()) return log;
    HDB_TRY(check_unnamed_tables());
    return check_keyspaces();
  }

  Status check_unnamed_tables() const {
    const bool is_log_sound = found_.log.damages.empty();
    const TableRef missing = first_missing();
    for (const TableInStore& table : found_.unnamed_tables) {
      const SurveyedTable& survey = table.survey;
      if (compaction::is_unknown_to(found_.state, survey.number) || (!is_log_sound && is_beyond(survey))) {
        return compaction::manifest_lost_edits(survey.path);
      }
      // A merge deletes what it merged once the manifest names what it wrote, which has a later number.
      if (survey.is_sound && missing != nullptr && missing->number < survey.number) {
        return compaction::manifest_lost_edits(survey.path)
            .in_context(table_path(store_, missing->number) + ": is missing, though the manifest names it");
      }
    }
    return {};
  }

  // The named table of the lowest number that is not there; null if all are.
  TableRef first_missing() const {
    TableRef missing;
    for (const TableRef& table : found_.state.version->all_tables()) {
      const auto exists = env_.exists(table_path(store_, table->number));
      const bool is_first = missing == nullptr || table->number < missing->number;
      if (exists.ok() && !exists.value() && is_first) missing = table;
    }
    return missing;
  }

  // Whether the table is sound and holds what was committed after everything that the manifest's tables hold. Where the
  // log is sound too, such a table is what a flush left that never was recorded: the log has all of it.
  bool is_beyond(const SurveyedTable& table) const {
    if (!table.is_sound) return false;
    const bool is_events = table.meta->kind == TableKind::kEvents;
    return is_events ? table.meta->position_end > found_.state.position_end
                     : table.meta->sequence_max >= found_.state.next_sequence;
  }

  // A keyspace is in the manifest before it has a key. Ids are dense, from 1.
  Status check_keyspaces() const {
    std::uint32_t known = 0;
    for (const auto& keyspace : found_.state.keyspaces) known = std::max(known, keyspace.id);
    if (highest_keyspace_ > known) return lost_keyspace(log_directory(store_), highest_keyspace_);
    HDB_TRY(check_keyspaces_of(found_.tables, known));
    // A copy may hold tables of a later one that was interrupted.
    return found_.state.is_copy ? Status() : check_keyspaces_of(found_.unnamed_tables, known);
  }

  static Status check_keyspaces_of(const std::vector<TableInStore>& tables, std::uint32_t known) {
    for (const TableInStore& table : tables) {
      if (!table.survey.is_sound || table.survey.meta->kind != TableKind::kKeys) continue;
      const std::uint32_t highest = keyspace_of(bytes_of(table.survey.meta->largest_key));
      if (highest > known) return lost_keyspace(table.survey.path, highest);
    }
    return {};
  }

  static Status lost_keyspace(const std::string& path, std::uint32_t id) {
    return Status::corruption(path + ": has keys of keyspace number " + std::to_string(id) +
                              ", which the manifest does not name: it has lost its last edits; restore the store from "
                              "a backup");
  }

  Env& env_;
  const std::string& store_;
  StoreSurvey found_;
  std::vector<Damage> damages_;         // of the manifest
  std::uint32_t highest_keyspace_ = 0;  // with a change in the log
  std::vector<Stretch> in_log_;
};

}  // namespace

std::uint32_t keyspace_of(ByteView stored) {
  return stored.size() < kKeyspacePrefixBytes ? 0 : load_be32(stored.data());
}

Result<StoreSurvey> survey_store(Env& env, const std::string& store) {
  return Survey(env, store).run();
}

}  // namespace hdb::dump
