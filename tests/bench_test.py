#!/usr/bin/env python3
"""hdb-bench's command line and results, on tiny runs. Argument: the executable."""
import json
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

BENCH = sys.argv[1]
TINY = ["--events", "3000", "--batch", "100", "--writers", "2", "--output", "json"]
FIELDS = """kind workload engine round events batch writers durability preset events_per_s settled_events_per_s p50_us
    p99_us p999_us max_us bytes_written write_amplification peak_rss_bytes cpu_s generator_cpu_s verified cpu_model
    device_sync_p50_us""".split()


def run(*arguments, **options):
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, **options)


def objects(*arguments):
    """The JSON objects a run prints, which must be all it prints."""
    done = run(*arguments)
    check(done.returncode == 0, f"exit {done.returncode}: {done.stderr}")
    check(done.stderr == "", f"standard error is no terminal, yet says: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(holds, message):
    if not holds:
        raise AssertionError(message)


def has_peers():
    return run("kv-ingest", "--engine", "rocksdb,leveldb", "--events", "1").returncode == 0


def check_result(result, engine, events):
    missing = [field for field in FIELDS if field not in result]
    check(not missing, f"{engine} lacks {missing}")
    check(result["kind"] == "result" and result["engine"] == engine and result["events"] == events, str(result))
    check(result["verified"] is True, f"{engine} is not verified")
    for field in ("events_per_s", "settled_events_per_s", "p50_us", "bytes_written", "peak_rss_bytes", "cpu_s",
                  "device_sync_p50_us", "write_amplification"):
        check(result[field] > 0, f"{engine}: {field} is {result[field]}")
    check(result["settled_events_per_s"] <= result["events_per_s"], "settling took no time")
    check(result["p50_us"] <= result["p99_us"] <= result["p999_us"] <= result["max_us"], "percentiles do not ascend")


def test_kv_ingest_is_verified_under_every_durability(scratch):
    for durability in ("none", "interval", "sync"):
        (result,) = objects("kv-ingest", *TINY, "--durability", durability, "--dir", scratch)
        check_result(result, "hdb", 3000)
        check(result["durability"] == durability and result["preset"] == "throughput", str(result))
        check(result["value_bytes"] == 200, str(result))


def test_a_run_that_gets_not_all_of_its_writers_says_so_in_one_line(scratch):
    gib = 1 << 30

    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_STACK, (gib, gib))  # what each thread takes of the address space
        resource.setrlimit(resource.RLIMIT_AS, (12 * gib, 12 * gib))

    done = run("kv-ingest", "--events", "3000", "--writers", "16", "--dir", scratch, preexec_fn=limit)
    check(done.returncode == 1 and done.stderr.count("\n") == 1, f"exit {done.returncode}: {done.stderr}")
    check(" of 16 cannot be started" in done.stderr and "--writers" in done.stderr, done.stderr)


def test_ingest_of_generated_events_is_verified(scratch):
    (result,) = objects("ingest", *TINY, "--preset", "small", "--dir", scratch)
    check_result(result, "hdb", 3000)
    check(result["preset"] == "small" and result["bytes_per_event"] > 0, str(result))


def test_peers_take_turns_and_are_compared(scratch):
    if not has_peers():
        return  # built without them
    for workload in ("kv-ingest", "ingest"):
        found = objects(workload, *TINY, "--engine", "hdb,rocksdb,leveldb", "--rounds", "2", "--dir", scratch)
        order = [result["engine"] for result in found if result["kind"] == "result"]
        check(order == ["hdb", "rocksdb", "leveldb"] * 2, str(order))
        for result in found[:6]:
            check_result(result, result["engine"], 3000)
        ratios = found[6:]
        check([ratio["peer"] for ratio in ratios] == ["rocksdb", "leveldb"], str(ratios))
        check(all(ratio["events_per_s"] > 0 and ratio["p99_us"] > 0 for ratio in ratios), str(ratios))


