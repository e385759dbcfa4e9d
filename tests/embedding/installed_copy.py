"""Installs the library of a build into a temporary folder, moves that elsewhere, and builds and runs
the program of installed/ against it: installed_copy.py find_package|pkg_config --build DIR ...

Proves as well that nothing but the public headers is installed, that each of them compiles as the
only thing a program includes, with an embedder's own engine/store.h in the way.
"""

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = "2 items\n3 inserts, 1 removes\n"
ENTRIES = {"engine/store.h", "engine/backup.h", "engine/consumer.h", "engine/durable_reader.h",
           "engine/local_server.h", "engine/local_store.h", "engine/merged_reader.h",
           "engine/item_codec.h", "engine/replay.h", "engine/salvage.h",
           "engine/store_follower.h", "engine/table_as_of.h",
           "shards/sequence_number.h"}


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(map(str, command))}: exit code {done.returncode}\n"
                 f"{done.stdout}{done.stderr}")
    return done.stdout


def install(arguments, scratch):
    """An installed copy that has been moved since."""
    first = scratch / "first"
    run(arguments.cmake, "--install", arguments.build, "--prefix", first,
        "--component", "library")
    prefix = scratch / "second place"
    first.rename(prefix)
    for library in prefix.rglob("libtailrace.a"):
        if b"TAILRACE_MUTANT" in library.read_bytes():
            sys.exit(f"{library}: an installed library has the switches of docs/mutants.md")
    return prefix


def check_headers(prefix):
    top = prefix / "include" / "tailrace"
    headers = {path.relative_to(top).as_posix(): path.read_text()
               for path in top.rglob("*") if path.is_file()}
    reached, due = set(), set(ENTRIES)
    while due:
        header = due.pop()
        reached.add(header)
        for name in re.findall(r'#include [<"]([^>"]+)[>"]', headers[header]):
            if name.startswith("tailrace/"):
                due |= {name.removeprefix("tailrace/")} - reached
            elif "/" in name and not name.startswith("sys/"):
                sys.exit(f"{header} includes {name}, which only our own build has")
    if set(headers) != reached:
        sys.exit(f"installed, but no part of what embedders include: {set(headers) - reached}")
    return sorted(headers)


def find_package(arguments, prefix, scratch):
    build = scratch / "build"
    run(arguments.cmake, "-S", HERE / "installed", "-B", build, "-G", "Ninja",
        f"-DCMAKE_CXX_COMPILER={arguments.compiler}", f"-DCMAKE_PREFIX_PATH={prefix}")
    run(arguments.cmake, "--build", build)
    return build / "program"


def pkg_config(arguments, prefix, scratch):
    path = [*prefix.rglob("pkgconfig")][0]
    environment = os.environ | {"PKG_CONFIG_PATH": str(path)}
    said = run("pkg-config", "--cflags", "--libs", "tailrace", env=environment)
    program = scratch / "program"
    headers = "".join(f"#include <tailrace/{name}>\n" for name in check_headers(prefix))
    # An embedder's own headers may have the names of ours.
    theirs = scratch / "engine"
    theirs.mkdir()
    (theirs / "store.h").write_text("#error \"this is not Tailrace's\"\n")
    (scratch / "all.cc").write_text(headers)
    run(arguments.compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", "-I", scratch,
        HERE / "installed" / "program.cc", scratch / "all.cc", "-o", program, *shlex.split(said))
    return program


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["find_package", "pkg_config"])
    parser.add_argument("--build", required=True)
    parser.add_argument("--cmake", required=True)
    parser.add_argument("--compiler", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tailrace-installed-") as directory:
        scratch = pathlib.Path(directory)
        prefix = install(arguments, scratch)
        program = globals()[arguments.way](arguments, prefix, scratch)
        printed = run(program, scratch / "store")
    if printed != EXPECTED:
        sys.exit(f"the program printed\n{printed}instead of\n{EXPECTED}")


if __name__ == "__main__":
    main()
