#!/usr/bin/env python3
"""hdb-bench's command line and results, on tiny runs. Argument: the executable."""
import hashlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time

BENCH = os.path.abspath(sys.argv[1])
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


def wait_until(holds, message, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        check(time.monotonic() < deadline, message)
        time.sleep(0.01)


def check(holds, message):
    if not holds:
        raise AssertionError(message)


def has_peers():
    return run("kv-ingest", "--engine", "rocksdb,leveldb,lmdb", "--events", "1").returncode == 0


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


def test_batches_in_flight_are_verified_and_only_where_they_can_be(scratch):
    (result,) = objects("kv-ingest", *TINY, "--in-flight", "8", "--durability", "sync", "--dir", scratch)
    check_result(result, "hdb", 3000)
    check(result["in_flight"] == 8, str(result))
    for workload in (["ingest"], ["kv-ingest", "--engine", "leveldb"]):
        if "leveldb" in workload and not has_peers():
            continue
        done = run(*workload, *TINY, "--in-flight", "8", "--dir", scratch)
        check(done.returncode == 2 and "--in-flight" in done.stderr, f"exit {done.returncode}: {done.stderr}")
        check(done.stdout == "", "it was measured first")


def test_what_is_set_last_holds(scratch):
    (result,) = objects("kv-ingest", *TINY, "--durability", "sync", "--set", "durability=none", "--dir", scratch)
    check(result["durability"] == "none", str(result))


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
        found = objects(workload, *TINY, "--engine", "hdb,rocksdb,leveldb,lmdb", "--rounds", "2", "--dir", scratch)
        order = [result["engine"] for result in found if result["kind"] == "result"]
        check(order == ["hdb", "rocksdb", "leveldb", "lmdb"] * 2, str(order))
        for result in found[:8]:
            check_result(result, result["engine"], 3000)
        ratios = found[8:]
        check([ratio["peer"] for ratio in ratios] == ["rocksdb", "leveldb", "lmdb"], str(ratios))
        check(all(ratio["events_per_s"] > 0 and ratio["p99_us"] > 0 for ratio in ratios), str(ratios))


# What each workload of named figures says beside the fields that all have, and what is above 0 on the tiniest run.
LABEL_FIELDS = """kind workload engine round events durability preset write_buffer_bytes cache_bytes cpu_model
    device_sync_p50_us verified""".split()
FIGURES = {
    "kv-get": "batch writers readers queries gets_per_s p50_us p99_us absent_gets_per_s peak_rss_bytes",
    "kv-scan": "batch writers entries_per_s backward_entries_per_s peak_rss_bytes",
    "mixed": """batch writers readers events_per_s settled_events_per_s p50_us p99_us p999_us max_us worst_stall_ms
        short_run_events_per_s sustained_events_per_s sustained_over_short_run gets gets_per_s bytes_written
        write_amplification""",
    "recover": "batch writers log_bytes bytes_per_s open_ms",
    "open": "batch writers opens files p50_ms max_ms",
}
# The same of the workloads of parts, which take no peers; and what each is tested with.
PARTS = {
    "skip-list": """batch ascending_inserts_per_s ascending_2_threads_inserts_per_s random_inserts_per_s
        random_2_threads_inserts_per_s""",
    "batch-encode": "batch encoded_bytes pairs_per_s bytes_per_s p50_us p99_us",
    "checksum": "bytes bytes_per_s_of_256_b bytes_per_s_of_4_kib bytes_per_s_of_1_mib",
    "log-append": "batch groups group_bytes bytes_per_s settled_bytes_per_s p50_us p99_us p999_us max_us bytes_written",
    "log-sync": "batch groups group_bytes syncs_per_s bytes_per_s p50_us p99_us p999_us max_us bytes_written",
}
TINY_PARTS = ["--events", "300", "--batch", "7", "--output", "json"]
TINY_READS = [*TINY, "--readers", "3", "--queries", "500"]


def check_figures(result, workload, engine, events):
    own = {**FIGURES, **PARTS}[workload].split()
    missing = [field for field in LABEL_FIELDS + own if field not in result]
    check(not missing, f"{workload} of {engine} lacks {missing}")
    check(result["kind"] == "result" and result["workload"] == workload and result["engine"] == engine, str(result))
    check(result["verified"] is True and result["events"] == events, str(result))
    for field in own:
        check(result[field] > 0, f"{workload} of {engine}: {field} is {result[field]}")


def test_every_workload_of_figures_is_verified(scratch):
    for workload in FIGURES:
        (result,) = objects(workload, *TINY_READS, "--dir", scratch)
        check_figures(result, workload, "hdb", 3000)
    text = run("mixed", "--events", "3000", "--dir", scratch)
    check(text.returncode == 0 and text.stdout.count("\n") == 2 and " verified" in text.stdout, text.stdout)
    check(text.stdout.startswith("mixed: durability none, preset throughput; write buffers "), text.stdout)
    check(not list(pathlib.Path(scratch).iterdir()), "a run left its store behind")


def test_every_workload_of_a_part_is_verified(scratch):
    for workload in PARTS:
        (result,) = objects(workload, *TINY_PARTS, "--dir", scratch)
        check_figures(result, workload, "hdb", 300)
        check(workload == "checksum" or result["batch"] == 7, str(result))
        done = run(workload, *TINY_PARTS, "--engine", "rocksdb")
        check(done.returncode == 2 and f"{workload} knows hdb" in done.stderr, done.stderr)
    check(not list(pathlib.Path(scratch).iterdir()), "a run left its store behind")


def test_the_log_alone_has_a_group_for_each_batch(scratch):
    (append,) = objects("log-append", *TINY_PARTS, "--dir", scratch)
    check(append["groups"] == 43 and append["durability"] == "none", str(append))
    check(append["group_bytes"] > 43 * 88 + 300 * 217, "the groups are too small for their pairs")
    (sync,) = objects("log-sync", "--events", "50", "--output", "json", "--dir", scratch)
    check(sync["groups"] == 50 and sync["batch"] == 1 and sync["durability"] == "sync", str(sync))
    check(sync["bytes_written"] >= 50 * 4096, "a group was made durable without a block of its own")
    done = run("log-sync", "--events", "50", "--batch", "50", "--dir", scratch)
    check(done.returncode != 0 and "over one block" in done.stderr, done.stderr)


def test_one_pair_and_one_byte_are_enough(scratch):
    for workload in [*FIGURES, *PARTS]:
        (result,) = objects(workload, "--events", "1", "--value-bytes", "1", "--queries", "1", "--readers", "1",
                            "--dir", scratch, "--output", "json")
        check_figures(result, workload, "hdb", 1)


def test_the_log_that_is_replayed_has_every_value(scratch):
    (result,) = objects("recover", *TINY, "--dir", scratch)
    check(3000 * 217 <= result["log_bytes"] < 3000 * 217 * 2, str(result))
    check(result["durability"] == "none", str(result))


def test_a_store_that_is_opened_has_many_tables(scratch):
    (result,) = objects("open", *TINY, "--dir", scratch, "--value-bytes", "2000", "--set", "memtable_bytes=256KiB",
                        "--set", "table_bytes_target=256KiB")
    check(result["files"] > 12 and result["p50_ms"] <= result["max_ms"], str(result))


def test_a_mixed_run_fills_ten_memtables_unless_told_otherwise(scratch):
    (result,) = objects("mixed", "--batch", "100", "--output", "json", "--dir", scratch, "--preset", "small", "--set",
                        "memtable_bytes=64KiB")
    check(result["events"] * 217 >= 10 << 16 and result["verified"] is True, str(result))
    check(result["gets"] % 128 == 0 and result["gets"] > 0, str(result))


def test_readers_end_with_writers_that_fail(scratch):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))  # the log's first file outgrows it

    done = run("mixed", "--events", "1000000", "--dir", scratch, preexec_fn=limit, timeout=120)
    check(done.returncode == 1 and done.stderr.count("\n") == 1, f"exit {done.returncode}: {done.stderr}")
    check(".wal" in done.stderr and " round " not in done.stdout, done.stderr + done.stdout)


