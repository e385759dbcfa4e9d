#!/usr/bin/python3
"""Writes docs/benchmarks.md and its plots from what tools/bench measured.

    tools/lib/bench_report.py --results DIR --docs DIR --command TEXT

DIR has a file round-N-GROUP.json of Google Benchmark for each round and group. A ratio is taken
within a round; what the report says is the median over the rounds, with the lowest and the highest.
"""

import argparse
import collections
import datetime
import json
import pathlib
import platform
import re
import statistics
import subprocess

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tailrace", "font.size": 9,
                            "axes.spines.top": False, "axes.spines.right": False})
import matplotlib.pyplot as plt  # noqa: E402  After the choice of a backend.

RIVALS = ("rocksdb_put", "rocksdb_get_put", "rocksdb_outbox", "rocksdb_txn_outbox")
TAILRACE = ("tailrace", "tailrace_keys_only", "tailrace_nostream")
COLOURS = {"rocksdb_put": "#9e9e9e", "rocksdb_get_put": "#ef8a17", "rocksdb_outbox": "#b5179e",
           "rocksdb_txn_outbox": "#4361ee", "tailrace": "#2a9d8f", "tailrace_nostream": "#8ecae6",
           "tailrace_keys_only": "#006d77"}


class Results:
    """What was measured: by case, then by round, Google Benchmark's fields."""

    def __init__(self, directory):
        self.cases = collections.defaultdict(dict)
        self.context = {}
        for path in sorted(directory.glob("round-*.json")):
            number = int(path.name.split("-")[1])
            report = json.loads(path.read_text())
            self.context = report["context"]
            for run in report["benchmarks"]:
                name = re.sub(r"/iterations:1/manual_time$", "", run["name"])
                self.cases[name][number] = run
        self.rounds = sorted({number for runs in self.cases.values() for number in runs})

    def has(self, *names):
        return all(name in self.cases for name in names)

    def values(self, name, field):
        return {number: run[field] for number, run in self.cases.get(name, {}).items()
                if field in run}

    def median(self, name, field):
        values = list(self.values(name, field).values())
        return statistics.median(values) if values else None

    def ratios(self, over, under, field):
        """Of one case to another, of each round that has both."""
        above, below = self.values(over, field), self.values(under, field)
        return [above[number] / below[number] for number in above
                if below.get(number, 0) > 0]


def write_case(engine, durability, value, threads, in_flight=1, keys="uniform"):
    return (f"write/{engine}/{durability}/keys:{keys}/value:{value}/threads:{threads}"
            f"/in_flight:{in_flight}")


class Target:
    """A ratio to be reached. `at_least`: it must be `first` or more, else `first` or less."""

    def __init__(self, what, over, under, field, first, aim, at_least=True):
        self.what, self.over, self.under, self.field = what, over, under, field
        self.first, self.aim, self.at_least = first, aim, at_least

    def verdict(self, ratio):
        sign = 1 if self.at_least else -1
        if sign * ratio >= sign * self.aim:
            return "**aim**"
        return "first" if sign * ratio >= sign * self.first else "missed"


RATE = "items_per_second"


def targets():
    for value in (100, 1000):
        for threads in (1, 2, 8):
            where = f"buffered write of {value} B, {threads} thread{'s' if threads > 1 else ''}"
            case = write_case("tailrace", "buffered", value, threads)
            for rival, first, aim in (("rocksdb_get_put", 2, 5), ("rocksdb_txn_outbox", 3, 8),
                                      ("rocksdb_put", 1, 2.5)):
                yield Target(f"{where} ÷ {rival}", case,
                             write_case(rival, "buffered", value, threads), RATE, first, aim)
    for value in (100, 1000):
        many = write_case("rocksdb_put", "sync", value, 64)
        for in_flight, first, aim in ((64, 5, 10), (4096, 6, 15)):
            case = write_case("tailrace", "sync", value, 1, in_flight)
            yield Target(f"sync write of {value} B, {in_flight} in flight ÷ rocksdb_put, "
                         "64 threads", case, many, RATE, first, aim)
        yield Target(f"sync write of {value} B, 1 thread, each waited for ÷ rocksdb_put",
                     write_case("tailrace", "sync", value, 1),
                     write_case("rocksdb_put", "sync", value, 1), RATE, 1, 1.3)
        yield Target(f"stream on ÷ stream off, buffered, {value} B, 1 thread",
                     write_case("tailrace", "buffered", value, 1),
                     write_case("tailrace_nostream", "buffered", value, 1), RATE, 0.85, 0.95)
    for where in ("files", "buffer", "absent"):
        yield Target(f"Get ({where}) ÷ RocksDB Get of the same bytes", f"read/get/tailrace/{where}",
                     f"read/get/rocksdb_items/{where}", RATE, 0.9, 1.2)
    yield Target("stream scan ÷ GetUpdatesSince", "stream_scan/tailrace",
                 "stream_scan/rocksdb_outbox", "bytes_per_second", 5, 20)
    yield Target("recovery ÷ RocksDB's WAL recovery (time)", "recovery/tailrace",
                 "recovery/rocksdb_get_put", "real_time", 1, 0.3, at_least=False)
    for value in (100, 1000):
        yield Target(f"bytes written a user byte ÷ outbox, buffered, {value} B, 64 in flight",
                     write_case("tailrace", "buffered", value, 1, 64),
                     write_case("rocksdb_outbox", "buffered", value, 1),
                     "written_per_user_byte", 0.85, 0.6, at_least=False)
        yield Target(f"99.9th percentile of a buffered write, {value} B, 2 threads "
                     "÷ rocksdb_get_put",
                     write_case("tailrace", "buffered", value, 2),
                     write_case("rocksdb_get_put", "buffered", value, 2),
                     "p99.9_us", 1, 0.3, at_least=False)
    yield Target("a put among 1,000 tables ÷ one table (time)", "growth/tables/1000",
                 "growth/tables/1", "put_us", 2, 1.3, at_least=False)


