#!/usr/bin/env python3
"""hdb as its users meet it: the counts of real logs, kills and resumes, and every kind of bad input.

Arguments: the executable, beside which hdb-dump is, then names of tests to run (default: all). HDB_TEST_DATA is where the real logs are (default:
../shared/data beside the repository).
"""
import base64
import ctypes
import ctypes.util
import gzip
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HDB = str(pathlib.Path(sys.argv[1]).resolve())
HDB_DUMP = str(pathlib.Path(HDB).parent / "hdb-dump")
ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("HDB_TEST_DATA", ROOT.parent / "shared" / "data"))
ZEEK = sorted((DATA / "zeek").glob("*.json.gz"))
ZEEK_EVENTS = 139334
MAX_PAYLOAD = 16 << 20


class Skipped(Exception):
    pass


def check(holds, message):
    if not holds:
        raise AssertionError(message)


def run(*arguments, program=HDB, **options):
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=600, **options)
    done.err = done.stderr.decode(errors="replace")
    done.out = done.stdout.decode(errors="replace")
    return done


def ok(*arguments, **options):
    done = run(*arguments, **options)
    check(done.returncode == 0, f"hdb {arguments}: exit {done.returncode}: {done.err}{done.out[-500:]}")
    return done


def refused(code, words, *arguments, **options):
    """Fails as it should: the exit code, and exactly one line on standard error with these words in it."""
    done = run(*arguments, **options)
    check(done.returncode == code, f"hdb {arguments}: exit {done.returncode}, not {code}: {done.err}{done.out}")
    check(done.err.count("\n") == 1 and done.err.endswith("\n"), f"hdb {arguments}: not one line: {done.err}")
    for word in words:
        check(word in done.err, f"hdb {arguments}: no '{word}' in: {done.err}")
    return done


def ingest(store, *arguments, **options):
    return ok("ingest", "--dir", store, *arguments, **options)


def count(store, *arguments):
    return int(ok("query", "--dir", store, *arguments, "--output", "count").out)


def raw(store, *arguments):
    return ok("query", "--dir", store, *arguments, "--output", "raw").stdout


def begins(done, words):
    check(done.out.startswith(words), f"expected '{words}', got '{done.out}'")


def wait_until(holds, message):
    """Fails with the message only after so long that something must be wrong."""
    deadline = time.monotonic() + 60
    while not holds():
        check(time.monotonic() < deadline, message)
        time.sleep(0.01)


def sample(lines, start=0):
    return "".join(json.dumps({"ts": 1521911720 + n, "_path": "conn", "uid": f"C{n}", "id.orig_h": f"10.0.{n % 7}.1",
                               "id.resp_h": "10.9.9.9", "note": "x" * (n % 50)}) + "\n" for n in range(start, start + lines))


def zeek_counts(store):
    expected = {
        (): ZEEK_EVENTS,
        ("--type", "dns"): 53615,
        ("--host", "10.128.0.241"): 49361,
        ("--tag", "ip:10.128.0.241"): 50745,
        ("--entity", "Ckdgdu1RMwc5AO49F3"): 1870,
        ("--type", "dns", "--from", "2018-03-24T17:20:00Z", "--to", "2018-03-24T17:25:00Z"): 13682,
        ("--type", "dns", "--where", "rcode_name=NXDOMAIN"): 2097,
    }
    for arguments, events in expected.items():
        found = count(store, *arguments)
        check(found == events, f"{arguments}: {found} events, not {events}")


def need_zeek():
    if not ZEEK:
        raise Skipped(f"no real logs in {DATA} (shared/data)")


def test_real_logs_give_the_known_counts_and_their_bytes(scratch):
    need_zeek()
    store = scratch / "store"
    done = ingest(store, "--format", "zeek", *ZEEK)
    begins(done, f"{ZEEK_EVENTS} events, 0 bad lines, 0 duplicates, 16 files, ")
    zeek_counts(store)
    for file in ZEEK:
        kind = file.name.split(".")[0]
        stored = sorted(raw(store, "--type", kind).splitlines())
        check(stored == sorted(gzip.open(file).read().splitlines()), f"{kind}: the payloads are not the file's lines")
    again = ingest(store, "--format", "zeek", *ZEEK)
    begins(again, "0 events, 0 bad lines, 0 duplicates, 16 files, ")
    check("16 of the files were taken in before" in again.out, again.out)
    ok("compact", "--dir", store)
    zeek_counts(store)
    verified = ok("verify", "--dir", store)
    check(f"{ZEEK_EVENTS} events" in verified.out.splitlines()[-1], verified.out)


def test_a_killed_ingest_goes_on_with_every_line_exactly_once(scratch):
    files = ZEEK[:8] if ZEEK else []
    if not files:
        (scratch / "generated.json").write_text(sample(60000))
        files = [scratch / "generated.json"]
    expected = []
    for file in files:
        data = gzip.open(file).read() if file.suffix == ".gz" else file.read_bytes()
        expected += data.splitlines()
    expected.sort()
    store, acks = scratch / "store", scratch / "acks"
    command = [HDB, "ingest", "--dir", store, "--format", "zeek", "--batch", "500", "--acks", acks, *files]
    kills = 0
    for _ in range(6):
        before = acks.stat().st_size if acks.exists() else 0
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if acks.exists() and acks.stat().st_size > before + 60:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
        # What was acknowledged is there.
        acknowledged = sum(int(line.split()[1]) for line in acks.read_text().splitlines() if len(line.split()) == 2)
        check(count(store) >= acknowledged, f"{acknowledged} acknowledged, {count(store)} there")
    check(kills > 0, "the ingest was never killed half-way")
    ok(*command[1:])
    stored = sorted(raw(store).splitlines())
    check(stored == expected, f"{len(stored)} lines stored, {len(expected)} in the files, or not the same")
    positions = sorted(tuple(map(int, line.split())) for line in acks.read_text().splitlines())
    for (first, events), (after, _) in zip(positions, positions[1:]):
        check(first + events <= after, f"acknowledged ranges overlap at {after}")


