#!/usr/bin/env python3
"""Fails when a public header needs another one before it. Arguments: the root, then the compiler's command."""
import subprocess
import sys

import fact


def check(root):
    problems = []
    for header in sorted((root / "include" / "hdb").glob("*.h")):
        command = sys.argv[2:] + ["-std=c++20", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
                                  "-I", str(root / "include"), "-x", "c++", "-"]
        run = subprocess.run(command, input=f"#include <hdb/{header.name}>\n", capture_output=True, text=True)
        if run.returncode != 0:
            problems.append(f"include/hdb/{header.name}: does not compile alone; include what it uses:\n{run.stderr}")
    return problems


if __name__ == "__main__":
    fact.main(check, [({"include/hdb/a.h": "#pragma once\nstd::string name();\n"},
                       "include/hdb/a.h: does not compile alone")])