def number(value):
    """Three significant digits, thousands as K and M."""
    if value is None:
        return "–"
    for unit, size in (("M", 1e6), ("K", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def target_table(results):
    rows = []
    for target in targets():
        ratios = results.ratios(target.over, target.under, target.field)
        if not ratios:
            continue
        ratio = statistics.median(ratios)
        sign = "≥" if target.at_least else "≤"
        rows.append([target.what, f"{sign} {target.first:g}", f"{sign} {target.aim:g}",
                     f"**{ratio:.2f}** ({min(ratios):.2f} – {max(ratios):.2f})",
                     target.verdict(ratio)])
    return table(["what", "first", "aim", "measured: median (lowest – highest)", "reached"], rows)


def write_tables(results):
    """One table for each durability, keys and size: a row for each number of writers."""
    groups = collections.defaultdict(set)
    for name in results.cases:
        match = re.match(r"write/(\w+)/(\w+)/keys:(\w+)/value:(\d+)/threads:(\d+)/in_flight:(\d+)",
                         name)
        if match:
            _, durability, keys, value, threads, in_flight = match.groups()
            groups[durability, keys, int(value)].add((int(threads), int(in_flight)))
    parts = []
    for (durability, keys, value), writers in sorted(groups.items()):
        rows = []
        for threads, in_flight in sorted(writers):
            for engine in TAILRACE + RIVALS:
                case = write_case(engine, durability, value, threads, in_flight, keys)
                if results.has(case):
                    rows.append([f"{threads} × {in_flight}", engine] + [
                        number(results.median(case, field))
                        for field in (RATE, "p50_us", "p99_us", "p99.9_us",
                                      "written_per_user_byte", "disk_busy")])
        parts += [f"### {durability}, {keys} keys, values of {value} bytes\n",
                  table(["threads × in flight", "engine", "writes/s", "p50 µs", "p99 µs",
                         "p99.9 µs", "bytes written a user byte", "disk busy"], rows)]
    return "\n".join(parts)


def plain_table(results, prefix, fields):
    rows = []
    for name in sorted(results.cases):
        if name.startswith(prefix):
            rows.append([name] + [number(results.median(name, field)) for field, _ in fields])
    return table(["case"] + [title for _, title in fields], rows) if rows else ""


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # The backend leaves blanks at the ends of lines.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def plot_writes(results, path):
    """Writes a second of every engine, by durability and number of writers."""
    panels = [("buffered", 100), ("buffered", 1000), ("sync", 100), ("sync", 1000)]
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.5))
    writers = [(1, 1), (2, 1), (8, 1)]
    ticks = [f"{threads} thread{'s' if threads > 1 else ''}" for threads, _ in writers]
    for (durability, value), axis in zip(panels, axes.flat):
        engines = [engine for engine in TAILRACE + RIVALS
                   if results.has(write_case(engine, durability, value, 1))]
        width = 0.8 / max(len(engines), 1)
        for place, engine in enumerate(engines):
            rates = [results.median(write_case(engine, durability, value, *writer), RATE) or 0
                     for writer in writers]
            axis.bar([x + place * width for x in range(len(writers))],
                     [rate / 1e3 for rate in rates], width, label=engine, color=COLOURS[engine])
        axis.set_title(f"{durability}, {value} bytes")
        axis.set_xticks([x + 0.4 - width / 2 for x in range(len(writers))], ticks)
        axis.set_ylabel("thousand writes/s")
    axes.flat[0].legend(fontsize=7, frameon=False)
    save(figure, path)