def test_a_log_that_grew_continues_and_another_file_of_its_name_starts_anew(scratch):
    store, log = scratch / "store", scratch / "app.json"
    log.write_text(sample(100))
    begins(ingest(store, "--format", "zeek", log), "100 events, 0 bad lines")
    with log.open("a") as more:
        more.write(sample(50, 100))
    begins(ingest(store, "--format", "zeek", log), "50 events, 0 bad lines")
    # Rotated: the old file under another name, another under its own.
    log.rename(scratch / "app.json.1")
    log.write_text(sample(30, 1000))
    begins(ingest(store, "--format", "zeek", log, scratch / "app.json.1"), "30 events, 0 bad lines")
    # Packed after the rotation, still the same lines.
    (scratch / "app.json.2.gz").write_bytes(gzip.compress((scratch / "app.json.1").read_bytes()))
    (scratch / "app.json.1").unlink()
    begins(ingest(store, "--format", "zeek", scratch / "app.json.2.gz"), "0 events, 0 bad lines")
    # Shorter than before: cut and written anew.
    log.write_text(sample(10, 1000))
    begins(ingest(store, "--format", "zeek", log), "10 events, 0 bad lines")
    begins(ingest(store, "--format", "zeek", "--restart", log), "10 events, 0 bad lines")
    # A copy beside the original is a file of its own.
    (scratch / "copy.json").write_text(log.read_text())
    begins(ingest(store, "--format", "zeek", log, scratch / "copy.json"), "10 events, 0 bad lines")
    check(count(store) == 210, f"{count(store)} events")


def test_a_last_line_without_newline_is_taken_once_it_is_whole(scratch):
    store, log = scratch / "store", scratch / "a.json"
    whole = sample(2)
    log.write_text(whole[:-20])
    done = run("ingest", "--dir", store, "--format", "zeek", log)
    begins(done, "1 events, 1 bad lines")
    with log.open("w") as file:
        file.write(whole[:-1])
    begins(ingest(store, "--format", "zeek", log), "1 events, 0 bad lines")
    with log.open("a") as file:
        file.write("\n" + sample(1, 2))
    begins(ingest(store, "--format", "zeek", log), "1 events, 0 bad lines")
    check(raw(store).decode() == sample(3), "not the three lines")
    plain = scratch / "plain.txt"
    plain.write_text("one\ntwo")
    begins(ingest(store, "--format", "lines", plain), "2 events, 0 bad lines")
    with plain.open("a") as file:
        file.write("\n\nthree\n")
    done = ingest(store, "--format", "lines", plain)
    begins(done, "2 events, 0 bad lines")
    check(done.err == "", done.err)


def test_a_last_line_that_was_taken_before_it_was_whole_is_named_when_the_rest_comes(scratch):
    store, log = scratch / "store", scratch / "plain.txt"
    log.write_text("one\ntw")
    ingest(store, "--format", "lines", log)
    with log.open("a") as file:
        file.write("o\nthree\n")
    done = ingest(store, "--format", "lines", log)
    begins(done, "2 events, 0 bad lines")
    check(done.err.count("\n") == 1 and f"{log}:2: " in done.err, done.err)
    check(raw(store) == b"one\ntw\no\nthree\n", str(raw(store)))
    check("newline" in ok("ingest", "--help").out, "the help does not say it")


def test_what_is_no_regular_file_is_read_once_and_whole(scratch):
    def lines(begin, end):
        return "".join(f"{n}\n" for n in range(begin, end)).encode()

    store, fifo = scratch / "store", scratch / "pipe.log"
    os.mkfifo(fifo)
    expected = b""
    packed = gzip.compress(lines(200, 300))
    for name, sent in ((fifo, lines(0, 5)), (fifo, lines(5, 10)), (fifo, lines(0, 20000)), (fifo, packed), (fifo, b"")):
        copy = "import sys; sent = sys.stdin.buffer.read(); open(sys.argv[1], 'wb').write(sent)"
        writer = subprocess.Popen([sys.executable, "-c", copy, name], stdin=subprocess.PIPE)
        writer.stdin.write(sent)
        writer.stdin.close()
        text = gzip.decompress(sent) if sent == packed else sent
        begins(ingest(store, "--format", "lines", name), f"{text.count(b'%c' % 10)} events, 0 bad lines")
        check(writer.wait(60) == 0, "the writer failed")
        expected += text
    for sent in (lines(0, 5), lines(0, 5)):
        begins(ingest(store, "--format", "lines", "/dev/stdin", input=sent), "5 events, 0 bad lines")
        expected += sent
    read_end, write_end = os.pipe()
    os.write(write_end, lines(7, 12))
    os.close(write_end)
    begins(ingest(store, "--format", "lines", f"/dev/fd/{read_end}", pass_fds=(read_end,)), "5 events, 0 bad lines")
    os.close(read_end)
    expected += lines(7, 12)
    check(raw(store) == expected, f"{count(store)} events, or not the bytes sent")
    refused(1, [str(scratch / "none")], "ingest", "--dir", store, "--format", "lines", scratch / "none")


def numbered(numbers, note):
    return "".join(json.dumps({"uid": f"C{n}", "note": note}) + "\n" for n in numbers)


def test_lines_whose_id_is_stored_with_other_content_are_reported_and_the_others_stored(scratch):
    store, log = scratch / "store", scratch / "b.json"
    options = ("ingest", "--dir", store, "--format", "ndjson", "--id-field", "uid")
    ok(*options, "-", input=numbered((3, 40, 59), "before").encode())
    log.write_text(numbered(range(60), "after"))
    for batch in (7, 1000):
        done = run(*options, "--batch", batch, *(["--restart"] if batch == 1000 else []), log)
        check(done.returncode == 1, f"exit {done.returncode}")
        reports = done.err.splitlines()
        check([report.split(": ")[1] for report in reports] == [f"{log}:{n + 1}" for n in (3, 40, 59)], done.err)
        check(all("other content" in report for report in reports), done.err)
        begins(done, "57 events, 3 bad lines" if batch == 7 else "0 events, 3 bad lines, 57 duplicates")
        check(raw(store).decode() == numbered((3, 40, 59), "before") +
              numbered((n for n in range(60) if n not in (3, 40, 59)), "after"), "not the good lines in their order")
    again = ok(*options, log)
    begins(again, "0 events, 0 bad lines")
    with log.open("a") as file:
        file.write(numbered((60,), "after"))
    begins(ok(*options, log), "1 events, 0 bad lines, 0 duplicates")
    # Two lines of one batch.
    done = run(*options, "-", input=(numbered((100,), "a") + numbered((100, 101), "b")).encode())
    check(done.returncode == 1 and "standard input:2: " in done.err, done.err)
    begins(done, "2 events, 1 bad lines")


