#!/usr/bin/env python3
"""Where a store may be put, and what is said where it cannot be: links, files and pipes in the way, directories of
others, read-only ones, file systems in memory, two processes at once, and a directory that goes away.

Arguments: the executable, then names of tests to run (default: all).
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from cli_process_test import HDB, Skipped, begins, check, count, ingest, main, ok, refused, run, wait_until

NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}


def log_of(scratch, lines=3):
    log = scratch / "a log"
    log.write_text("".join(f'{{"n":{n}}}\n' for n in range(lines)))
    return log


def store_of(scratch, name="a store", lines=3):
    store = scratch / name
    ingest(store, "--format", "ndjson", log_of(scratch, lines))
    return store


def copy_of(scratch, name):
    return shutil.copytree(store_of(scratch), scratch / name)


def tree(directory):
    return sorted(str(path) for path in directory.rglob("*"))


def contents(directory):
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def check_works(scratch, store, expected=3):
    """Events are found and taken there, by this and by the next open."""
    check(count(store) == expected, f"{count(store)} events in {store}")
    ingest(store, "--format", "ndjson", "--restart", log_of(scratch))
    check(count(store) == expected + 3, f"{count(store)} events in {store} after an append")
    ok("verify", "--dir", store)


def as_nobody(scratch):
    """Options of a process that permissions hold for, with a scratch directory it can reach. What is above that is not
    ours to open to others: skipped where it is closed to them."""
    if os.geteuid() != 0:
        return {}
    scratch.chmod(0o711)
    for path, what in (HDB, "run the executable"), (scratch, "reach the scratch directory"):
        if subprocess.run(["test", "-x", path], **NOBODY).returncode != 0:
            raise Skipped(f"another user cannot {what} where it is: {path}")
    return NOBODY


def test_a_store_reached_by_symbolic_links_works_by_any_of_its_names(scratch):
    store = store_of(scratch)
    (scratch / "link").symlink_to("a store")
    (scratch / "link to link").symlink_to(scratch / "link")
    check_works(scratch, scratch / "link to link")
    check_works(scratch, f"{scratch}/link/", 6)
    check(count(store) == 9, "the store does not have what was written through its links")
    (scratch / "empty").mkdir()
    (scratch / "to empty").symlink_to("empty")
    ok("init", "--dir", scratch / "to empty")
    check((scratch / "empty" / "CURRENT").is_file(), "no store where the link leads")


def test_the_folders_in_a_store_may_be_links_to_other_disks(scratch):
    for folder in ("wal", "sstables"):
        store = copy_of(scratch, f"with {folder} elsewhere")
        (store / folder).rename(scratch / f"the {folder}")
        (store / folder).symlink_to(scratch / f"the {folder}")
        check_works(scratch, store)
        check((store / folder).is_symlink(), "the link was replaced")


def test_a_link_that_leads_nowhere_is_named_and_left_alone(scratch):
    link = scratch / "dangling"
    link.symlink_to("nowhere")
    for verb in ("init", ), ("ingest", "--format", "ndjson", log_of(scratch)):
        refused(1, ["dangling", "link that leads nowhere"], verb[0], "--dir", link, *verb[1:])
    refused(1, ["dangling", "is not an HDB store"], "query", "--dir", link)
    loop = scratch / "loop"
    loop.symlink_to("loop")
    for verb in ("init", "query"):
        refused(1, ["loop", "symbolic links"], verb, "--dir", loop)
    check(link.is_symlink() and not (scratch / "nowhere").exists(), "something was made of it")


def test_a_store_without_one_of_its_folders_is_damaged_not_new(scratch):
    for folder in ("wal", "sstables"):
        store = copy_of(scratch, f"without {folder}")
        (store / folder).rename(scratch / f"lost {folder}")
        before = tree(store)
        for verb in ("query",), ("ingest", "--format", "ndjson", log_of(scratch)):
            refused(1, [str(store / folder), "missing"], verb[0], "--dir", store, *verb[1:])
        refused(1, [str(store), "missing"], "verify", "--dir", store)
        (store / folder).symlink_to("not mounted now")
        refused(1, [str(store / folder), "missing"], "query", "--dir", store)
        (store / folder).unlink()
        (store / folder).write_text("")
        refused(1, [str(store / folder), "a file is there"], "query", "--dir", store)
        (store / folder).unlink()
        check(tree(store) == before, "a refused open changed the store")
        (scratch / f"lost {folder}").rename(store / folder)
        check_works(scratch, store)


def test_a_file_or_a_pipe_in_the_place_of_the_directory_is_named(scratch):
    in_the_way = scratch / "in the way"
    for make in in_the_way.touch, lambda: os.mkfifo(in_the_way):
        make()
        for place in in_the_way, in_the_way / "below":
            for verb in "init", "query", "verify":
                refused(1, ["in the way", "a file is there"], verb, "--dir", place)
        in_the_way.unlink()
    refused(1, ["/dev/null", "a file is there"], "init", "--dir", "/dev/null")


def test_what_is_no_file_in_the_place_of_a_file_is_named_at_once(scratch):
    makers = (os.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"))
    for number, make in enumerate(makers):
        for name in ("CURRENT", "manifest", "table"):
            store = copy_of(scratch, f"{name} {number}")
            path = {"CURRENT": store / "CURRENT", "manifest": store / (store / "CURRENT").read_text().split()[0],
                    "table": next((store / "sstables").iterdir())}[name]
            path.unlink()
            make(path)
            done = refused(1, [str(path)], "query", "--dir", store)
            check("not a regular file" in done.err or name == "table" and "manifest says" in done.err, done.err)
            shutil.rmtree(store)
    store = copy_of(scratch, "lock")
    (store / "LOCK").unlink(missing_ok=True)
    (store / "LOCK").mkdir()
    refused(1, [str(store / "LOCK"), "a directory is there"], "compact", "--dir", store)
    refused(1, [str(store / "LOCK"), "not a regular file"], "query", "--dir", store)
    (store / "LOCK").rmdir()
    check_works(scratch, store)


def test_a_link_in_the_place_of_a_file_of_the_store_does_no_harm_to_what_it_leads_to(scratch):
    precious = scratch / "precious"
    precious.write_text("precious")
    for name in "LOCK", "RESERVE":
        store = store_of(scratch, f"with {name}")
        (store / name).unlink(missing_ok=True)
        (store / name).symlink_to(precious)
        refused(1, [str(store / name), "a link is there"], "ingest", "--dir", store, "--format", "ndjson", "--restart",
                log_of(scratch))
        check(precious.read_text() == "precious", f"what {name} leads to was changed")
        (store / name).unlink(missing_ok=True)
        check_works(scratch, store)


def test_a_directory_of_somebody_else_may_be_read_if_they_let_and_else_is_refused_with_what_to_check(scratch):
    nobody = as_nobody(scratch)
    theirs, mine = store_of(scratch, "theirs"), scratch / "mine"
    mine.mkdir()
    log = log_of(scratch)
    log.chmod(0o644)
    if nobody:
        os.chown(mine, 65534, 65534)
    else:
        for path in (theirs, *theirs.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
    before = tree(theirs)
    check(int(ok("query", "--dir", theirs, "--output", "count", **nobody).out) == 3, "theirs cannot be read")
    ok("verify", "--dir", theirs, **nobody)
    for verb in ("compact",), ("ingest", "--format", "ndjson", log), ("backup", "--to", mine / "copy"):
        refused(1, ["theirs", "Permission denied", "check owner and permissions"], verb[0], "--dir", theirs, *verb[1:],
                **nobody)
    check(tree(theirs) == before, "a refused open changed the store")
    theirs.chmod(0o700 if nobody else 0)
    for verb in "query", "init", "stats":
        refused(1, ["theirs", "check owner and permissions"], verb, "--dir", theirs, **nobody)
        refused(1, ["theirs", "check owner and permissions"], verb, "--dir", theirs / "below", **nobody)
    theirs.chmod(0o755)
    ok("init", "--dir", mine / "store", **nobody)


def test_a_read_only_directory_or_folder_is_read_and_else_refused_with_what_to_check(scratch):
    nobody = as_nobody(scratch)
    parent = scratch / "parent"
    parent.mkdir()
    parent.chmod(0o555)
    if nobody:
        os.chown(parent, 65534, 65534)
    refused(1, ["parent", "check owner and permissions"], "init", "--dir", parent / "store", **nobody)
    parent.chmod(0o755)
    store = store_of(scratch, "mine")
    if nobody:
        for path in (store, *store.rglob("*")):
            os.chown(path, 65534, 65534)
    for folder in (store, store / "wal"):
        folder.chmod(0o555)
        refused(1, [str(folder), "check owner and permissions"], "compact", "--dir", store, **nobody)
        check(int(ok("query", "--dir", store, "--output", "count", **nobody).out) == 3, "it cannot be read")
        folder.chmod(0o755)
    # The error of a flush is told when the store is closed; what was acknowledged is in the log.
    (store / "sstables").chmod(0o555)
    log = log_of(scratch)
    log.chmod(0o644)
    done = run("ingest", "--dir", store, "--format", "ndjson", "--restart", log, **nobody)
    check(done.returncode == 1 and "sstables" in done.err and "check owner" in done.err, done.err)
    (store / "sstables").chmod(0o755)
    check(int(ok("query", "--dir", store, "--output", "count", **nobody).out) == 6, "acknowledged events are missing")


def test_a_store_with_a_file_that_may_not_be_read_is_not_repaired_as_if_it_were_lost(scratch):
    nobody = as_nobody(scratch)
    store, target = store_of(scratch, "mine"), scratch / "new"
    if nobody:
        os.chown(scratch, 65534, 65534)
        for path in (store, *store.rglob("*")):
            os.chown(path, 65534, 65534)
    table = next((store / "sstables").iterdir())
    for path in table, store / (store / "CURRENT").read_text().split()[0]:
        path.chmod(0)
        refused(1, [str(path), "Permission denied"], "repair", "--dir", store, "--to", target, **nobody)
        check(not target.exists(), "a repair that was refused made its target")
        path.chmod(0o644)
    ok("repair", "--dir", store, "--to", target, **nobody)


def on_a_disk_of_its_own(scratch, script):
    """Runs the shell script with a mount that ends with it: in $1, of 8 MiB; $0 is the executable."""
    disk = scratch / "disk"
    disk.mkdir(exist_ok=True)
    unshare = ["unshare", "--mount"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
    mount = 'mount -t tmpfs -o size=8m none "$1"'
    if subprocess.run([*unshare, "sh", "-c", mount, HDB, disk], capture_output=True).returncode != 0:
        raise Skipped("a file system cannot be mounted here")
    return subprocess.run([*unshare, "sh", "-c", f"{mount} && {script}", os.path.abspath(HDB), disk], capture_output=True, text=True,
                          cwd=scratch, timeout=300)


def test_a_full_file_system_is_named_and_what_was_acknowledged_is_there(scratch):
    (scratch / "log").write_text("".join(f'{{"n":{n},"x":"{os.urandom(500).hex()}"}}\n' for n in range(20_000)))
    done = on_a_disk_of_its_own(scratch, """
        "$0" ingest --dir "$1/store" --format ndjson --set reserve_bytes=1MiB --set memtable_bytes=256KiB \
            --set log_segment_bytes=256KiB --batch 100 --acks acks log
        echo "exit $?"
        echo "count $("$0" query --dir "$1/store" --set reserve_bytes=0 --output count)" """)
    check("\nexit 1\n" in done.stdout, f"{done.stdout} {done.stderr}")
    check("/disk/store/" in done.stderr and "free space" in done.stderr, f"{done.stdout} {done.stderr}")
    acknowledged = sum(int(line.split()[1]) for line in (scratch / "acks").read_text().splitlines())
    check(acknowledged > 1000 and f"count {acknowledged}\n" in done.stdout, f"{acknowledged} acknowledged: {done.stdout}")


def test_a_file_system_that_is_mounted_read_only_is_read_and_else_named(scratch):
    log_of(scratch)
    done = on_a_disk_of_its_own(scratch, """
        "$0" ingest --dir "$1/store" --format ndjson --set reserve_bytes=0 "a log" || exit
        mount -o remount,ro "$1" || { echo "not remounted"; exit; }
        try() { "$@"; echo "exit $?"; }
        try "$0" query --dir "$1/store" --output count
        try "$0" verify --quiet --dir "$1/store"
        try "$0" compact --dir "$1/store"
        try "$0" init --dir "$1/new" """)
    if "not remounted" in done.stdout:
        raise Skipped("a file system cannot be made read-only here")
    check("\n3\nexit 0\n" in done.stdout and done.stdout.count("exit 0\n") == 2, f"{done.stdout} {done.stderr}")
    check(done.stdout.count("exit 1\n") == 2, f"{done.stdout} {done.stderr}")
    told = done.stderr.splitlines()
    check(len(told) == 2 and all("mounted read-only" in line for line in told), done.stderr)


def test_a_store_on_a_file_system_in_memory_works(scratch):
    memory = pathlib.Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        raise Skipped("there is no /dev/shm")
    with tempfile.TemporaryDirectory(prefix="hdb directory ", dir=memory) as directory:
        store = store_of(pathlib.Path(directory), lines=5000)
        check_works(scratch, store, 5000)
        ok("backup", "--dir", store, "--to", scratch / "a backup")  # no hard links from there
        check(count(scratch / "a backup") == 5003, "the copy on another file system is not whole")


def test_of_processes_that_open_a_store_at_once_each_works_or_says_who_has_it(scratch):
    store = scratch / "store"
    starters = [subprocess.Popen([HDB, "init", "--dir", store], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                for _ in range(8)]
    made = 0
    for process in starters:
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            made += "new store" in out
        else:
            check(err.count("\n") == 1 and ("is a store already" in err or "has the store open" in err), err)
    check(made == 1, f"{made} processes made the store")
    log, told = log_of(scratch), 0
    writers = [subprocess.Popen([HDB, "ingest", "--dir", store, "--format", "ndjson", "--restart", log],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    for process in writers:
        out, err = process.communicate(timeout=60)
        if process.returncode == 0:
            told += 1
        else:
            check("another process has the store open" in err and "close it there first" in err, err)
    check(told > 0 and count(store) == 3 * told, f"{told} writers were told that theirs is there, {count(store)} are")


def writer(scratch, store):
    """A process that has taken a line, and waits for more: (process, whoever is to write lines)."""
    acks = scratch / "acks"
    process = subprocess.Popen([HDB, "ingest", "--dir", store, "--format", "lines", "--batch", "1", "--acks", acks, "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    wait_until(lambda: acks.exists() and acks.read_text() == "0 1\n", "the first line was not acknowledged")
    return process


def test_a_second_process_is_told_at_once_who_has_the_store(scratch):
    store = scratch / "store"
    process = writer(scratch, store)
    (scratch / "link").symlink_to("store")
    for name in "store", "link":
        for verb in ("query", "verify", "compact", "stats"):
            refused(1, [name, "another process has the store open", f"process {process.pid}"], verb, "--dir",
                    scratch / name)
    out, err = process.communicate(timeout=60)
    check(process.returncode == 0 and count(store) == 1, f"{out} {err}")


def test_commands_that_read_leave_a_store_and_a_backup_as_they_are(scratch):
    store, backup = store_of(scratch), scratch / "backup"
    killed = scratch / "killed"
    process = writer(scratch, killed)
    process.kill()
    process.communicate()
    ok("backup", "--dir", store, "--to", backup)
    for place, events in (store, 3), (backup, 3), (killed, 1):
        before = contents(place)
        event = json.loads(ok("query", "--dir", place, "--output", "ndjson", "--limit", "1").out)
        for verb in ("verify",), ("stats",), ("query", "--output", "table"), ("get", str(event["id"])):
            ok(verb[0], "--dir", place, *verb[1:])
        check(count(place) == events and contents(place) == before, f"{place} was changed")
    ok("backup", "--dir", store, "--to", backup)  # it still is one


def test_a_store_is_read_by_many_processes_at_once_but_not_beside_one_that_writes(scratch):
    store = store_of(scratch, lines=50000)  # more than a pipe holds
    readers = [subprocess.Popen([HDB, "query", "--dir", store], bufsize=0, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for _ in range(4)]
    firsts = [process.stdout.readline() for process in readers]  # each has it open now, and waits for its pipe
    try:
        check(all(firsts), "a reader was refused")
        refused(1, ["has the store open", "close it there first"], "compact", "--dir", store)
    finally:
        whole = [first + process.communicate(timeout=60)[0] for first, process in zip(firsts, readers)]
    check(all(process.returncode == 0 for process in readers) and {text.count(b"\n") for text in whole} == {50000},
          "a reader did not see all")
    ok("compact", "--dir", store)


def test_a_store_that_is_moved_while_it_is_open_loses_nothing_that_was_acknowledged(scratch):
    store, moved = scratch / "store", scratch / "moved"
    process = writer(scratch, store)
    store.rename(moved)
    out, err = process.communicate(b"two\n", timeout=60)
    check(process.returncode == 1 and str(store).encode() in err, f"{process.returncode} {out} {err}")
    acknowledged = sum(int(line.split()[1]) for line in (scratch / "acks").read_text().splitlines())
    check(count(moved) >= acknowledged, "an acknowledged line is missing")
    check(not store.exists(), "another store was made in its place")


def test_a_store_that_is_removed_while_it_is_open_ends_with_an_error_that_names_it(scratch):
    store = scratch / "store"
    process = writer(scratch, store)
    shutil.rmtree(store)
    out, err = process.communicate(b"two\n", timeout=60)
    check(process.returncode == 1 and str(store).encode() in err and b"is gone" in err,
          f"{process.returncode} {out} {err}")
    check(not store.exists(), "the directory was made anew")


def test_a_store_that_comes_to_the_place_of_an_open_one_is_left_alone(scratch):
    store, moved = scratch / "store", scratch / "moved"
    process = writer(scratch, store)
    other = store_of(scratch, "other", 10)
    store.rename(moved)
    other.rename(store)
    before = tree(store)
    out, err = process.communicate(b"two\n", timeout=60)
    check(process.returncode == 1 and b"LOCK: is another file" in err, f"{process.returncode} {out} {err}")
    check(tree(store) == before, "the other store was changed")
    acknowledged = sum(int(line.split()[1]) for line in (scratch / "acks").read_text().splitlines())
    check(count(moved) >= acknowledged, "an acknowledged line is missing")


def test_a_store_whose_lock_was_removed_acknowledges_nothing_that_another_process_cannot_see(scratch):
    store = scratch / "store"
    process = writer(scratch, store)
    (store / "LOCK").unlink()
    ok("compact", "--dir", store)
    seen = count(store)
    out, err = process.communicate(b"two\n", timeout=60)
    check(process.returncode == 1 and b"LOCK: is another file" in err, f"{process.returncode} {out} {err}")
    acknowledged = sum(int(line.split()[1]) for line in (scratch / "acks").read_text().splitlines())
    check(seen == count(store) == acknowledged, f"{seen} seen, {count(store)} there, {acknowledged} acknowledged")


if __name__ == "__main__":
    main(globals())