def plot_targets(results, path):
    """Each ratio beside what it should reach, as a share of the way to the aim."""
    shown = [(target, statistics.median(ratios)) for target in targets()
             if (ratios := results.ratios(target.over, target.under, target.field))]
    if not shown:
        return False
    figure, axis = plt.subplots(figsize=(10, 0.24 * len(shown) + 1))
    for row, (target, ratio) in enumerate(reversed(shown)):
        share = ratio / target.first if target.at_least else target.first / ratio
        aim = target.aim / target.first if target.at_least else target.first / target.aim
        colour = "#2a9d8f" if share >= aim else "#8ecae6" if share >= 1 else "#e76f51"
        axis.barh(row, share, color=colour)
        axis.plot([aim, aim], [row - 0.4, row + 0.4], color="black", linewidth=1)
    axis.axvline(1, color="black", linewidth=0.6, linestyle=":")
    axis.set_yticks(range(len(shown)), [target.what for target, _ in reversed(shown)], fontsize=7)
    axis.set_xscale("log")
    axis.set_xlabel("measured ÷ first goal (dotted: reached; black mark: the aim)")
    save(figure, path)
    return True


def plot_growth(results, path):
    counts = sorted(int(name.rsplit("/", 1)[1]) for name in results.cases
                    if name.startswith("growth/tables/"))
    if not counts:
        return False
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.8))
    for axis, (fields, title) in zip(axes, (
            (("put_us", "get_us"), "µs an operation"), (("create_ms", "drop_ms"), "ms a table"),
            (("fds", "files"), "descriptors and files"))):
        for field in fields:
            axis.plot(counts, [results.median(f"growth/tables/{count}", field) for count in counts],
                      marker="o", label=field)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("tables")
        axis.set_title(title)
        axis.legend(fontsize=7, frameon=False)
    save(figure, path)
    return True


def machine(results):
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=False)
    return table(["", ""], [
        ["processor", f"{model.group(1) if model else platform.machine()}, "
                      f"{results.context.get('num_cpus', '?')} cores"],
        ["memory", f"{int(memory.group(1)) / 2**20:.0f} GiB" if memory else "unknown"],
        ["kernel", platform.release()],
        ["compiler", (compiler.stdout.splitlines() or ["unknown"])[0]],
        ["load while measuring (1, 5, 15 min)",
         ", ".join(f"{load:.1f}" for load in results.context.get("load_avg", []))],
        ["rounds", str(len(results.rounds))],
    ])


def report(results, command, pictures):
    def picture(text, file):
        return f"![{text}](pictures/{file})\n" if file in pictures else ""

    parts = [
        "# Benchmarks\n",
        f"Measured on {datetime.date.today().isoformat()} by `{command.strip()}`, which writes "
        "this page.\n",
        machine(results),
        "Machines are shared and differ, so rates say little and ratios within a round more:\n"
        "every case ran once a round, beside its rivals. A rate counts the time that the engine\n"
        "needed to catch up (fan-out, drain, flush, compaction). All have the same memory, and\n"
        "items as users encode them. What the rivals are is said in `bench/engine.h`.\n",
        "## What should be reached\n", picture("Ratios against their goals", "bench-targets.svg"),
        target_table(results),
        "## Writes\n", picture("Writes a second by engine", "bench-writes.svg"),
        write_tables(results),
    ]
    for title, prefix, fields in (
            ("Reads", "read/", ((RATE, "reads/s"), ("p50_us", "p50 µs"), ("p99_us", "p99 µs"))),
            ("Scans of a stream", "stream_scan/",
             ((RATE, "records/s"), ("bytes_per_second", "bytes/s"))),
            ("From commit to reader", "latency/",
             (("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("p99.9_us", "p99.9 µs"))),
            ("Recovery", "recovery/",
             (("real_time", "ms"), ("bytes_per_second", "user bytes/s"))),
            ("Growth", "growth/",
             (("put_us", "put µs"), ("get_us", "get µs"), ("create_ms", "create ms"),
              ("drop_ms", "drop ms"), ("open_ms", "open ms"), ("fds", "fds"), ("files", "files"),
              ("idle_cpu_ms", "idle CPU ms")))):
        body = plain_table(results, prefix, fields)
        if body:
            parts += [f"## {title}\n", body]
        if prefix == "growth/":
            parts.append(picture("Cost by number of tables", "bench-growth.svg"))
    return "\n".join(part for part in parts if part)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=pathlib.Path, required=True)
    parser.add_argument("--docs", type=pathlib.Path, required=True)
    parser.add_argument("--command", required=True)
    arguments = parser.parse_args()
    results = Results(arguments.results)
    if not results.cases:
        parser.error(f"{arguments.results} has no results; run tools/bench first")
    directory = arguments.docs / "pictures"
    directory.mkdir(parents=True, exist_ok=True)
    pictures = set()
    for file, plot in (("bench-writes.svg", plot_writes), ("bench-targets.svg", plot_targets),
                       ("bench-growth.svg", plot_growth)):
        if plot(results, directory / file) is not False:
            pictures.add(file)
    page = arguments.docs / "benchmarks.md"
    page.write_text(report(results, arguments.command, pictures))
    print(f"{page}: {len(results.cases)} cases in {len(results.rounds)} rounds")


if __name__ == "__main__":
    main()