def test_peers_take_turns_in_every_workload_of_figures(scratch):
    if not has_peers():
        return  # built without them
    for workload in FIGURES:
        engines = ["hdb", "rocksdb", "leveldb"] + ([] if workload == "recover" else ["lmdb"])
        rounds = 2 if workload == "kv-get" else 1
        found = objects(workload, *TINY_READS, "--engine", ",".join(engines), "--rounds", str(rounds), "--dir", scratch)
        results, ratios = found[:rounds * len(engines)], found[rounds * len(engines):]
        check([result["engine"] for result in results] == engines * rounds, str(found))
        for result in results:
            check_figures(result, workload, result["engine"], 3000)
        check([ratio["peer"] for ratio in ratios] == engines[1:], str(ratios))
        for ratio in ratios:
            check(ratio["kind"] == "ratio" and ratio["workload"] == workload, str(ratio))
            figures = {name: value for name, value in ratio.items() if name not in ("kind", "workload", "peer")}
            check(figures and all(value > 0 for value in figures.values()), str(ratio))
            check("events" not in figures and "files" not in figures, f"neither more nor fewer are better: {ratio}")


def test_recover_takes_no_more_than_a_peer_keeps_in_its_log(scratch):
    if not has_peers():
        return  # built without them
    done = run("recover", "--engine", "leveldb", "--dir", scratch)
    check(done.returncode == 2 and "at most --events" in done.stderr, f"exit {done.returncode}: {done.stderr}")


