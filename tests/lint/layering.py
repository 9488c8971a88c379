#!/usr/bin/env python3
"""Fails when a file includes a folder that its own folder may not see (layers.txt)."""
import pathlib
import re

import fact

INCLUDE = re.compile(r'\s*#\s*include\s+["<]([^">]+)[">]')
LAYERS = pathlib.Path(__file__).parent / "layers.txt"


def allowed_folders():
    allowed = {}
    for line in LAYERS.read_text().splitlines():
        if line and not line.startswith("#"):
            folder, _, seen = line.partition(":")
            allowed[folder.strip()] = seen.split()
    return allowed


def check(root):
    allowed = allowed_folders()
    longest_first = sorted(allowed, key=len, reverse=True)

    def owner(path):
        return next((f for f in longest_first if path == f or path.startswith(f + "/")), None)

    problems = []
    for file in fact.files(root, ".h", ".cc"):
        name = file.relative_to(root).as_posix()
        for number, line in enumerate(file.read_text().splitlines(), 1):
            include = INCLUDE.match(line)
            if not include:
                continue
            target = include.group(1)
            target = "include/" + target if target.startswith("hdb/") else target
            here, there = owner(name), owner(target)
            if here and there and here != there and there not in allowed[here]:
                problems.append(f"{name}:{number}: {here} may not include {there}; move the shared part down to a folder "
                                f"that both may include (tests/lint/layers.txt)")
    return problems


if __name__ == "__main__":
    fact.main(check, [
        ({"wal/a.cc": '#include "io/env.h"\n#include "sstable/format.h"\n'}, "wal/a.cc:2: wal may not include sstable"),
        ({"base/b.h": "#include <hdb/engine.h>\n"}, "base may not include include/hdb/engine.h"),
        ({"tools/dump/c.cc": '#include "engine/store.h"\n'}, "tools/dump may not include engine"),
    ])
