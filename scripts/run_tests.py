#!/usr/bin/env python3
"""Runs a build's tests and sums what they say.

Each test's last line is "N passed, N failed", with ", N skipped" if any. Prints the output of those that failed, and
the sum as the last line. Exits with 1 if anything failed, or nothing passed.

usage: run_tests.py BUILD [TEST...]
"""
import json
import pathlib
import re
import subprocess
import sys

TALLY = re.compile(r"(\d+) passed, (\d+) failed(?:, (\d+) skipped)?")
ROOT = pathlib.Path(__file__).resolve().parent.parent
REAL_LOGS = ROOT.parent / "shared" / "data"
OUTPUT_MAX = 20_000  # characters shown of a failed test, the last ones


def tally_of(test):
    """(passed, failed, skipped, why it failed as a whole) of one entry of meson's log."""
    lines = test.get("stdout", "").strip().splitlines()
    tally = TALLY.fullmatch(lines[-1].strip()) if lines else None
    passed, failed, skipped = (int(count or 0) for count in tally.groups()) if tally else (0, 0, 0)
    if test["result"] == "SKIP" and not tally:
        skipped = 1
    elif not tally:
        return passed, 1, skipped, f"{test['result']}: no line 'N passed, N failed' at its end"
    if test["result"] not in ("OK", "SKIP") and failed == 0:
        return passed, 1, skipped, f"{test['result']}, exit {test['returncode']}"
    if skipped > 0 and REAL_LOGS.is_dir() and "shared/data" in test.get("stdout", "") + test.get("stderr", ""):
        return passed, failed + skipped, 0, f"skipped tests of the real logs, although {REAL_LOGS} exists"
    return passed, failed, skipped, ""


def main():
    build = pathlib.Path(sys.argv[1])
    log = build / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    run = subprocess.run(["meson", "test", "-C", str(build), "--no-rebuild", *sys.argv[2:]])
    if not log.is_file():
        print(f"meson test wrote no {log}")
        print("0 passed, 1 failed")
        return 1

    total = [0, 0, 0]
    for line in log.read_text().splitlines():
        test = json.loads(line)
        passed, failed, skipped, reason = tally_of(test)
        total = [total[0] + passed, total[1] + failed, total[2] + skipped]
        if failed:
            print(f"\n=== {test['name']}: {failed} failed {reason}")
            print((test.get("stdout", "") + test.get("stderr", ""))[-OUTPUT_MAX:])
    if run.returncode != 0 and total[1] == 0:
        print(f"meson test exited with {run.returncode}")
        total[1] = 1
    print(f"\n{total[0]} passed, {total[1]} failed" + (f", {total[2]} skipped" if total[2] else ""))
    return 1 if total[1] or not total[0] else 0


if __name__ == "__main__":
    sys.exit(main())