def test_a_flushed_log_is_no_recovery(scratch):
    done = run("recover", "--events", "30000", "--batch", "100", "--set", "memtable_bytes=64KiB", "--dir", scratch)
    check(done.returncode == 1 and "take fewer --events" in done.stderr, f"exit {done.returncode}: {done.stderr}")


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
    report = pathlib.Path(scratch) / "report.html"
    objects("space", "--engine", "hdb", "--input", str(log), "--dir", scratch, "--output", "json", "--report", str(report))
    check_report(report.read_text(), [], ["hdb"])
    check(f"<td>zstd3_bytes<td>{space['zstd3_bytes']}" in report.read_text(), "what it stands beside is missing")


def test_the_generator_is_a_function_of_the_seed(scratch):
    lines = run("generate", "--events", "500", "--seed", "1").stdout
    check(lines == run("generate", "--events", "500", "--seed", "1").stdout, "the same seed, other events")
    check(lines != run("generate", "--events", "500", "--seed", "2").stdout, "another seed, the same events")
    digest = hashlib.sha256(lines.encode()).hexdigest()
    check(digest == "d0f4b8a13e70ea9add65b8536e67c14162d9ae56e238c355d06208be9853cbd2", f"other events than before: {digest}")
    events = [json.loads(line) for line in lines.splitlines()]
    check(len(events) == 500 and len({event["type"] for event in events}) > 5, "too few types")
    check(all(event["host"] and event["entity"] and event["tags"] for event in events), "an attribute is missing")


# Of each workload's report: titles of what is plotted over time, and of latencies.
REPORTS = {
    "kv-ingest": ["events acknowledged", "a batch"],
    "ingest": ["events acknowledged", "a batch"],
    "kv-get": ["gets of existing keys", "gets of absent keys", "a get of an existing key", "a get of an absent key"],
    "kv-scan": ["entries scanned forward", "entries scanned backward"],
    "mixed": ["events acknowledged", "gets", "a batch", "a get"],
    "recover": [],
    "open": ["an open"],
    "skip-list": [f"{order} inserts by {threads}" for order in ("ascending", "random")
                  for threads in ("1 thread", "2 threads")] +
                 [f"a batch of {order} inserts, {threads}" for order in ("ascending", "random")
                  for threads in ("1 thread", "2 threads")],
    "batch-encode": ["pairs encoded, by the encoder's time", "a batch"],
    "checksum": ["bytes, in pieces of 256 B", "bytes, in pieces of 4 KiB", "bytes, in pieces of 1 MiB"],
    "log-append": ["bytes, by time in the writer", "a group"],
    "log-sync": ["groups made durable, by time in the writer", "a group made durable"],
}


