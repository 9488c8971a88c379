#!/usr/bin/env python3
"""The loops of the tests that break things, with new seeds until the time is over, and each at least once, however short
that is: power loss and errors at every operation, damage to every byte, failing allocations, kills, random operations
under random options.

For each loop: how often it ran, each time with another seed, its test cases, the checks in them, the faults injected
(what was broken, by its kind, comes below), failures. A failure prints the seed that repeats it.
The last line is "N passed, N failed": test cases. Exits with 1 if anything failed.

usage: torture.py BUILD [SECONDS]
"""
import collections
import os
import pathlib
import random
import re
import subprocess
import sys
import time

# Name, executable, how much longer than in `make test` each run is.
LOOPS = [
    ("power loss and errors at every operation", "crash_test", 1),
    ("reads that are short, stale, misdirected or flipped", "read_faults_test", 4),
    ("log writes that fail, are short or out of order; delays", "log_faults_test", 2),
    ("full disks of every size", "disk_budget_test", 3),
    ("full disks of real file systems", "full_disk_test", 1),
    ("system calls interrupted, partial and failing", "posix_faults_test", 4),
    ("power loss at every operation of the log", "wal_test", 3),
    ("damage, misreads and old epochs of the log", "log_damage_test", 3),
    ("power loss and errors of the manifest", "manifest_test", 2),
    ("power loss and errors during backups", "backup_test", 1),
    ("every byte flipped, every file cut", "store_damage_test", 4),
    ("every byte of tables flipped and cut", "table_damage_test", 2),
    ("what is salvaged of damaged stores", "salvage_test", 4),
    ("what is salvaged of damaged logs", "salvage_log_test", 4),
    ("what is salvaged without a manifest", "salvage_manifest_test", 4),
    ("power loss around those who only read", "read_only_test", 1),
    ("memory against its bounds, damaged and slow", "memory_bound_test", 1),
    ("each allocation of each call failing", "memory_test", 1),
    ("writers killed on real files", "process_test", 3),
    ("random operations under all presets and random options", "model_test", 3),
    ("merges in any order", "compaction_test", 3),
    ("stores that lost a part of themselves", "recovery_test", 1),
    ("threads, full disks, errors", "engine_test", 3),
]
CHECKS = re.compile(r"assertions:\s*(\d+)")
FAULTS = re.compile(r"^faults injected: (\d+)(?: \((.*)\))?$", re.MULTILINE)
TALLY = re.compile(r"^(\d+) passed, (\d+) failed", re.MULTILINE)
RUN_SECONDS_MAX = 900


class Loop:
    def __init__(self, name, executable, scale):
        self.name, self.executable, self.scale = name, executable, scale
        self.runs = self.cases = self.checks = self.faults = self.failed = 0
        self.seconds = 0.0
        self.kinds = collections.Counter()
        self.bad_seeds = []

    def run(self, seed):
        environment = {**os.environ, "HDB_TEST_SEED": str(seed), "HDB_TEST_SCALE": str(self.scale)}
        begin = time.monotonic()
        try:
            done = subprocess.run([self.executable], capture_output=True, text=True, errors="replace", env=environment,
                                  timeout=RUN_SECONDS_MAX)
            output, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired:
            output, code = "hung", 1
        self.seconds += time.monotonic() - begin
        self.runs += 1
        self.checks += sum(map(int, CHECKS.findall(output)))
        for count, kinds in FAULTS.findall(output):
            self.faults += int(count)
            for kind in filter(None, kinds.split(", ")):
                name, _, number = kind.rpartition(" ")
                self.kinds[name] += int(number)
        tally = TALLY.search(output)
        passed, failed = map(int, tally.groups()) if tally else (0, 0)
        if code != 0 and failed == 0:
            failed = 1
        self.cases += passed + failed
        self.failed += failed
        if failed:
            self.bad_seeds.append(seed)
            print(f"\n{self.name}: failed; repeat it with\n  HDB_TEST_SEED={seed} HDB_TEST_SCALE={self.scale} "
                  f"{self.executable}\n{output[-4000:]}", flush=True)


def main():
    build = pathlib.Path(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 600
    loops = [Loop(name, build / "tests" / executable, scale) for name, executable, scale in LOOPS]
    begin = time.monotonic()
    # The loop that had the least time goes next, so that each gets an equal share; each runs at least once.
    while time.monotonic() - begin < seconds or any(loop.runs == 0 for loop in loops):
        min(loops, key=lambda loop: (loop.runs > 0, loop.seconds)).run(random.SystemRandom().randrange(1, 1 << 32))
    print(f"{'loop':56} {'seeds':>6} {'cases':>7} {'checks':>12} {'faults':>9} {'failed':>7} {'seconds':>8}")
    for loop in loops:
        print(f"{loop.name:56} {loop.runs:6} {loop.cases:7} {loop.checks:12} {loop.faults:9} {loop.failed:7} "
              f"{loop.seconds:8.0f}")
        if loop.bad_seeds:
            print(f"    failed with the seeds {' '.join(map(str, loop.bad_seeds))}")
    kinds = sum((loop.kinds for loop in loops), collections.Counter())
    print(f"faults injected: {sum(loop.faults for loop in loops)}")
    for kind, count in sorted(kinds.items()):
        print(f"    {kind:40} {count:12}")
    failed = sum(loop.failed for loop in loops)
    print(f"{sum(loop.cases for loop in loops) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
