#!/usr/bin/env python3
"""Fails on a promise in docs/durability.md whose test does not exist: `file_test` or `file_test: name of the test`."""
import re

import fact

PROMISE = re.compile(r"`(\w+_test)(?::\s+([^`]+))?`")
CASE = re.compile(r'TEST_CASE\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
FUNCTION = re.compile(r"^def test_(\w+)", re.MULTILINE)


def names_in(file):
    text = file.read_text()
    if file.suffix == ".py":
        return set(FUNCTION.findall(text))
    return {"".join(re.findall(r'"((?:[^"\\]|\\.)*)"', case)) for case in CASE.findall(text)}


def check(root):
    page = root / "docs" / "durability.md"
    tests = {file.stem: names_in(file) for file in fact.files(root / "tests", ".cc", ".py") if file.stem.endswith("_test")}
    problems = []
    promises = PROMISE.findall(page.read_text()) if page.is_file() else []
    for file, name in promises:
        name = " ".join(name.split())
        if file not in tests:
            problems.append(f"docs/durability.md: there is no test file {file}")
        elif name and name not in tests[file]:
            problems.append(f"docs/durability.md: {file} has no test \"{name}\"")
    if not promises:
        problems.append("docs/durability.md: names no test")
    return problems


if __name__ == "__main__":
    case = {"tests/a_test.cc": 'TEST_CASE("it holds") {}\nTEST_CASE("it "\n          "lasts") {}'}
    fact.main(check, [
        ({**case, "docs/durability.md": "`a_test: it breaks`"}, 'a_test has no test "it breaks"'),
        ({**case, "docs/durability.md": "`a_test: it\n  holds` `b_test`"}, "no test file b_test"),
        ({**case, "docs/durability.md": "nothing"}, "names no test"),
        ({"tests/b_test.py": "def test_it():\n", "docs/durability.md": "`b_test: that`"}, 'b_test has no test "that"'),
    ])
