#!/usr/bin/env python3
"""Sums gcovr's report by folder, and judges each.

The last line is "N passed, N failed": folders with at least LEAST % of their lines covered, and the others. Exits with 1
if one failed.

usage: coverage_table.py SUMMARY.json LEAST FOLDER...
"""
import json
import pathlib
import sys


def main():
    summary, least, folders = pathlib.Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    counted = {folder: [0, 0] for folder in folders}  # lines that ran, lines
    for file in json.loads(summary.read_text())["files"]:
        folder = file["filename"].split("/")[0]
        counted[folder][0] += file["line_covered"]
        counted[folder][1] += file["line_total"]
    in_all = [sum(column) for column in zip(*counted.values())]
    print(f"{'folder':12} {'lines':>6} {'covered':>8} {'not':>5} {'%':>6}")
    failed = 0
    for folder, (covered, lines) in [*counted.items(), ("in all", in_all)]:
        percent = 100 * covered / lines if lines else 0
        is_low = folder in counted and percent < least
        failed += is_low
        print(f"{folder:12} {lines:6} {covered:8} {lines - covered:5} {percent:6.2f}"
              + (f"  less than {least:g} %" if is_low else ""))
    print(f"{len(folders) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
