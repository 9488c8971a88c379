#include "tests/support/logged_hashes.h"

#include "base/batch.h"
#include "compaction/manifest.h"
#include "wal/reader.h"

namespace hdb::test {

Result<LoggedEvents> check_logged_hashes(Env& env, const std::string& directory) {
  const compaction::Recovered recovered = HDB_TRY(compaction::recover(env, directory));
  const compaction::ManifestState& state = recovered.state;
  LoggedEvents logged;
  if (!state.is_log_open) return logged;
  const wal::ReplayStart start{.store_id = state.store_id,
                               .epoch_max = state.epoch,
                               .floor = state.log_floor,
                               .next_sequence = state.next_sequence,
                               .next_position = state.position_end};
  const auto check_group = [&logged](const wal::Group& group) -> Status {
    for (const BatchView& batch : group.batches) {
      HDB_TRY(check_leaf_hashes(batch));
      logged.events += batch.event_count();
      if (batch.has_leaf_hashes()) logged.hashed += batch.event_count();
    }
    return {};
  };
  HDB_TRY(wal::replay(env, directory, start, check_group).status());
  return logged;
}

}  // namespace hdb::test
