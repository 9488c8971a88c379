#include "compaction/picker.h"

#include "base/seeded_defect.h"

#include <algorithm>
#include <limits>

namespace hdb::compaction {

namespace {

bool is_any_excluded(const std::vector<TableRef>& tables, const FileNumberSet& excluded) {
  return std::any_of(tables.begin(), tables.end(),
                     [&excluded](const TableRef& table) { return excluded.count(table->number) > 0; });
}

std::uint64_t output_table_bytes(std::uint64_t input_bytes, std::uint64_t target) noexcept {
  const std::uint64_t outputs = std::max<std::uint64_t>(1, (input_bytes + target - 1) / target);
  const std::uint64_t share = input_bytes / outputs;
  return std::max<std::uint64_t>(1, share + share / 8);  // room for blocks that do not end where a table should
}

// ---- Events.

// How many merges of event_merge_width equals a table is away from being settled by its size: 0 is large enough.
std::uint32_t tier_of(const sstable::TableMeta& table, const PickerSettings& settings) noexcept {
  std::uint32_t tier = 0;
  std::uint64_t bound = settings.table_bytes_target / settings.event_merge_width;
  for (; bound > 0 && table.file_bytes < bound; bound /= settings.event_merge_width) ++tier;
  return tier;
}

bool must_rewrite(const Version& version, std::size_t index, const PickerSettings& settings) {
  return version.event_level(index) == kEventLevel && !settings.is_flush_final;
}

bool is_settled(const Version& version, std::size_t index, const PickerSettings& settings) {
  return !must_rewrite(version, index, settings) && tier_of(*version.event_tables()[index], settings) == 0;
}

struct Run {
  std::size_t begin;
  std::size_t end;
};

// Neighbours that may be merged, as long as possible, each of at least `tier`.
std::vector<Run> runs_of(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded,
                         std::uint32_t tier) {
  std::vector<Run> runs;
  bool is_inside = false;
  for (std::size_t index = 0; index < version.event_tables().size(); ++index) {
    const sstable::TableMeta& table = *version.event_tables()[index];
    const bool is_wanted =
        !is_settled(version, index, settings) && excluded.count(table.number) == 0 && tier_of(table, settings) >= tier;
    if (is_wanted && !is_inside) runs.push_back({index, index});
    if (is_wanted) runs.back().end = index + 1;
    is_inside = is_wanted;
  }
  return runs;
}

// Whether only settled tables are next to the run: no neighbours will come that could be merged with it.
bool is_enclosed(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded, Run run) {
  const auto is_wall = [&](std::size_t index) {
    return is_settled(version, index, settings) && excluded.count(version.event_tables()[index]->number) == 0;
  };
  return run.end < version.event_tables().size() && is_wall(run.end) && (run.begin == 0 || is_wall(run.begin - 1));
}

// The front of the run that is worth a merge now. What was merged before is only merged again into something at least
// twice its size, so that a few large tables are not rewritten with every few small ones.
std::optional<Run> worth_merging(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded,
                                 Run run, std::uint32_t tier) {
  std::uint64_t total = 0;
  std::uint64_t rewritten_max = 0;
  std::size_t end = run.begin;
  for (; end < run.end && total < settings.table_bytes_target; ++end) {
    const std::uint64_t bytes = version.event_tables()[end]->file_bytes;
    total += bytes;
    if (!must_rewrite(version, end, settings)) rewritten_max = std::max(rewritten_max, bytes);
  }
  const std::size_t count = end - run.begin;
  const bool is_enough = count >= settings.event_merge_width || (tier == 0 && total >= settings.table_bytes_target);
  if (tier == 0 && !is_enough && is_enclosed(version, settings, excluded, run)) {
    const bool has_flushed = must_rewrite(version, run.begin, settings);
    return count >= 2 || has_flushed ? std::optional(run) : std::nullopt;
  }
  if (!is_enough || rewritten_max > total / 2) return std::nullopt;
  return Run{run.begin, end};
}

Plan event_plan(const Version& version, const PickerSettings& settings, Run run) {
  const auto first = version.event_tables().begin();
  Plan plan;
  plan.kind = sstable::TableKind::kEvents;
  plan.inputs.emplace_back(first + static_cast<std::ptrdiff_t>(run.begin),
                           first + static_cast<std::ptrdiff_t>(run.end));
  plan.output_level = kMergedEventLevel;
  plan.output_table_bytes = output_table_bytes(plan.input_bytes(), settings.table_bytes_target);
  return plan;
}

// The smallest tables first: they are the most, and cost the least.
std::optional<Run> pick_event_run(const Version& version, const PickerSettings& settings,
                                  const FileNumberSet& excluded) {
  std::uint32_t tier_max = 0;
  for (const TableRef& table : version.event_tables()) tier_max = std::max(tier_max, tier_of(*table, settings));
  for (std::uint32_t tier = tier_max + 1; tier-- > 0;) {
    for (const Run run : runs_of(version, settings, excluded, tier)) {
      // A front that is not worth it must not keep what follows from being merged.
      for (Run rest = run; rest.begin < rest.end; ++rest.begin) {
        if (const auto found = worth_merging(version, settings, excluded, rest, tier)) return found;
      }
    }
  }
  return std::nullopt;
}

std::optional<Plan> pick_full_events(const Version& version, const PickerSettings& settings) {
  const std::vector<TableRef>& tables = version.event_tables();
  // Two tables below half the target make one: so every plan leaves fewer tables, or fewer that must be rewritten.
  const auto is_wanted = [&](std::size_t index) {
    return must_rewrite(version, index, settings) || tables[index]->file_bytes < settings.table_bytes_target / 2;
  };
  for (Run run{0, 0}; run.begin < tables.size(); run.begin = run.end + 1) {
    std::uint64_t total = 0;
    bool must = false;
    for (run.end = run.begin; run.end < tables.size() && is_wanted(run.end); ++run.end) {
      if (total >= settings.table_bytes_target) break;
      total += tables[run.end]->file_bytes;
      must = must || must_rewrite(version, run.end, settings);
    }
    if (must || run.end - run.begin >= 2) return event_plan(version, settings, run);
  }
  return std::nullopt;
}

// ---- Keys.

struct KeyRange {
  ByteView smallest;
  ByteView largest;
};

KeyRange range_of(const std::vector<TableRef>& tables) {
  KeyRange range{bytes_of(tables.front()->smallest_key), bytes_of(tables.front()->largest_key)};
  for (const TableRef& table : tables) {
    const ByteView smallest = bytes_of(table->smallest_key);
    const ByteView largest = bytes_of(table->largest_key);
    if (compare_bytes(smallest, range.smallest) < 0) range.smallest = smallest;
    if (compare_bytes(range.largest, largest) < 0) range.largest = largest;
  }
  return range;
}

// The plan that merges `upper`, tables of `level`, into the next; empty if that would race with running plans.
std::optional<Plan> key_plan(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded,
                             std::uint32_t level, std::vector<TableRef> upper) {
  const KeyRange range = range_of(upper);
  std::vector<TableRef> lower = version.tables_for_range(level + 1, range.smallest, range.largest);
  if (is_any_excluded(upper, excluded) || is_any_excluded(lower, excluded)) return std::nullopt;

  Plan plan;
  plan.kind = sstable::TableKind::kKeys;
  plan.output_level = level + 1;
  plan.is_move = lower.empty() && upper.size() == 1;
  if (level == 0) {
    for (TableRef& table : upper) plan.inputs.push_back({std::move(table)});
  } else {
    plan.inputs.push_back(std::move(upper));
  }
  if (!lower.empty()) plan.inputs.push_back(std::move(lower));
  const KeyRange whole = range_of(plan.all_inputs());
  for (std::uint32_t below = level + 2; below < kLevels; ++below) {
    auto tables = version.tables_for_range(below, whole.smallest, whole.largest);
    if (!tables.empty()) plan.beneath.push_back(std::move(tables));
  }
  plan.output_table_bytes = output_table_bytes(plan.input_bytes(), settings.table_bytes_target);
  return plan;
}

// The oldest table not being compacted, and all of level 0 that it overlaps, directly or through others: no older
// version of any of their keys stays behind above what they are merged into.
std::optional<Plan> pick_level0(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded) {
  const std::vector<TableRef>& tables = version.level(0);
  for (auto oldest = tables.rbegin(); oldest != tables.rend(); ++oldest) {
    if (excluded.count((*oldest)->number) > 0) continue;
    std::vector<TableRef> chosen{*oldest};
    for (std::size_t before = 0; before != chosen.size();) {
      before = chosen.size();
      const KeyRange range = range_of(chosen);
      chosen = version.tables_for_range(0, range.smallest, range.largest);
    }
    if (auto plan = key_plan(version, settings, excluded, 0, std::move(chosen))) return plan;
  }
  return std::nullopt;
}

// The table that costs least to move down, by the bytes rewritten for each of its own.
std::optional<Plan> pick_level(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded,
                               std::uint32_t level) {
  std::optional<Plan> best;
  double best_cost = std::numeric_limits<double>::max();
  for (const TableRef& table : version.level(level)) {
    auto plan = key_plan(version, settings, excluded, level, {table});
    if (!plan) continue;
    const double own = static_cast<double>(std::max<std::uint64_t>(1, table->file_bytes));
    const double cost = static_cast<double>(plan->input_bytes()) / own;
    if (cost >= best_cost) continue;
    best_cost = cost;
    best = std::move(plan);
  }
  return best;
}

std::optional<Plan> pick_keys(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded,
                              std::uint32_t closed_level) {
  struct Score {
    double over;  // 1: at its target
    std::uint32_t level;
  };
  std::vector<Score> scores;
  const auto waiting = std::count_if(version.level(0).begin(), version.level(0).end(),
                                     [&excluded](const TableRef& table) { return excluded.count(table->number) == 0; });
  scores.push_back({static_cast<double>(waiting) / settings.level0_trigger, 0});
  for (std::uint32_t level = 1; level + 1 < kLevels; ++level) {
    const auto target = static_cast<double>(std::max<std::uint64_t>(1, level_bytes_target(settings, level)));
    std::uint64_t bytes = 0;  // what is on its way down counts no more
    for (const TableRef& table : version.level(level)) {
      if (excluded.count(table->number) == 0) bytes += table->file_bytes;
    }
    // At its target a level is where it should be; level 0 is then due.
    scores.push_back({bytes > level_bytes_target(settings, level) ? static_cast<double>(bytes) / target : 0, level});
  }
  std::stable_sort(scores.begin(), scores.end(), [](const Score& a, const Score& b) { return a.over > b.over; });
  for (const Score& score : scores) {
    if (score.over < 1) break;
    if (score.level + 1 == closed_level && !HDB_SEEDED(merge_keys_beside_a_full_compaction)) continue;
    auto plan = score.level == 0 ? pick_level0(version, settings, excluded)
                                 : pick_level(version, settings, excluded, score.level);
    if (plan) return plan;
  }
  return std::nullopt;
}

std::optional<Plan> pick_full_keys(const Version& version, const PickerSettings& settings) {
  std::uint32_t levels_in_use = 0;
  std::uint32_t deepest = 0;
  std::uint64_t bytes = 0;
  Plan plan;
  for (std::uint32_t level = 0; level < kLevels; ++level) {
    const std::vector<TableRef>& tables = version.level(level);
    if (tables.empty()) continue;
    ++levels_in_use;
    deepest = level;
    bytes += bytes_in(tables);
    if (level == 0) {
      for (const TableRef& table : tables) plan.inputs.push_back({table});
    } else {
      plan.inputs.push_back(tables);
    }
  }
  if (levels_in_use == 0 || (levels_in_use == 1 && deepest > 0)) return std::nullopt;
  plan.kind = sstable::TableKind::kKeys;
  plan.is_of_all_keys = true;
  plan.output_level = std::max<std::uint32_t>(1, deepest);
  while (plan.output_level + 1 < kLevels && bytes > level_bytes_target(settings, plan.output_level)) {
    ++plan.output_level;
  }
  plan.output_table_bytes = output_table_bytes(bytes, settings.table_bytes_target);
  return plan;
}

}  // namespace

std::vector<TableRef> Plan::all_inputs() const {
  std::vector<TableRef> all;
  for (const auto& group : inputs) all.insert(all.end(), group.begin(), group.end());
  return all;
}

std::vector<FileNumber> Plan::input_numbers() const {
  std::vector<FileNumber> numbers;
  for (const auto& group : inputs) {
    for (const TableRef& table : group) numbers.push_back(table->number);
  }
  return numbers;
}

std::uint64_t Plan::input_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& group : inputs) bytes += bytes_in(group);
  return bytes;
}

