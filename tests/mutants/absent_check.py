#!/usr/bin/env python3
"""Mutants are where they were asked for, and nowhere else.

    absent_check.py --build DIR --source DIR --cmake COMMAND --mutants 0|1

The library of this build has switches if and only if it was configured with TAILRACE_MUTANTS, and a build
cannot be configured with them and with an installation.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

# Only wal/mutants.cc has this text.
MARK = b"there is no such mutant in this build"


def main():
    parser = argparse.ArgumentParser()
    for name in ("build", "source", "cmake", "mutants"):
        parser.add_argument(f"--{name}", required=True)
    arguments = parser.parse_args()

    library = pathlib.Path(arguments.build) / "libtailrace.a"
    has_mutants = MARK in library.read_bytes()
    if has_mutants != (arguments.mutants == "1"):
        sys.exit(f"{library}: has mutants: {has_mutants}, asked for: {arguments.mutants}")
    with tempfile.TemporaryDirectory() as scratch:
        both = subprocess.run(
            [arguments.cmake, "-S", arguments.source, "-B", scratch, "-G", "Ninja",
             "-D", "TAILRACE_MUTANTS=ON", "-D", "TAILRACE_INSTALL=ON"],
            capture_output=True, text=True, check=False)
    if both.returncode == 0 or "TAILRACE_MUTANTS is for tests" not in both.stderr:
        sys.exit(f"TAILRACE_MUTANTS and TAILRACE_INSTALL together:\n{both.stdout}{both.stderr}")
    print(f"mutants in this build: {has_mutants}; never in one that is installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