def test_space_counts_every_file_of_generated_logs(scratch):
    log = pathlib.Path(scratch) / "events.ndjson"
    log.write_text(run("generate", "--events", "5000", "--seed", "7").stdout)
    found = objects("space", "--engine", "hdb", "--input", str(log), "--dir", scratch, "--output", "json")
    space = found[0]
    check(space["verified"] is True and space["events"] == 5000, str(space))
    check(space["raw_bytes"] == log.stat().st_size, str(space))
    check(space["directory_bytes"] == sum(space["bytes_by_kind"].values()) > 0, str(space))
    check(0 < space["zstd3_bytes"] < space["raw_bytes"] and 0 < space["gzip6_bytes"] < space["raw_bytes"], str(space))
    check([ratio["peer"] for ratio in found[1:]] == ["gzip-6", "zstd-3"], str(found[1:]))


def test_the_generator_is_a_function_of_the_seed(scratch):
    lines = run("generate", "--events", "500", "--seed", "1").stdout
    check(lines == run("generate", "--events", "500", "--seed", "1").stdout, "the same seed, other events")
    check(lines != run("generate", "--events", "500", "--seed", "2").stdout, "another seed, the same events")
    events = [json.loads(line) for line in lines.splitlines()]
    check(len(events) == 500 and len({event["type"] for event in events}) > 5, "too few types")
    check(all(event["host"] and event["entity"] and event["tags"] for event in events), "an attribute is missing")


def test_the_report_is_one_page_with_plots(scratch):
    report = pathlib.Path(scratch) / "report.html"
    objects("kv-ingest", *TINY, "--dir", scratch, "--report", str(report))
    page = report.read_text()
    check(page.count("<svg") == 3 and "</html>" in page, "plots are missing")
    check("http" not in page and "<script" not in page, "the page is not self-contained")
    check("nan" not in page and "inf" not in page.replace("info", ""), "a plot has a point nowhere")


def test_nothing_is_left_behind(scratch):
    folder = pathlib.Path(scratch) / "kept"
    folder.mkdir()
    objects("kv-ingest", *TINY, "--dir", str(folder))
    check(not list(folder.iterdir()), "the run left its store behind")


def test_a_run_that_is_stopped_leaves_nothing_behind(scratch):
    folder = pathlib.Path(scratch) / "new" / "folder"
    process = subprocess.Popen([BENCH, "kv-ingest", "--events", "50000000", "--dir", str(folder)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not list(folder.glob("hdb-bench-*-hdb*/store")):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    check(process.returncode == 1 and b"stopped by signal" in err, f"exit {process.returncode}: {err}")
    check(not (pathlib.Path(scratch) / "new").exists(), "the run left its store behind")


def test_a_report_goes_into_a_file_and_nowhere_else(scratch):
    for report in ("/dev/full", scratch, f"{scratch}/nowhere/report.html"):
        done = run("kv-ingest", *TINY, "--dir", scratch, "--report", report)
        check(done.returncode == 2 and "--report" in done.stderr, f"{report}: {done.returncode} {done.stderr}")
    check(pathlib.Path("/dev/full").is_char_device(), "the device was replaced")


def test_bad_arguments_are_one_line_and_exit_2(scratch):
    for arguments in (["nonsense"], [], ["kv-ingest", "--nonsense"], ["kv-ingest", "--engine", "oracle"],
                      ["kv-ingest", "--events", "0"], ["kv-ingest", "--events", "many"],
                      ["kv-ingest", "--durability", "maybe"], ["kv-ingest", "--preset", "nonsense"],
                      ["kv-ingest", "--set", "nonsense"], ["kv-ingest", "--set", "block_bytes=1"],
                      ["kv-ingest", "--input", "file"], ["space"]):
        done = run(*arguments)
        check(done.returncode == 2, f"{arguments}: exit {done.returncode}")
        check(len(done.stderr.splitlines()) == 1 and done.stdout == "", f"{arguments}: {done.stderr}")
    done = run("ingest", "--input", "/nowhere/file.ndjson")
    check(done.returncode == 1 and "/nowhere/file.ndjson" in done.stderr, done.stderr)


def main():
    tests = [function for name, function in globals().items() if name.startswith("test_")]
    failed = 0
    for test in tests:
        with tempfile.TemporaryDirectory(prefix="hdb bench ") as scratch:
            try:
                test(scratch)
            except AssertionError as error:
                failed += 1
                print(f"{test.__name__}: {error}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
