#!/usr/bin/env python3
"""The library as its users meet it: installed into a moved prefix, with a space in its path, found by pkg-config and
by CMake, linked shared and static. Argument: the build directory, in which everything is built."""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WARNINGS = ["-std=c++20", "-Wall", "-Wextra", "-Werror"]
EXPECTED = "user=root result=failure\nlast_seen is host-1\n"


class Installation:
    """`meson install --destdir` of a build."""

    def __init__(self, build, scratch):
        self.scratch = scratch
        destination = scratch / "moved prefix"
        output(["meson", "install", "-C", build, "--destdir", destination, "--no-rebuild"])
        self.pc_folder = next(destination.rglob("hdb.pc")).parent
        self.libdir = self.pc_folder.parent
        self.cmake_folder = self.libdir / "cmake" / "hdb"
        self.shared = self.libdir / "libhdb.so"
        self.static = self.libdir / "libhdb.a"
        self.environment = {**os.environ, "PKG_CONFIG_PATH": str(self.pc_folder), "LD_LIBRARY_PATH": str(self.libdir)}

    def pkg_config(self, *arguments):
        return shlex.split(output(["pkg-config", *arguments, "hdb"], self.environment))

    def says(self, program):
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            return output([program, pathlib.Path(folder) / "store"], self.environment)


def output(command, environment=None):
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if run.returncode != 0:
        raise AssertionError(f"{shlex.join(map(str, command))} failed:\n{run.stdout}{run.stderr}")
    return run.stdout


def check(holds, message):
    if not holds:
        raise AssertionError(message)


def test_pkg_config_links_the_shared_library(installation):
    program = installation.scratch / "quickstart shared"
    output(["g++", *WARNINGS, ROOT / "examples/quickstart.cc", "-o", program,
            *installation.pkg_config("--cflags", "--libs")])
    check("libhdb.so.0" in output(["ldd", program], installation.environment), "not linked to libhdb.so.0")
    check(installation.says(program) == EXPECTED, "quickstart printed something else")


def test_pkg_config_links_the_static_library(installation):
    program = installation.scratch / "quickstart static"
    flags = ["-l:libhdb.a" if flag == "-lhdb" else flag
             for flag in installation.pkg_config("--static", "--cflags", "--libs")]
    output(["g++", *WARNINGS, ROOT / "examples/quickstart.cc", "-o", program, *flags])
    check("libhdb" not in output(["ldd", program]), "linked to the shared library")
    check(installation.says(program) == EXPECTED, "quickstart printed something else")


def test_cmake_finds_both_libraries(installation):
    build = installation.scratch / "cmake build"
    output(["cmake", "-S", ROOT / "examples", "-B", build, f"-Dhdb_DIR={installation.cmake_folder}"],
           installation.environment)
    output(["cmake", "--build", build], installation.environment)
    for program in ("quickstart", "quickstart_static"):
        check(installation.says(build / program) == EXPECTED, f"{program} printed something else")
    printed = installation.says(build / "event_loop")
    check(re.fullmatch(r"10000 events durable in \d+ groups\n", printed), f"event_loop printed {printed}")


def test_only_namespace_hdb_is_exported(installation):
    symbols = [line.split()[-1] for line in output(["nm", "-D", "--defined-only", installation.shared]).splitlines()]
    foreign = [symbol for symbol in symbols if not re.match(r"_Z(T[ISV])?NK?3hdb", symbol)]
    check(len(symbols) > 20, f"only {len(symbols)} symbols are exported")
    check(not foreign, f"exported, but not in namespace hdb: {foreign[:5]}")


def test_the_allocator_is_left_alone(installation):
    check("mimalloc" not in output(["ldd", installation.shared]), "libhdb.so links mimalloc")
    check(" malloc\n" not in output(["nm", "-D", "--defined-only", installation.shared]), "libhdb.so defines malloc")


def test_every_public_header_is_installed(installation):
    installed = {path.name for path in installation.libdir.parents[1].rglob("hdb/*.h")}
    installed |= {path.name for path in installation.libdir.parent.rglob("include/hdb/*.h")}
    public = {path.name for path in (ROOT / "include/hdb").glob("*.h")}
    check(installed == public, f"installed {sorted(installed)}, public {sorted(public)}")


def main():
    tests = [function for name, function in globals().items() if name.startswith("test_")]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="hdb embedding ") as scratch:
        installation = Installation(sys.argv[1], pathlib.Path(scratch))
        for test in tests:
            try:
                test(installation)
            except AssertionError as error:
                failed += 1
                print(f"{test.__name__}: {error}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