def test_a_conflict_stops_at_its_line_if_asked_to(scratch):
    store, log = scratch / "store", scratch / "b.json"
    options = ("ingest", "--dir", store, "--format", "ndjson", "--id-field", "uid", "--on-error", "stop")
    ok(*options, "-", input=numbered((30,), "before").encode())
    log.write_text(numbered(range(60), "after"))
    for events in (30, 0):
        done = refused(1, [f"{log}:31: ", "other content"], *options, log)
        begins(done, f"{events} events, 1 bad lines, 0 duplicates")
        check(count(store) == 31, f"{count(store)} events")
    done = run(*options[:-2], log)
    begins(done, "29 events, 1 bad lines, 0 duplicates")
    check(done.returncode == 1 and count(store) == 60, f"exit {done.returncode}, {count(store)} events")


def test_help_lists_the_words_an_option_takes(scratch):
    for verb, words in (("query", ["{position,-position,", ",time,-time,", "{raw,ndjson,table,count}"]),
                        ("ingest", ["{zeek,ndjson,lines}", "{none,interval,sync}", "{skip,stop}", "{content}"]),
                        ("get", ["{raw,ndjson,table}"]), ("stats", ["{table,json}"])):
        text = ok(verb, "--help").out
        for word in words + ["this run only"]:
            check(word in text, f"no {word} in the help of {verb}: {text}")
        check(all(letter.isprintable() or letter == "\n" for letter in text) and "->" not in text, text)
    check(ok("--version").out == "hdb 0.1.0\n", "--version")


def test_help_lists_the_exit_codes(scratch):
    general, of_repair = ok("--help").out, ok("repair", "--help").out
    for text in general, of_repair:
        told = text[text.index("Exit codes: "):]
        check(re.findall(r"(?<=[:;] )\d", told.replace("\n", " ")) == ["0", "1", "2", "3"], told)
    check("3 a store was repaired" in " ".join(general.split()), general)
    check("0 the store had no damage" in " ".join(of_repair.split()), of_repair)


def test_standard_input_is_taken_and_packed_input_is_unpacked(scratch):
    store = scratch / "store"
    begins(ingest(store, "--format", "ndjson", "-", input=sample(100).encode()), "100 events, 0 bad lines")
    begins(ingest(store, "--format", "ndjson", "-", input=gzip.compress(sample(100).encode())), "100 events, 0 bad")
    two = scratch / "two.gz"
    two.write_bytes(gzip.compress(sample(50).encode()) + gzip.compress(sample(50, 50).encode()))
    begins(ingest(store, "--format", "ndjson", two), "100 events, 0 bad lines")
    begins(ingest(store, "--format", "lines", "-", input=b"\xff\xfe any\n"), "1 events, 0 bad lines")
    last = json.loads(ok("query", "--dir", store, "--order", "-position", "--limit", "1", "--output", "ndjson").out)
    check(base64.b64decode(last["data_base64"]) == b"\xff\xfe any", str(last))


def test_ids_make_an_ingest_idempotent(scratch):
    store = scratch / "store"
    begins(ingest(store, "--format", "zeek", "--id-from", "content", "-", input=sample(100).encode()), "100 events")
    begins(ingest(store, "--format", "zeek", "--id-from", "content", "-", input=sample(120).encode()),
           "20 events, 0 bad lines, 100 duplicates")
    begins(ingest(store, "--format", "ndjson", "--id-field", "uid", "-", input=sample(5).encode()), "5 events")
    begins(ingest(store, "--format", "ndjson", "--id-field", "uid", "-", input=sample(5).encode()),
           "0 events, 0 bad lines, 5 duplicates")
    other = sample(1).replace("10.9.9.9", "10.9.9.8").encode()
    refused(1, ["standard input:1: "], "ingest", "--dir", store, "--format", "ndjson", "--id-field", "uid", "-", input=other)
    check(count(store) == 125, f"{count(store)} events")


def test_zeek_tables_are_resumed_with_their_header(scratch):
    store, log = scratch / "store", scratch / "conn.log"
    header = "#separator \\x09\n#set_separator\t,\n#unset_field\t-\n#path\tconn\n#fields\tts\tuid\tid.orig_h\tid.resp_h\n"
    log.write_text(header + "".join(f"{1521911720 + n}.5\tC{n}\t10.0.0.1\t-\n" for n in range(10)))
    begins(ingest(store, "--format", "zeek", log), "10 events, 0 bad lines")
    with log.open("a") as file:
        file.write("1521911800.25\tC10\t10.0.0.1\t10.0.0.2\n#close\t2018-03-24-17-17-00\n")
    begins(ingest(store, "--format", "zeek", log), "1 events, 0 bad lines")
    check(count(store, "--type", "conn", "--host", "10.0.0.1") == 11, "the resumed line lost its attributes")
    check(count(store, "--tag", "ip:10.0.0.2", "--from", "1521911800.25", "--to", "1521911800.26") == 1, "no tag or time")