def check_report(page, plots, engines):
    check("http" not in page and "<script" not in page and page.endswith("</html>\n"), "the page is not self-contained")
    titles = re.findall("<h2>(?:Per second, over time: |Latency of )(.*?)(?:, microseconds .*)?</h2>", page)
    check(sorted(titles) == sorted(plots), str(titles))
    check(page.count("<polyline") == len(plots) * len(engines), "an engine is missing in a plot")
    for points in re.findall("<polyline points='(.*?)'", page):
        pairs = [point.split(",") for point in points.split()]
        check(pairs and all(70 <= float(x) <= 630 and 20 <= float(y) <= 240 for x, y in pairs), points)
    bars = page.count("class='bars'")
    check(bars > 0 and page.count("<rect") == (bars + len(plots)) * len(engines), f"{bars} figures side by side")
    for engine in engines:
        check(f"<th>{engine}" in page and f">{engine}</text>" in page, f"{engine} is not named")
    check(page.count("<td>yes") == len(engines), "an engine is not verified")


def test_every_workload_reports_as_one_page_with_plots(scratch):
    report = pathlib.Path(scratch) / "a report.html"
    both = ["hdb", "rocksdb"] if has_peers() else ["hdb"]
    for workload, plots in REPORTS.items():
        engines = ["hdb"] if workload in PARTS else both
        tiny = TINY_PARTS if workload in PARTS else TINY_READS
        found = objects(workload, *tiny, "--engine", ",".join(engines), "--dir", scratch, "--report", str(report))
        page = report.read_text()
        check_report(page, plots, engines)
        check(f"<h1>hdb-bench {workload}</h1>" in page, "the page does not name its workload")
        compared = set(found[-1]) - {"kind", "workload", "peer"} if len(found) > len(engines) else []
        for name in compared:
            check(f"<tr><td>{name}<td>" in page, f"{workload}: {name} is compared, and not in the table")
        report.unlink()


def test_nothing_is_left_behind(scratch):
    folder = pathlib.Path(scratch) / "kept"
    folder.mkdir()
    objects("kv-ingest", *TINY, "--dir", str(folder))
    check(not list(folder.iterdir()), "the run left its store behind")


def test_folders_that_were_there_stay_however_they_are_named(scratch):
    for place in ("kept/here/below", "./kept/here/", "kept/../kept/here/new"):
        (pathlib.Path(scratch) / "kept" / "here").mkdir(parents=True, exist_ok=True)
        done = run("kv-ingest", *TINY, "--dir", place, cwd=scratch)
        check(done.returncode == 0, f"{place}: {done.stderr}")
        left = sorted(str(path.relative_to(scratch)) for path in pathlib.Path(scratch).rglob("*"))
        check(left == ["kept", "kept/here"], f"--dir {place} left {left}")


def test_no_directory_for_temporary_files_is_one_line(scratch):
    done = run("kv-ingest", *TINY, env=dict(os.environ, TMPDIR=f"{scratch}/nowhere"))
    check(done.returncode == 1 and "TMPDIR" in done.stderr and len(done.stderr.splitlines()) == 1,
          f"{done.returncode} {done.stderr}")


