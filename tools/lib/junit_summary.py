#!/usr/bin/env python3
"""Says in a few lines what a ctest run found, from the JUnit file that it wrote.

    tools/lib/junit_summary.py FILE [--counts]

Prints the failed tests by name, each with what it said first of its failure, the skipped ones with
their reason (a line that begins with "SKIPPED:"), the slowest ones, and every line of a test's
output that begins with "figure:" (what the test counted or measured).
With --counts prints just "PASSED FAILED SKIPPED".
"""

import re
import sys
import xml.etree.ElementTree

SLOW_SECONDS = 10
SLOW_SHOWN_MAX = 8
TROUBLE = re.compile(r"Failure$|FAILED|ERROR:|SURVIVED|survived|Assertion|check failed|Traceback")
TROUBLE_LINES = 12
TROUBLE_CHARACTERS_MAX = 300  # Of a line.


def outcome(case):
    """A test that skipped itself is skipped; one that could not be started failed."""
    skipped = case.find("skipped")
    if skipped is not None and skipped.get("message", "").startswith("SKIP_"):
        return "skipped"
    return "passed" if case.get("status") == "run" else "failed"


def trouble(case):
    """The first lines that tell of the failure, or the last that the test printed."""
    lines = [line for line in (case.findtext("system-out") or "").splitlines()
             if not line.startswith("figure:")]
    first = next((i for i, line in enumerate(lines) if TROUBLE.search(line)),
                 max(0, len(lines) - TROUBLE_LINES))
    return [line[:TROUBLE_CHARACTERS_MAX] for line in lines[first:first + TROUBLE_LINES]]


def main():
    cases = xml.etree.ElementTree.parse(sys.argv[1]).getroot().findall("testcase")
    by_outcome = {"passed": [], "failed": [], "skipped": []}
    for case in cases:
        by_outcome[outcome(case)].append(case)
    if "--counts" in sys.argv[2:]:
        print(*(len(by_outcome[name]) for name in ("passed", "failed", "skipped")))
        return
    for case in by_outcome["failed"]:
        print(f"FAILED {case.get('name')}")
        for line in trouble(case):
            print(f"    {line}")
    for case in by_outcome["skipped"]:
        print(f"skipped {case.get('name')}")
        for line in (case.findtext("system-out") or "").splitlines():
            if line.startswith("SKIPPED:"):
                print(f"  {line}")
    slow = sorted((case for case in cases if float(case.get("time", 0)) >= SLOW_SECONDS),
                  key=lambda case: -float(case.get("time", 0)))
    for case in slow[:SLOW_SHOWN_MAX]:
        print(f"slow: {float(case.get('time')):.0f} s {case.get('name')}")
    for case in cases:
        for line in (case.findtext("system-out") or "").splitlines():
            if line.startswith("figure:"):
                print(f"{line}  [{case.get('name')}]")


if __name__ == "__main__":
    main()