def test_outputs_get_and_pages_agree(scratch):
    store = scratch / "store"
    ingest(store, "--format", "zeek", "-", input=sample(100).encode())
    envelopes = [json.loads(line) for line in ok("query", "--dir", store, "--output", "ndjson").out.splitlines()]
    check([e["position"] for e in envelopes] == list(range(100)), "positions")
    check("".join(e["data"] + "\n" for e in envelopes) == sample(100), "data is not the line")
    first = envelopes[0]
    check(first["time"] == "2018-03-24T17:15:20Z" and first["type"] == "conn" and first["entity"] == "C0"
          and first["tags"] == ["ip:10.0.0.1", "ip:10.9.9.9"] and first["format"] == "Zeek", str(first))
    for key in ("7", envelopes[7]["id"]):
        check(ok("get", "--dir", store, key).out == sample(100).splitlines(True)[7], f"get {key}")
    table = ok("query", "--dir", store, "--limit", "3", "--output", "table").out.splitlines()
    check(table[0].startswith("position") and len(table) == 4, str(table))
    for order in ("position", "-position", "time", "time-desc"):
        pages, token = [], []
        while True:
            page = ok("query", "--dir", store, "--host", "10.0.3.1", "--order", order, "--limit", "4", *token)
            pages += page.out.splitlines()
            if not page.err:
                break
            token = ["--resume", re.fullmatch(r"more events match: go on with --resume (\S+)\n", page.err)[1]]
        whole = ok("query", "--dir", store, "--host", "10.0.3.1", "--order", order).out.splitlines()
        check(pages == whole and len(whole) == 14, f"{order}: pages differ from the whole")
    stats = json.loads(ok("stats", "--dir", store, "--output", "json").out)
    check(stats["events"] == 100 and "hdb.ingest" in stats["keyspaces"], str(stats))
    check("events" in ok("stats", "--dir", store).out, "stats")
    check(ok("stats", env={**os.environ, "HDB_DIR": str(store)}).returncode == 0, "HDB_DIR")


