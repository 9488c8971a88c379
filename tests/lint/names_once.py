#!/usr/bin/env python3
"""Fails where two sources of a folder give one name to different things of their own (in anonymous namespaces): CI
compiles several sources as one, where such names clash, or worse, overload each other."""
import re

import fact

ANONYMOUS = re.compile(r"^namespace \{$(.*?)^\}  // namespace$", re.MULTILINE | re.DOTALL)
FUNCTION = re.compile(r"^[A-Za-z][\w:<>,&*\[\] ]*?[ &*](\w+)\([^;]*$", re.MULTILINE)
VARIABLE = re.compile(r"^(?:constexpr|const|volatile|std::)[\w:<>,*& ]* (\w+)(?:\[\w*\])?(?: =|\{|;)", re.MULTILINE)
TYPE = re.compile(r"^(?:class|struct|enum class|using) (\w+)(?!\w|::)", re.MULTILINE)
# Programs of their own, and lists that each file has.
EXEMPT = ("tests/", "bench/")


def check(root):
    problems = []
    first = {}
    for source in fact.files(root, ".cc"):
        name = source.relative_to(root).as_posix()
        if name.startswith(EXEMPT) and not name.startswith("tests/support/"):
            continue
        own = "\n".join(ANONYMOUS.findall(source.read_text()))
        for found in {match for pattern in (FUNCTION, VARIABLE, TYPE) for match in pattern.findall(own)}:
            other = first.setdefault((source.parent, found), name)
            if other != name:
                problems.append(f"{name}: {found} is also a name of {other}; share the thing, or rename one")
    return sorted(problems)


def anonymous(text):
    return f"namespace hdb {{\nnamespace {{\n\n{text}\n\n}}  // namespace\n}}  // namespace hdb\n"


if __name__ == "__main__":
    fact.main(check, [
        ({"wal/a.cc": anonymous("int one(int a) {\n}"), "wal/b.cc": anonymous("Status one(const char* b) {\n}")},
         "wal/b.cc: one is also a name of wal/a.cc"),
        ({"wal/a.cc": anonymous("constexpr int kOne = 1;"), "wal/b.cc": anonymous("constexpr std::uint64_t kOne = 1;")},
         "wal/b.cc: kOne is also a name of wal/a.cc"),
        ({"wal/a.cc": anonymous("struct One {\n};"), "wal/b.cc": anonymous("class One final : public Two {\n};")},
         "wal/b.cc: One is also a name of wal/a.cc"),
    ])
