#!/usr/bin/env python3
"""Fails on dead files: a source that no build file lists, a test that never runs, a header that nothing includes."""
import re

import fact

INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]', re.MULTILINE)
BUILD_FILES = ("meson.build", "CMakeLists.txt")


def is_listed(root, source):
    """Whether a build file in the source's folder or above names it; tests may be listed without '.cc'."""
    folder = source.parent
    while True:
        for build_file in BUILD_FILES:
            if (folder / build_file).is_file():
                path = re.escape(source.relative_to(folder).as_posix().removesuffix(".cc"))
                ending = r"(\.cc)?" if source.name.endswith("_test.cc") else r"\.cc"
                if re.search(rf"(?<![\w/]){path}{ending}(?![\w.])", (folder / build_file).read_text()):
                    return True
        if folder == root:
            return False
        folder = folder.parent


def check(root):
    problems = []
    included = {}
    for file in fact.files(root, ".h", ".cc"):
        for target in INCLUDE.findall(file.read_text()):
            included.setdefault(target, set()).add(file)
    for source in fact.files(root, ".cc"):
        name = source.relative_to(root).as_posix()
        if not is_listed(root, source):
            what = "test never runs" if name.endswith("_test.cc") else "source is never built"
            problems.append(f"{name}: this {what}; list it in {source.parent.relative_to(root).as_posix()}/meson.build, "
                            f"or delete it")
    for header in fact.files(root, ".h"):
        name = header.relative_to(root).as_posix()
        if not included.get(name.removeprefix("include/"), set()) - {header}:
            problems.append(f"{name}: nothing includes this header; delete it")
    return problems


if __name__ == "__main__":
    fact.main(check, [
        ({"wal/meson.build": "static_library('wal', 'a.cc')", "wal/b.cc": ""}, "wal/b.cc: this source is never built"),
        ({"wal/meson.build": "static_library('wal', 'ab.cc')", "wal/b.cc": ""}, "wal/b.cc: this source is never built"),
        ({"tests/meson.build": "foreach name : ['a_test']", "tests/b_test.cc": ""}, "tests/b_test.cc: this test never runs"),
        ({"base/c.h": '#include "base/c.h"\n'}, "base/c.h: nothing includes this header"),
    ])