def test_a_reader_that_goes_away_is_no_error(scratch):
    store = scratch / "store"
    ingest(store, "--format", "zeek", "-", input=sample(20000).encode())
    process = subprocess.Popen([HDB, "query", "--dir", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    check(process.wait(60) == 0 and err == b"", f"exit {process.returncode}: {err}")
    with open("/dev/full", "w") as full:
        done = subprocess.run([HDB, "query", "--dir", store], stdout=full, stderr=subprocess.PIPE)
    check(done.returncode == 1 and done.stderr.count(b"\n") == 1, f"exit {done.returncode}: {done.stderr}")


def test_bad_lines_are_reported_with_file_and_line(scratch):
    log = scratch / "mixed.json"
    good = sample(4).splitlines(True)
    log.write_bytes(b"".join([good[0].encode(), b'{"a":\n', good[1].encode(), b'{"a":"\xff"}\n', good[2].encode(), good[3].encode()]))
    store = scratch / "skip"
    done = ingest(store, "--format", "ndjson", log)
    begins(done, "4 events, 2 bad lines")
    check([line.split(": ")[1] for line in done.err.splitlines()] == [f"{log}:2", f"{log}:4"], done.err)
    check(count(store) == 4, "the good lines")
    store = scratch / "stop"
    refused(1, [f"{log}:2"], "ingest", "--dir", store, "--format", "ndjson", "--on-error", "stop", log)
    check(count(store) == 1, "what was before the bad line is not there, or more is")
    many = ingest(scratch / "many", "--format", "ndjson", "-", input=b"{}\n" + b"x\n" * 500)
    check(many.err.count("\n") == 21, f"{many.err.count(chr(10))} reports")
    for line in (b"x\n", b'{"a":"\xff"}\n', b'{"a":"' + b"x" * (MAX_PAYLOAD + 1 - 8) + b'"}\n'):
        done = refused(1, ["standard input:1"], "ingest", "--dir", scratch / "one", "--format", "ndjson", "-", input=line)
        begins(done, "0 events, 1 bad lines")
    largest = b'{"a":"' + b"x" * (MAX_PAYLOAD - 8) + b'"}\n'
    begins(ingest(scratch / "largest", "--format", "ndjson", "-", input=largest), "1 events, 0 bad lines")
    check(raw(scratch / "largest") == largest, "the largest payload is not the same")


def test_a_truncated_gz_keeps_what_came_before_and_resumes_when_whole(scratch):
    store, log = scratch / "store", scratch / "a.json.gz"
    whole = gzip.compress(sample(20000).encode())
    log.write_bytes(whole[: len(whole) // 2])
    refused(1, [str(log), "cut short"], "ingest", "--dir", store, "--format", "zeek", log)
    kept = count(store)
    check(0 < kept < 20000, f"{kept} events kept")
    refused(1, [str(log), "cut short"], "ingest", "--dir", store, "--format", "zeek", log)
    check(count(store) == kept, "the second attempt added events")
    log.write_bytes(whole)
    begins(ingest(store, "--format", "zeek", log), f"{20000 - kept} events, 0 bad lines")
    check(raw(store).decode() == sample(20000), "not every line once, in order")


def test_a_file_that_was_changed_before_its_place_is_taken_anew(scratch):
    first = "".join(json.dumps({"n": n, "pad": "x" * 100}) + "\n" for n in range(2000))
    other = first.replace('"n": 1000,', '"n": -100,')
    log = scratch / "log"
    log.write_text(first)
    store = scratch / "store"
    ingest(store, "--format", "ndjson", log)
    with open(log, "r+") as file:  # in place: the same inode, the same size
        file.write(other)
    begins(ingest(store, "--format", "ndjson", log), "2000 events, ")
    check(count(store, "--where", "n=-100") == 1, "the changed line is not there")
    # Another file with the same beginning and the same last line, where the first no longer is.
    third = scratch / "third"
    third.write_text(first.replace('"n": 1001,', '"n": -101,'))
    log.unlink()
    begins(ingest(store, "--format", "ndjson", third), "2000 events, ")
    # The same file under another name goes on, and says so.
    moved = scratch / "moved"
    moved.write_text(third.read_text() + '{"n": 7777}\n')
    third.unlink()
    done = ingest(store, "--format", "ndjson", moved)
    begins(done, "1 events, ")
    check("the 2000 lines before it were taken in before" in done.err, done.err)


def test_a_restart_that_was_killed_goes_on_where_it_was(scratch):
    log = scratch / "log"
    store = scratch / "store"
    log.write_text(sample(30))
    ingest(store, "--format", "zeek", log)
    log.write_text(sample(200_000))  # its beginning is longer now, and known by another hash
    ingest(store, "--format", "zeek", log)
    process = subprocess.Popen([HDB, "ingest", "--dir", store, "--format", "zeek", "--batch", "500", "--restart",
                                "--acks", scratch / "acks", log], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not ((scratch / "acks").exists() and (scratch / "acks").stat().st_size > 60):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ingest(store, "--format", "zeek", log)
    check(count(store) == 400_000, f"{count(store)} events, not twice 200000")


def test_lines_of_a_pipe_are_stored_when_it_pauses_and_when_it_is_stopped(scratch):
    store, acks = scratch / "store", scratch / "acks"
    process = subprocess.Popen([HDB, "ingest", "--dir", store, "--format", "lines", "--acks", acks, "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"one\ntwo\n")
    process.stdin.flush()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (acks.exists() and acks.read_text() == "0 2\n"):
        time.sleep(0.01)
    check(acks.read_text() == "0 2\n", "nothing was stored while the pipe paused")
    process.stdin.write(b"three\n")
    process.stdin.flush()
    time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    check(process.returncode == 1 and b"stopped by" in err and out.startswith(b"3 events, "), f"{out} {err}")
    check(raw(store) == b"one\ntwo\nthree\n", "the lines are not there")


def test_closed_standard_descriptors_do_no_harm(scratch):
    log = scratch / "log"
    log.write_text(sample(3000) + "bad\n" * 50)
    for closed in ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"):
        store = scratch / re.sub(r"\W", "_", closed)
        done = subprocess.run(["bash", "-c", f'exec {closed}; "$0" "$@"', HDB, "ingest", "--dir", store, "--format",
                               "zeek", log], capture_output=True, timeout=600)
        says_nothing = closed.startswith(">") or " >" in closed
        check(done.returncode == (1 if says_nothing else 0), f"{closed}: exit {done.returncode}: {done.stderr}")
        check(count(store) == 3000, f"{closed}: events were lost")
        ok("verify", "--dir", store)
    done = subprocess.run(["bash", "-c", 'exec <&-; "$0" ingest --dir "$1" --format lines -', HDB, scratch / "none"],
                          capture_output=True, timeout=600)
    check(done.returncode == 1 and b"standard input" in done.stderr, f"{done.returncode} {done.stderr}")


def test_output_that_cannot_be_written_is_an_error(scratch):
    store = scratch / "store"
    ingest(store, "--format", "zeek", *[write_sample(scratch)])
    for arguments in (("verify", "--dir", store), ("compact", "--dir", store), ("stats", "--dir", store), ("--help",),
                      ("--version",), ("query", "--dir", store)):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([HDB, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, timeout=600)
        check(done.returncode == 1 and b"standard output" in done.stderr, f"{arguments}: {done.returncode}")


def write_sample(scratch):
    log = scratch / "sample.json"
    log.write_text(sample(100))
    return log


def test_numbers_no_double_can_hold_and_a_byte_order_mark_are_no_bad_lines(scratch):
    log = scratch / "log"
    lines = ['{"n":18446744073709551616,"uid":"a"}', '{"n":1e400,"uid":"b"}', '{"n":-1e-400,"uid":"c"}']
    log.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode() + b"\n")
    store = scratch / "store"
    begins(ingest(store, "--format", "zeek", log), "3 events, 0 bad lines, ")
    check(raw(store).decode().splitlines() == lines, "the payloads are not the lines")
    check(count(store, "--entity", "a", "--where", "n > 1") == 1, "the large number is not found")


def test_lines_without_the_field_of_their_id_are_counted(scratch):
    log = scratch / "log"
    log.write_text('{"uid":"a"}\n{"uuid":"b"}\n')
    done = ingest(scratch / "store", "--format", "ndjson", "--id-field", "uid", log)
    check("1 events have nothing in the field of their id" in done.out, done.out)


def test_get_prints_what_is_there_and_names_what_is_not(scratch):
    store = scratch / "store"
    ingest(store, "--format", "zeek", write_sample(scratch))
    done = run("get", "--dir", store, "0", "9999", "1")
    check(done.returncode == 1 and len(done.out.splitlines()) == 2 and "no event 9999" in done.err, done.out + done.err)


def test_a_backup_is_restored_byte_for_byte_and_brought_up_to_date(scratch):
    store, backup = scratch / "a store", scratch / "a backup"
    log = write_sample(scratch)
    ingest(store, "--format", "zeek", log)
    begins(ok("backup", "--dir", store, "--to", backup), f"{backup}: 100 events; 2 tables linked, 0 copied")
    log.write_text(sample(150))
    ingest(store, "--format", "zeek", log)
    check("2 there already" in ok("backup", "--dir", store, "--to", f"{backup}/").out, "the tables were taken again")
    restored = scratch / "restored"
    begins(ok("restore", "--from", backup, "--dir", restored), f"{restored}: 150 events; 0 tables linked, ")
    check(raw(restored) == raw(store), "the payloads differ")
    ok("verify", "--dir", restored)
    copied = scratch / "copied"
    check(", 0 tables linked" not in ok("backup", "--dir", store, "--to", copied, "--copy").out, "it was not copied")
    table = sorted((copied / "sstables").iterdir())[0]
    check(table.stat().st_nlink == 1, "a copy is a link")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    refused(1, [str(table), "offset"], "restore", "--from", copied, "--dir", scratch / "never")
    refused(1, ["unfinished"], "query", "--dir", scratch / "never")
    check("there already" in ok("backup", "--dir", store, "--to", restored).out, "what was only read is no backup")
    ok("compact", "--dir", restored)
    refused(1, ["choose"], "backup", "--dir", store, "--to", restored)
    refused(1, ["not a backup"], "restore", "--from", store, "--dir", scratch / "other")
    for here, there, inside in ((store, ".", "new"), (store / "wal", "..", "copy"),
                                (store / "sstables", "..", "000009.sst")):
        refused(1, ["elsewhere"], "backup", "--dir", there, "--to", inside, cwd=here)
        check(not (here / inside).exists(), f"a refused backup left {inside} in the store")
    for here, there, inside in ((backup, ".", "new"), (backup / "sstables", "..", "000009.sst")):
        refused(1, ["elsewhere"], "restore", "--from", there, "--dir", inside, cwd=here)
        check(not (here / inside).exists(), f"a refused restore left {inside} in the backup")


def test_a_damaged_store_is_repaired_into_a_new_one_that_says_what_is_lost(scratch):
    store, repaired = scratch / "a store", scratch / "repaired"
    log = write_sample(scratch)
    ingest(store, "--format", "zeek", log, "--batch", "10")
    whole = raw(store)
    begins(ok("repair", "--dir", store, "--to", scratch / "same"), f"{scratch / 'same'}: 100 events and ")
    check(raw(scratch / "same") == whole, "a sound store did not come through as it was")
    for table in (store / "sstables").iterdir():
        content = bytearray(table.read_bytes())
        content[20] ^= 1
        table.write_bytes(content)
    files = lambda: {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    refused(1, ["hdb-dump verify"], "verify", "--dir", store, "--quiet")
    before = files()  # behind verify, which notes its process in LOCK
    repair = run("repair", "--dir", store, "--to", repaired)
    check(repair.returncode == 3, f"a repair of a damaged store must not pass for one without a loss: {repair.returncode}")
    told = repair.out
    lost = re.search(r"lost    positions (\d+) to (\d+): (\d+) events", told)
    check(lost and "damaged " in told and " bytes cannot be read" in told, f"what is lost is not told: {told}")
    check(files() == before, "the original was changed")
    first, last, events = map(int, lost.groups())
    check(events == last - first + 1 and count(repaired) == 100 - events, f"{lost[0]}, but {count(repaired)} are there")
    refused(1, [f"position {first}", "lost"], "get", "--dir", repaired, str(first))
    check(f"; {events} events were lost" in ok("verify", "--dir", repaired, "--quiet").out, "verify does not tell of them")
    refused(1, ["choose"], "repair", "--dir", store, "--to", repaired)
    (scratch / "link").symlink_to(store)
    for inside in (store / "wal", store / "new", scratch / "link" / "sstables" / "new"):
        refused(1, ["elsewhere"], "repair", "--dir", store, "--to", inside)
    # Relative ones of which nothing exists; the last would leave a directory in the store on its way out.
    for here, there, inside in ((store, ".", "new"), (store / "wal", "..", "copy"),
                                (store / "sstables", "..", "000009.sst"), (store, ".", "new/../../out")):
        refused(1, ["elsewhere"], "repair", "--dir", there, "--to", inside, cwd=here)
    check(files() == before and not (store / "new").exists(), "a refused repair changed the original")
    check(run("repair", "--dir", "../a store", "--to", "../beside", cwd=store).returncode == 3, "beside it is outside")
    both = run("get", "--dir", repaired, str(first), str(last))
    check(both.returncode == 1 and both.err.count("is lost since") == 2, f"get stopped at a lost position: {both.err}")
    refused(1, ["nothing"], "repair", "--dir", scratch / "nothing", "--to", scratch / "other")
    check(not (scratch / "other").exists(), "a repair of nothing left a directory behind")


def test_a_failure_that_is_damage_of_the_store_names_how_to_see_and_how_to_save_it(scratch):
    whole, store = scratch / "whole", scratch / "a store"
    ingest(whole, "--format", "zeek", write_sample(scratch), "--batch", "10")
    lines = scratch / "more"
    lines.write_text(sample(3, 1000))
    verbs = (("query", ), ("stats", ), ("compact", ), ("verify", "--quiet"), ("backup", "--to", scratch / "backup"),
             ("get", "0"), ("ingest", "--format", "ndjson", lines))
    for files in ("CURRENT", "MANIFEST-*", "sstables/*"):
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(whole, store)
        for path in store.glob(files):
            content = bytearray(path.read_bytes())
            content[len(content) // 2 if files == "CURRENT" else 20] ^= 1
            path.write_bytes(content)
        for verb in verbs:
            done = run(verb[0], "--dir", store, *verb[1:])
            if done.returncode == 0:  # it did not come across the damage
                check(files == "sstables/*" and verb[0] in ("stats", "ingest", "backup", "compact"), f"{verb} {files}")
                continue
            told = done.err.splitlines()[-1]  # a failed merge is told before
            check(done.returncode == 1 and told.startswith(f"hdb {verb[0]}: "), f"{verb} {files}: {done.returncode} {done.err}")
            for words in (f"'hdb-dump verify {store}'", f"'hdb repair --dir {store} --to NEW'"):
                check(told.count(words) == 1, f"{verb} {files}: not one {words} in {told}")
    # Of a restore it is the backup that is damaged; the store it was to be is gone.
    copy, restored = scratch / "copy", scratch / "restored"
    ok("backup", "--dir", whole, "--to", copy, "--copy")
    for path in (copy / "sstables").iterdir():
        content = bytearray(path.read_bytes())
        content[20] ^= 1
        path.write_bytes(content)
    for words in (f"'hdb-dump verify {copy}'", f"'hdb repair --dir {copy} --to NEW'"):
        told = refused(1, [words], "restore", "--from", copy, "--dir", restored)
        check(f"verify {restored}" not in told.err and not (restored / "CURRENT").exists(), told.err)
    # Of a backup it may be the earlier one.
    for files in ("CURRENT", "MANIFEST-*"):
        earlier = scratch / f"earlier {files[0]}"
        ok("backup", "--dir", whole, "--to", earlier, "--copy")
        for path in earlier.glob(files):
            path.write_bytes(b"damaged")
        told = refused(1, [f"{earlier}: is damaged", "choose another directory"], "backup", "--dir", f"{whole}/", "--to",
                       earlier)
        check("repair" not in told.err and "verify" not in told.err, f"whose damage it is is not told: {told.err}")
    # What is no damage of the store is not to be repaired.
    cut = scratch / "cut.gz"
    cut.write_bytes(gzip.compress(sample(2000).encode())[:-100])
    for told in (refused(1, ["cut short"], "ingest", "--dir", scratch / "new", "--format", "ndjson", cut),
                 refused(1, ["none"], "query", "--dir", scratch / "none")):
        check("repair" not in told.err, told.err)


def make_newer(table):
    """Gives a table the next version: a number in its footer, which has a checksum."""
    library = ctypes.util.find_library("xxhash")
    if not library:
        raise Skipped("there is no libxxhash")
    xxh3 = ctypes.CDLL(library).XXH3_64bits
    xxh3.restype = ctypes.c_uint64
    xxh3.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    content = bytearray(table.read_bytes())
    footer = len(content) - 64
    content[footer + 44] += 1
    content[footer + 48:footer + 56] = xxh3(bytes(content[footer:footer + 48]), 48).to_bytes(8, "little")
    table.write_bytes(content)


def test_only_damage_is_told_to_be_repaired(scratch):
    store, backup, unfinished = scratch / "store", scratch / "backup", scratch / "unfinished"
    ingest(store, "--format", "zeek", write_sample(scratch))
    tables = sorted((store / "sstables").iterdir())

    def judge(directory, words, exit_code, is_to_be_repaired):
        verified = refused(1, [words], "verify", "--dir", directory, "--quiet")
        dumped = run("verify", directory, program=HDB_DUMP)
        check(dumped.returncode == exit_code, f"hdb-dump verify: {dumped.returncode}, not {exit_code}: {dumped.err}")
        for told in (verified.err, dumped.err):
            check(("repair --dir" in told) == is_to_be_repaired, f"{words}: {told}")

    bound = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    ok("backup", "--dir", store, "--to", backup, "--copy")
    refused(1, ["File too large"], "restore", "--from", backup, "--dir", unfinished, preexec_fn=bound)
    judge(unfinished, "of a copy that has not ended", 2, is_to_be_repaired=False)
    salvaged = run("salvage", unfinished, program=HDB_DUMP)
    check(salvaged.returncode == 2 and "unfinished restore; run that again" in salvaged.err, salvaged.err)
    whole = tables[0].read_bytes()
    tables[0].write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
    judge(store, "damaged", 1, is_to_be_repaired=True)
    tables[0].write_bytes(whole)
    make_newer(tables[0])
    judge(store, "of a newer version;", 2, is_to_be_repaired=False)
    refused(1, ["upgrade"], "query", "--dir", store)
    damaged = bytearray(tables[1].read_bytes())
    damaged[20] ^= 1
    tables[1].write_bytes(damaged)
    judge(store, "damaged", 1, is_to_be_repaired=True)


def test_with_too_little_address_space_every_verb_works_or_says_so(scratch):
    store = scratch / "store"
    ok("init", "--dir", store)
    gib = 1 << 30

    def limited(address_space, stack):
        def limit():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))  # what each thread takes of the address space
            resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
        return limit

    # So many threads, and no more.
    outcomes = []
    for threads in range(8):
        done = run("compact", "--dir", store, "--set", "background_threads=2", preexec_fn=limited(threads * gib + gib // 2, gib))
        outcomes.append(done.returncode)
        if done.returncode != 0:
            check(done.err.count("\n") == 1 and "threads cannot be started" in done.err, f"{threads} threads: {done.err}")
    check(outcomes == [1, 1, 1, 1, 1, 1, 0, 0],
          f"submitted appends, timers, two for flushes and two for compactions: {outcomes}")
    succeeded = 0
    for mebibytes in range(8, 260, 12):
        for verb in (("stats", "--dir", store), ("ingest", "--dir", store, "--format", "lines", "-"),
                     ("verify", "--dir", store, "--quiet"), ("--version", )):
            done = run(*verb, input=b"a line\n", preexec_fn=limited(mebibytes << 20, 8 << 20))
            succeeded += done.returncode == 0
            # 127: not even the libraries could be loaded.
            check(done.returncode in (0, 1, 127), f"{mebibytes} MiB: hdb {verb}: exit {done.returncode}: {done.err}")
            if done.returncode != 0:
                # Background work that failed for the same reason is told before.
                lines = done.err.splitlines()
                is_told = len(lines) > 0 and all("memory" in line for line in lines)
                check(is_told or done.returncode == 127, f"{mebibytes} MiB: hdb {verb}: {done.err}")
    check(succeeded > 0, "248 MiB are not enough")
    ok("verify", "--dir", store)


def test_a_repair_says_whether_ingest_still_knows_how_far_it_was(scratch):
    store = scratch / "store"
    log = write_sample(scratch)
    ingest(store, "--format", "zeek", log)
    told = {}
    for table in (store / "sstables").iterdir():
        whole = table.read_bytes()
        table.write_bytes(whole[:20] + bytes([whole[20] ^ 1]) + whole[21:])
        repaired = scratch / table.name
        out = run("repair", "--dir", store, "--to", repaired).out
        table.write_bytes(whole)
        is_lost = "keyspace hdb.ingest" in out
        told[is_lost] = out
        check(is_lost == ("keyspaces: hdb.ingest" in out) == ("lost    positions" not in out), f"{table.name}: {out}")
        before = count(repaired)
        ingest(repaired, "--format", "zeek", log)
        check(count(repaired) == before + (100 if is_lost else 0), f"{before} events, then {count(repaired)}: {out}")
    check(sorted(told) == [False, True], f"a table of events and one of keys were expected: {told}")
    check("hdb.ingest" in ok("repair", "--help").out, "the help does not say so")


def test_a_repair_that_was_interrupted_is_named_and_run_again(scratch):
    store, target = scratch / "store", scratch / "target"
    ingest(store, "--format", "zeek", write_sample(scratch))
    bound = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    refused(1, ["File too large"], "repair", "--dir", store, "--to", target, preexec_fn=bound)
    for verb in "query", "ingest":
        arguments = () if verb == "query" else ("--format", "zeek", scratch / "sample.json")
        refused(1, [f"{target}: is an unfinished repair; run that again"], verb, "--dir", target, *arguments)
    refused(1, ["unfinished repair"], "repair", "--dir", target, "--to", scratch / "other")
    refused(1, ["of a copy that has not ended"], "verify", "--dir", target, "--quiet")
    refused(1, ["unfinished repair", "choose"], "backup", "--dir", store, "--to", target)
    begins(ok("repair", "--dir", store, "--to", target), f"{target}: 100 events and ")
    check(raw(target) == raw(store), "the payloads differ")


def test_a_directory_may_end_in_slashes_and_need_not_have_a_parent(scratch):
    ok("init", "--dir", f"{scratch}/new/store//")
    ok("stats", "--dir", f"{scratch}/new/store")


def test_arguments_that_make_no_sense_are_usage_errors(scratch):
    store = scratch / "store"
    ok("init", "--dir", store)
    for words, *arguments in (
            (["--nonsense"], "query", "--dir", store, "--nonsense"),
            (["--dir"], "query"),
            ([], ),
            (["frobnicate", "init", "ingest", "get", "query", "stats", "compact", "verify"], "frobnicate"),
            *(([option], "query", "--dir", store, option, "")
              for option in ("--from", "--to", "--commit-from", "--commit-to", "--resume", "--order", "--where",
                             "--type", "--limit", "--preset", "--config", "--set")),
            *(([option], "ingest", "--dir", store, "--format", "zeek", option, "", "-")
              for option in ("--mapping", "--id-field", "--acks", "--durability", "--on-error")),
            (["--from"], "query", "--dir", store, "--from="),
            (["--dir"], "query", "--dir", ""),
            (["durable", "archive"], "init", "--dir", scratch / "a", "--preset", "fastest"),
            (["memtable_bytes"], "init", "--dir", scratch / "a", "--set", "memtable_bytes=1"),
            (["nonsense"], "init", "--dir", scratch / "a", "--set", "nonsense=1"),
            (["key=value"], "init", "--dir", scratch / "a", "--set", "nonsense"),
            (["yesterday"], "query", "--dir", store, "--from", "yesterday"),
            (["--where"], "query", "--dir", store, "--where", "="),
            (["sideways", "time-desc"], "query", "--dir", store, "--order", "sideways"),
            (["xml", "ndjson"], "ingest", "--dir", store, "--format", "xml", "-"),
            (["--limit"], "query", "--dir", store, "--limit", "many"),
            (["position"], "get", "--dir", store, "first"),
            (["--format"], "ingest", "--dir", store, "-"),
            (["--mapping"], "ingest", "--dir", store, "--format", "lines", "--id-field", "x", "-"),
            (["--batch"], "ingest", "--dir", store, "--format", "lines", "--batch", "0", "-"),
            (["nowhere.toml"], "ingest", "--dir", store, "--format", "zeek", "--mapping", "nowhere.toml", "-"),
    ):
        refused(2, words, *arguments, input=b"")
    check(not (scratch / "a").exists(), "a usage error left a directory behind")


def test_stores_that_cannot_be_opened_are_named(scratch):
    store, empty = scratch / "store", scratch / "empty"
    ok("init", "--dir", store)
    empty.mkdir()
    refused(1, [str(store)], "init", "--dir", store)
    refused(1, [str(scratch / "absent.json")], "ingest", "--dir", scratch / "new", "--format", "zeek", scratch / "absent.json")
    check(not (scratch / "new").exists(), "an unreadable input left a store behind")
    refused(1, [str(empty)], "ingest", "--dir", scratch / "new", "--format", "zeek", empty)
    for verb in ("query", "stats", "compact", "verify"):
        refused(1, [str(empty)], verb, "--dir", empty)
        refused(1, [str(scratch / "none")], verb, "--dir", scratch / "none")
    check(list(empty.iterdir()) == [] and not (scratch / "none").exists(), "a refused open left files behind")
    refused(1, ["event 0"], "get", "--dir", store, "0")

    # A second process is refused while the first has the store open.
    acks = scratch / "acks"
    holder = subprocess.Popen([HDB, "ingest", "--dir", store, "--format", "lines", "--batch", "1", "--acks", acks, "-"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    holder.stdin.write(b"a line of some length\n")
    holder.stdin.flush()
    deadline = time.monotonic() + 60
    while not (acks.exists() and acks.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    refused(1, [str(store)], "query", "--dir", store)
    check(refused(1, [str(store)], "verify", "--dir", store).out == "", "verify began with a store that another has open")
    holder.kill()
    holder.communicate()

    current = store / "CURRENT"
    manifest = store / current.read_text().split()[0]
    data = bytearray(manifest.read_bytes())
    data[4] = 0xEE  # whichever field it is, this is no manifest this version wrote
    manifest.write_bytes(data)
    refused(1, [str(store)], "query", "--dir", store)
    refused(1, [str(store)], "verify", "--dir", store, "--quiet")
    if os.geteuid() != 0:
        locked = scratch / "locked"
        locked.mkdir(mode=0o500)
        refused(1, [str(locked)], "init", "--dir", locked / "store")


def main(names):
    """Runs the tests among `names`, a module's globals, and exits."""
    tests = {name: test for name, test in names.items() if name.startswith("test_")}
    chosen = sys.argv[2:] or list(tests)
    tally = {"passed": 0, "failed": 0, "skipped": 0}
    for name in chosen:
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="hdb_cli_") as scratch:
            try:
                tests[name](pathlib.Path(scratch))
                outcome, why = "passed", ""
            except Skipped as reason:
                outcome, why = "skipped", f": {reason}"
            except (AssertionError, subprocess.TimeoutExpired, OSError, ValueError, KeyError, TypeError) as reason:
                outcome, why = "failed", f": {type(reason).__name__}: {reason}"
        tally[outcome] += 1
        print(f"{outcome} {name} ({time.monotonic() - begin:.1f} s){why}", flush=True)
    skipped = f", {tally['skipped']} skipped" if tally["skipped"] else ""
    print(f"{tally['passed']} passed, {tally['failed']} failed{skipped}")
    sys.exit(1 if tally["failed"] or not tally["passed"] else 0)


if __name__ == "__main__":
    main(globals())
