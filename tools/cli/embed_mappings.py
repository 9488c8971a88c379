#!/usr/bin/env python3
"""Writes the mapping files as texts of a C++ header. usage: embed_mappings.py HEADER zeek.toml ndjson.toml"""
import pathlib
import sys

header, *files = map(pathlib.Path, sys.argv[1:])
lines = ["// Made from presets/mappings by tools/cli/embed_mappings.py.", "#pragma once", "", "#include <string_view>", "",
         "namespace hdb::cli {", ""]
for file in files:
    text = file.read_text()
    assert ')toml"' not in text, f"{file} holds the end mark of its literal"
    lines += [f'inline constexpr std::string_view k{file.stem.capitalize()}Mapping = R"toml({text})toml";', ""]
header.write_text("\n".join(lines + ["}  // namespace hdb::cli", ""]))
