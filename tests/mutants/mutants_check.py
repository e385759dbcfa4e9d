#!/usr/bin/env python3
"""Holds the table of docs/mutants.md against the switches in the sources.

    mutants_check.py ROOT

Each mutant of the table has a place in wal/, shards/ or engine/, each place a row in the table, names
are there once, and no header has a switch: tests see headers without it.
"""

import pathlib
import re
import sys

SWITCH = re.compile(r'TAILRACE_MUTANT\("([^"]*)"\)')
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
HOME = "wal/mutants.h"


def main():
    root = pathlib.Path(sys.argv[1])
    problems = []
    rows = ROW.findall((root / "docs" / "mutants.md").read_text(encoding="utf-8"))
    for name in sorted({row for row in rows if rows.count(row) > 1}):
        problems.append(f"docs/mutants.md: {name} is there twice")
    placed = set()
    for path in sorted(root.glob("*/*.[hc]*")):
        file = path.relative_to(root).as_posix()
        if not file.startswith(("wal/", "shards/", "engine/", "tools/")) or file == HOME:
            continue
        names = SWITCH.findall(path.read_text(encoding="utf-8"))
        placed.update(names)
        if names and path.suffix != ".cc":
            problems.append(f"{file}: a header has a switch: {', '.join(names)}")
        for name in sorted(set(names) - set(rows)):
            problems.append(f"{file}: {name} is not in docs/mutants.md")
    for name in rows:
        if name not in placed:
            problems.append(f"docs/mutants.md: {name} has no place in the sources")
    for problem in problems:
        print(problem)
    print(f"mutants: {len(rows)} in the table, {len(placed)} in the sources, "
          f"{len(problems)} problems")
    return 1 if problems or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
