#!/usr/bin/env bash
# Line coverage of the folders a store's safety rests on, by the tests that are programs of ours. For each folder: its
# lines, those that ran, and every line that did not; a folder below LEAST % is a failure. The lines not covered are
# explained in docs/testing.md. The last line is "N passed, N failed": folders.
#
# HDB_TEST_SCALE (default 0.1 here) samples the random tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly LEAST=92
readonly FOLDERS=(wal memtable sstable compaction engine)
readonly BUILD=build/coverage

bash scripts/setup.sh gcovr

# Counts of threads are exact: what gcc counts by default may lose some, or go below zero.
[[ -f $BUILD/build.ninja ]] ||
  meson setup "$BUILD" -Db_coverage=true -Doptimization=1 -Ddebug=false -Dmimalloc=disabled -Dpeers=disabled \
    -Dcpp_args=-fprofile-update=atomic
mapfile -t tests < <(ninja -C "$BUILD" -t targets all | grep -oP '^tests/\w+_test(?=: cpp_LINKER)')
ninja -C "$BUILD" "${tests[@]}"
find "$BUILD" -name '*.gcda' -delete
HDB_TEST_SCALE=${HDB_TEST_SCALE:-0.1} python3 scripts/run_tests.py "$BUILD" --timeout-multiplier 3 "${tests[@]#tests/}"

gcovr --root . --object-directory "$BUILD" "${FOLDERS[@]/#/--filter=}" --txt "$BUILD/coverage.txt" \
  --json-summary "$BUILD/coverage.json"
cat "$BUILD/coverage.txt"
python3 scripts/coverage_table.py "$BUILD/coverage.json" "$LEAST" "${FOLDERS[@]}"
