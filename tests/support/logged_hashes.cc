#include "tests/support/logged_hashes.h"

#include "base/batch.h"
#include "compaction/manifest.h"
#include "wal/reader.h"

namespace hdb::test {

Result<std::uint64_t> check_logged_hashes(Env& env, const std::string& directory) {
  const compaction::Recovered recovered = HDB_TRY(compaction::recover(env, directory));
  const compaction::ManifestState& state = recovered.state;
  std::uint64_t hashed = 0;
  if (!state.is_log_open) return hashed;
  const wal::ReplayStart start{.store_id = state.store_id,
                               .epoch_max = state.epoch,
                               .floor = state.log_floor,
                               .next_sequence = state.next_sequence,
                               .next_position = state.position_end};
  const auto check_group = [&hashed](const wal::Group& group) -> Status {
    for (const BatchView& batch : group.batches) {
      HDB_TRY(check_leaf_hashes(batch));
      if (batch.has_leaf_hashes()) hashed += batch.event_count();
    }
    return {};
  };
  HDB_TRY(wal::replay(env, directory, start, check_group).status());
  return hashed;
}

}  // namespace hdb::test
