#!/usr/bin/env python3
"""Fuzzes every decoder (tests/fuzz), each for a time, and proves first that a bug would be found.

usage: fuzz.py BUILD SECONDS_PER_TARGET [TARGET...]

BUILD is made with clang if it is not there. New inputs go to BUILD/fuzz-corpus, where a later run goes on; an input
that fails goes to BUILD/fuzz-failures: fix the bug, and add the input to tests/fuzz/corpus. The canary is a bug of the
fuzzer's own; if it is not found, nothing else was looked for either. The last line is "N passed, N failed".
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "fuzz" / "corpus"
CANARY = "canary"
CANARY_SECONDS_MAX = 60
INPUT_BYTES_MAX = 20_480  # corpora are small; longer inputs only make mutations rarer where they matter
# Of the process, with what ASan keeps of freed blocks; what one decoding may take is checked in tests/fuzz/fuzz.cc.
RSS_MB_MAX = 1536
MALLOC_MB_MAX = 256
INPUT_SECONDS_MAX = 20
OUTPUT_MAX = 6000  # characters shown of a failed target, the last ones
STATUS = re.compile(r"^#(\d+)\s.*?cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)


def make(build):
    if not (build / "build.ninja").is_file():
        subprocess.run(
            ["meson", "setup", str(build), "-Dfuzzers=true", "-Dtests=false", "-Db_sanitize=address,undefined",
             "-Db_lundef=false", "-Ddebug=false", "-Doptimization=1", "-Dcpp_args=-g1", "-Dmimalloc=disabled",
             "-Dpeers=disabled"],
            check=True, cwd=ROOT, env={**os.environ, "CXX": os.environ.get("CXX", "clang++-14")})
    subprocess.run(["ninja", "-C", str(build), "tests/fuzz/fuzz"], check=True)
    return build / "tests" / "fuzz" / "fuzz"


def environment(target):
    found = shutil.which("llvm-symbolizer-14") or shutil.which("llvm-symbolizer")
    return {**os.environ, "HDB_FUZZ_TARGET": target, "UBSAN_OPTIONS": "print_stacktrace=1",
            "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:allocator_may_return_null=1",
            **({"ASAN_SYMBOLIZER_PATH": found, "UBSAN_SYMBOLIZER_PATH": found} if found else {})}


def fuzz(fuzzer, build, target, seconds):
    """Runs a target. Returns (its output, exit code, seconds taken, the failing inputs)."""
    work = build / "fuzz-corpus" / target
    failures = build / "fuzz-failures"
    for folder in (work, failures):
        folder.mkdir(parents=True, exist_ok=True)
    prefix = failures / f"{target}-"
    before = set(failures.iterdir())
    seeds = [CORPUS / target] if (CORPUS / target).is_dir() else []
    begin = time.monotonic()
    # Not entropic: its bookkeeping takes more time than most targets.
    run = subprocess.run(
        [fuzzer, f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS_MAX}", f"-rss_limit_mb={RSS_MB_MAX}",
         f"-malloc_limit_mb={MALLOC_MB_MAX}", f"-max_len={INPUT_BYTES_MAX}", f"-artifact_prefix={prefix}",
         "-use_value_profile=1", "-entropic=0", work, *seeds],
        capture_output=True, text=True, errors="replace", env=environment(target))
    found = sorted(path for path in set(failures.iterdir()) - before if path.name.startswith(prefix.name))
    return run.stdout + run.stderr, run.returncode, time.monotonic() - begin, found


def run_canary(fuzzer, build):
    shutil.rmtree(build / "fuzz-corpus" / CANARY, ignore_errors=True)
    output, code, seconds, found = fuzz(fuzzer, build, CANARY, CANARY_SECONDS_MAX)
    for path in found:
        path.unlink()
    is_found = code != 0 and bool(found) and "heap-buffer-overflow" in output
    print(f"{CANARY}: {'found' if is_found else 'NOT FOUND'} after {seconds:.1f} s", flush=True)
    if not is_found:
        print(output[-OUTPUT_MAX:])
    return is_found


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    build, seconds = pathlib.Path(sys.argv[1]).resolve(), max(1, int(float(sys.argv[2])))
    fuzzer = make(build)
    targets = sys.argv[3:] or sorted(folder.name for folder in CORPUS.iterdir())
    passed = failed = 0
    if run_canary(fuzzer, build):
        passed += 1
    else:
        failed += 1
    print(f"{'target':18} {'executions':>11} {'corpus':>7} {'coverage':>9} {'features':>9} {'seconds':>8}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {pool.submit(fuzz, fuzzer, build, target, seconds): target for target in targets}
        for run in concurrent.futures.as_completed(runs):
            target = runs[run]
            output, code, taken, found = run.result()
            lines = STATUS.findall(output)
            executions, coverage, features, corpus = lines[-1] if lines else ("0", "0", "0", "0")
            print(f"{target:18} {executions:>11} {corpus:>7} {coverage:>9} {features:>9} {taken:8.1f}", flush=True)
            if code == 0 and not found and int(executions) > 0:
                passed += 1
                continue
            failed += 1
            print(output[-OUTPUT_MAX:])
            for path in found:
                print(f"{target} FAILED on {path}; repeat it with\n  HDB_FUZZ_TARGET={target} {fuzzer} {path}")
            if not found:
                print(f"{target} FAILED with exit code {code}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
