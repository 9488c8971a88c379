#!/usr/bin/env python3
"""Fails when an option has no reader: every field of struct Options names the file that reads it, and that file does."""
import re

import fact

HEADER = "include/hdb/options.h"
NO_READERS = ("engine/options.cc", "engine/presets.cc")  # they check, parse and preset every field
FIELD = re.compile(r"^  [\w:]+ (\w+) = [^;]+;")


def fields(text):
    """(name, the comment above it) of each field."""
    struct = text[text.index("struct Options {"):]
    struct = struct[:struct.index("\n};")]
    comment = ""
    for line in struct.splitlines()[1:]:
        field = FIELD.match(line)
        if field:
            yield field.group(1), comment
            comment = ""
        elif line.strip().startswith("//"):
            comment += line.strip().lstrip("/") + " "
        else:
            comment = ""


def check(root):
    problems = []
    found = list(fields((root / HEADER).read_text()))
    if not found:
        return [f"{HEADER}: no fields found; options_read.py must be taught its new form"]
    for name, comment in found:
        named = re.search(r"Read by: ([\w/., ]+\.cc)", " ".join(comment.split()))
        readers = re.findall(r"[\w/]+\.cc", named.group(1)) if named else []
        if not readers:
            problems.append(f"{HEADER}: {name} does not say who reads it; add 'Read by: FILE.', or remove the option")
        for reader in readers:
            path = root / reader
            if reader in NO_READERS or reader.startswith("tests/"):
                problems.append(f"{HEADER}: {name} is 'Read by: {reader}', which decides nothing; name the file that does")
            elif not path.is_file():
                problems.append(f"{HEADER}: {name} is 'Read by: {reader}', which does not exist; name the file that does")
            elif not re.search(rf"(\.|->){name}\b", path.read_text()):
                problems.append(f"{HEADER}: {name} is 'Read by: {reader}', which does not read it; name the file that "
                                f"does, or remove the option")
    return problems


def planted(comment, reader):
    return {HEADER: f"struct Options {{\n  {comment}\n  std::uint32_t width = 8;\n}};\n", "engine/a.cc": reader,
            "engine/presets.cc": "options.width = 2;"}


if __name__ == "__main__":
    fact.main(check, [
        (planted("// Read by: engine/a.cc.", "int main() {}"), "width is 'Read by: engine/a.cc', which does not read it"),
        (planted("// Read by: engine/b.cc.", "f(options.width);"), "which does not exist"),
        (planted("// Read by: engine/presets.cc.", "f(options.width);"), "which decides nothing"),
        (planted("// How wide.", "f(options.width);"), "width does not say who reads it"),
    ])