def test_a_run_whose_parent_is_killed_ends(scratch):
    process = subprocess.Popen([BENCH, "kv-ingest", "--events", "50000000", "--dir", scratch],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
    wait_until(lambda: children.read_text().split(), "no run was begun")
    child = children.read_text().split()[0]
    process.kill()
    process.wait()
    wait_until(lambda: not pathlib.Path(f"/proc/{child}").exists() or
               pathlib.Path(f"/proc/{child}/stat").read_text().split(")")[-1].split()[0] == "Z", "the run goes on")


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
    file = pathlib.Path(scratch) / "file"
    file.touch()
    for report in ("/dev/full", scratch, f"{scratch}/nowhere/report.html", f"{file}/report.html"):
        done = run("kv-ingest", *TINY, "--dir", scratch, "--report", report)
        check(done.returncode == 2 and "--report" in done.stderr, f"{report}: {done.returncode} {done.stderr}")
    check(pathlib.Path("/dev/full").is_char_device(), "the device was replaced")


def test_bad_arguments_are_one_line_and_exit_2(scratch):
    for arguments in (["nonsense"], [], ["kv-ingest", "--nonsense"], ["kv-ingest", "--engine", "oracle"],
                      ["kv-ingest", "--events", "0"], ["kv-ingest", "--events", "many"],
                      ["kv-ingest", "--durability", "maybe"], ["kv-ingest", "--preset", "nonsense"],
                      ["kv-ingest", "--set", "nonsense"], ["kv-ingest", "--set", "block_bytes=1"],
                      ["kv-ingest", "--input", "file"], ["space"], ["kv-get", "--readers", "0"],
                      ["kv-get", "--queries", "0"], ["kv-scan", "--input", "file"],
                      ["recover", "--durability", "sync"], ["recover", "--engine", "lmdb"],
                      ["mixed", "--input", "file"], ["mixed", "--readers", "1025"],
                      ["checksum", "--input", "file"], ["log-append", "--durability", "sync"],
                      ["log-sync", "--durability", "none"]):
        done = run(*arguments)
        check(done.returncode == 2, f"{arguments}: exit {done.returncode}")
        check(len(done.stderr.splitlines()) == 1 and done.stdout == "", f"{arguments}: {done.stderr}")
    done = run("ingest", "--input", "/nowhere/file.ndjson")
    check(done.returncode == 1 and "/nowhere/file.ndjson" in done.stderr, done.stderr)


WORKLOADS = ["kv-ingest", "ingest", *FIGURES, *PARTS]


def test_every_workload_refuses_what_makes_no_run(scratch):
    listed = [line.split()[0] for line in run("list").stdout.splitlines()]
    check(sorted(listed) == sorted([*WORKLOADS, "space", "generate"]), f"untested here: {listed}")
    for workload in WORKLOADS:
        for option, value in (("--events", "0"), ("--batch", "0"), ("--batch", "-1"), ("--writers", "0"),
                              ("--rounds", "0"), ("--value-bytes", "0"), ("--seed", "-1"), ("--engine", "oracle"),
                              ("--engine", "hdb,hdb"), ("--dir", ""), ("--report", ""), ("--report", scratch),
                              ("--output", "xml")):
            done = run(workload, option, value)
            check(done.returncode == 2, f"{workload} {option} {value!r}: exit {done.returncode}")
            check(len(done.stderr.splitlines()) == 1 and option in done.stderr and done.stdout == "",
                  f"{workload} {option} {value!r}: {done.stderr}")


def test_every_workload_makes_its_directory_and_removes_it_or_says_why_not(scratch):
    new = pathlib.Path(scratch) / "not there" / "yet"
    file = pathlib.Path(scratch) / "a file"
    file.touch()
    locked = pathlib.Path("/proc/locked")  # where nobody may write, not even root
    for workload in WORKLOADS:
        objects(workload, *TINY_PARTS, "--queries", "10", "--dir", str(new))
        check(list(pathlib.Path(scratch).iterdir()) == [file], f"{workload} left something behind")
        for directory in (file, locked):
            done = run(workload, *TINY_PARTS, "--dir", str(directory))
            check(done.returncode == 1 and done.stdout == "", f"{workload}: exit {done.returncode}")
            check(len(done.stderr.splitlines()) == 1 and str(directory) in done.stderr and "--dir" in done.stderr,
                  f"{workload}: {done.stderr}")


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
