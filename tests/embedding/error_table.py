"""Holds the tables of docs/embedding.md against the code: a row for each StatusCode and each kind of
gap, and none for what there is not: error_table.py TOP_OF_THE_SOURCES"""

import pathlib
import re
import sys


def values(header, enum):
    body = re.search(rf"enum class {enum} {{(.*?)^ *}};", header, re.MULTILINE | re.DOTALL).group(1)
    return re.findall(r"^ *(k\w+)", body, re.MULTILINE)


def rows(page, head):
    table = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE).group(1)
    return [re.match(r"\| `(k\w+)` \| ([^|]+) \|(.*)\|$", line).groups()
            for line in table.splitlines()]


def main():
    top = pathlib.Path(sys.argv[1])
    page = (top / "docs/embedding.md").read_text()
    for head, file, enum in (("code", "wal/status.h", "StatusCode"),
                             ("gap", "shards/shard_reader.h", "Kind")):
        due = values((top / file).read_text(), enum)
        found = rows(page, head)
        if sorted(due) != sorted(name for name, _, _ in found):
            sys.exit(f"docs/embedding.md has rows for {[name for name, _, _ in found]}, and "
                     f"{file} has {due}")
        for name, happened, cure in found:
            if len(happened) < 10 or (name != "kOk" and len(cure) < 10):
                sys.exit(f"docs/embedding.md: {name}: what happened, and what to do?")


if __name__ == "__main__":
    main()