std::uint64_t level_bytes_target(const PickerSettings& settings, std::uint32_t level) noexcept {
  if (level == 0) return 0;
  if (level + 1 >= kLevels) return std::numeric_limits<std::uint64_t>::max();
  std::uint64_t target = settings.level1_bytes_target;
  for (std::uint32_t above = 1; above < level; ++above) {
    if (target > std::numeric_limits<std::uint64_t>::max() / settings.level_size_ratio) {
      return std::numeric_limits<std::uint64_t>::max();
    }
    target *= settings.level_size_ratio;
  }
  return target;
}

std::optional<Plan> pick(const Version& version, const PickerSettings& settings, const FileNumberSet& excluded,
                         std::uint32_t closed_level) {
  // Keys first: the more tables in level 0, the slower every look-up; events wait without harm.
  if (auto plan = pick_keys(version, settings, excluded, closed_level)) return plan;
  if (const auto run = pick_event_run(version, settings, excluded)) return event_plan(version, settings, *run);
  return std::nullopt;
}

std::optional<Plan> pick_full(const Version& version, const PickerSettings& settings) {
  if (auto plan = pick_full_keys(version, settings)) return plan;
  return pick_full_events(version, settings);
}

Debt debt(const Version& version, const PickerSettings& settings) {
  Debt debt;
  for (const Run run : runs_of(version, settings, {}, 0)) {
    std::uint64_t bytes = 0;
    for (std::size_t index = run.begin; index < run.end; ++index) bytes += version.event_tables()[index]->file_bytes;
    if (run.end - run.begin < settings.event_merge_width && bytes < settings.table_bytes_target) continue;
    debt.event_tables += run.end - run.begin;
    debt.event_bytes += bytes;
  }
  debt.level0_tables = version.level(0).size();
  if (debt.level0_tables >= settings.level0_trigger) debt.key_bytes = version.level_bytes(0);
  for (std::uint32_t level = 1; level + 1 < kLevels; ++level) {
    const std::uint64_t bytes = version.level_bytes(level);
    const std::uint64_t target = level_bytes_target(settings, level);
    if (bytes > target) debt.key_bytes += (bytes - target) * (settings.level_size_ratio + 1ull);
  }
  return debt;
}

}  // namespace hdb::compaction
