#!/usr/bin/env python3
"""Every deliberate bug (HDB_SEEDED in the sources) is found by the test named here, which passes without one. Arguments:
the folder of the tests, of a build with -Dseeded_defects=true, then names of defects (default: all)."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Of the random runs, which the least of them finds each defect by: with the seed that outcome() gives them, and with
# others. Every test runs with each of its defects, so what is longer is paid for many times.
SCALE = "0.1"
SECONDS_MAX = 600  # for one run of a test
LAYERS = ("base", "io", "wal", "memtable", "sstable", "compaction", "engine", "tools/dump")
FOUND_BY = {
    "acknowledge_before_sync": "crash_test",
    "append_a_batch_in_two_halves": "crash_test",
    "back_up_without_a_flush": "backup_test",
    "back_up_without_checking": "backup_test",
    "begin_a_part_within_a_key": "side_by_side_test",
    "believe_a_shortened_manifest": "recovery_test",
    "believe_a_manifest_that_is_not_durable": "read_only_test",
    "believe_in_keyspaces_that_nothing_names": "recovery_test",
    "believe_in_a_lost_lock": "refusal_test",
    "count_a_lost_event": "salvage_test",
    "delete_the_log_above_the_floor": "wal_test",
    "drop_a_version_a_snapshot_sees": "compaction_test",
    "drop_the_log_after_recovery": "recovery_test",
    "drop_tombstones_too_early": "compaction_test",
    "flush_before_all_is_applied": "memory_test",
    "flush_without_the_kept_space": "disk_budget_test",
    "forget_the_lock": "io_test",
    "forget_the_sync_after_a_rename": "manifest_test",
    "forget_the_sync_of_a_copied_table": "backup_test",
    "forget_the_sync_of_a_floor": "crash_test",
    "forget_the_sync_of_a_manifest": "manifest_test",
    "forget_the_sync_of_a_table": "crash_test",
    "forget_the_sync_of_an_edit": "manifest_test",
    "forget_the_sync_of_copied_names": "backup_test",
    "forget_the_sync_of_merged_names": "crash_test",
    "forget_the_sync_of_older_segments": "wal_test",
    "forget_the_sync_of_the_log_directory": "wal_test",
    "forget_the_sync_of_the_table_directory": "crash_test",
    "give_a_sequence_number_twice": "visibility_test",
    "give_a_ticket_twice": "io_test",
    "give_kept_space_to_appends": "engine_test",
    "give_out_tokens_that_are_not_durable": "engine_test",
    "hard_link_a_mutable_file": "backup_test",
    "keep_a_table_without_checking": "backup_test",
    "leave_a_key_out_of_the_filter": "sstable_test",
    "let_a_copy_keep_its_id": "backup_test",
    "let_old_values_come_back": "salvage_test",
    "leave_the_next_segment_unvouched": "log_damage_test",
    "lose_an_index_entry": "sstable_test",
    "lose_what_a_short_completion_left": "posix_faults_test",
    "lose_what_a_short_write_left": "io_test",
    "merge_keys_beside_a_full_compaction": "compaction_test",
    "never_sync_by_the_timer": "log_timer_test",
    "open_without_looking_for_the_tables": "recovery_test",
    "publish_before_all_is_applied": "visibility_test",
    "read_what_is_not_durable": "read_only_test",
    "remove_the_mark_of_a_copy_too_late": "salvage_test",
    "replace_the_manifest_before_the_log_is_read": "recovery_test",
    "replay_half_a_group": "recovery_test",
    "restore_without_checking": "backup_test",
    "return_before_all_parts_have_ended": "side_by_side_test",
    "retry_a_failed_sync": "wal_test",
    "serve_a_block_without_its_identity": "table_damage_test",
    "skip_the_checksum_of_batches": "log_damage_test",
    "skip_the_checksum_of_blocks": "read_faults_test",
    "skip_the_epoch_check": "log_damage_test",
    "stop_the_log_on_a_full_disk": "disk_budget_test",
    "sync_again_after_an_error": "posix_faults_test",
    "take_a_canceled_sync_for_done": "posix_faults_test",
    "take_a_misread_for_a_torn_tail": "log_damage_test",
    "take_a_newer_node_for_the_sought": "memtable_test",
    "take_a_short_completion_for_a_whole_one": "log_faults_test",
    "take_a_short_read_for_a_whole_one": "posix_faults_test",
    "take_damage_for_a_torn_tail": "log_damage_test",
    "trust_an_old_look_up_of_ids": "engine_test",
    "use_an_epoch_twice": "crash_test",
    "wipe_a_store_in_use": "salvage_test",
    "write_the_rest_at_the_begin": "posix_faults_test",
}


def defects_in_the_sources():
    files = [file for layer in LAYERS for file in (ROOT / layer).glob("*.[ch]*") if file.name != "seeded_defect.h"]
    return sorted({name for file in files for name in re.findall(r"HDB_SEEDED\((\w+)\)", file.read_text())})


def outcome(folder, test, defect=""):
    """"passed", "failed" or "hung" of a test with the defect. The seed of the random runs is fixed: what is proved here is
    that they can find the defect, and the proof must repeat."""
    environment = {**os.environ, "HDB_TEST_SCALE": SCALE, "HDB_TEST_SEED": "1"}
    environment.pop("HDB_SEEDED_DEFECT", None)
    if defect:
        environment["HDB_SEEDED_DEFECT"] = defect
    try:
        done = subprocess.run([folder / test, "--abort-after=1"], capture_output=True, env=environment, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        return "hung"
    return "failed" if done.returncode != 0 else "passed"


def main():
    folder = pathlib.Path(sys.argv[1])
    known = defects_in_the_sources()
    failed = 0
    for name in sorted(set(known) ^ set(FOUND_BY)):
        print(f"{name}: is not in the sources, or in no list here")
        failed += 1
    chosen = sys.argv[2:] or [name for name in known if name in FOUND_BY]
    tests = sorted({FOUND_BY[name] for name in chosen})
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        without = dict(zip(tests, pool.map(lambda test: outcome(folder, test), tests)))
        for test, ended in without.items():
            print(f"{'without a defect':45} {ended:7} {test}", flush=True)
            failed += ended != "passed"
        # What fails anyway finds nothing, and neither does a machine that is slow: a defect that makes its test hang
        # is found only if the test has a bound of its own.
        for name, ended in zip(chosen, pool.map(lambda name: outcome(folder, FOUND_BY[name], name), chosen)):
            found = ended == "failed" and without[FOUND_BY[name]] == "passed"
            verdict = "caught by" if found else "NOT caught by"
            print(f"{name:45} {verdict} {FOUND_BY[name]}{' (hung)' if ended == 'hung' else ''}", flush=True)
            failed += not found
    print(f"{len(tests) + len(chosen) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
