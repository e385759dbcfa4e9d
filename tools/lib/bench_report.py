#!/usr/bin/python3
"""Writes docs/benchmarks.md and its plots from what tools/bench measured.

    tools/lib/bench_report.py --results DIR --docs DIR --command TEXT

DIR has a file round-N-GROUP.json of Google Benchmark for each round and group. A ratio is taken
within a round; what the report says is the median over the rounds, with the lowest and the highest,
and how many rounds there are. Rounds of different settings are refused.
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
SHADES = ("#2a9d8f", "#8ecae6", "#e76f51")


# Of Google Benchmark's context, what main.cc puts there: what was measured.
SETTINGS = ("items", "seconds", "stream_bytes", "journal_bytes")
# Below this a median and its range say nothing.
ROUNDS_MIN = 3
# A disk that is busier than this decides how fast a write of 1,000 bytes is.
DISK_BUSY_MAX = 0.7


class Results:
    """What was measured: by case, then by round, Google Benchmark's fields."""

    def __init__(self, directory):
        self.cases = collections.defaultdict(dict)
        self.skipped = {}
        self.commits = set()
        self.loads = []
        self.context = {}
        for path in sorted(directory.glob("round-*.json")):
            report = json.loads(path.read_text())
            self.add_context(path, report["context"])
            for run in report["benchmarks"]:
                self.add_run(int(path.name.split("-")[1]), run)
        self.rounds = sorted({number for runs in self.cases.values() for number in runs})

    def add_context(self, path, context):
        if any(self.context.get(key, context.get(key)) != context.get(key) for key in SETTINGS):
            raise SystemExit(f"{path} was measured with other settings than the rounds before; "
                             "tools/bench --fresh begins anew")
        self.context = context
        self.commits.add(context.get("commit", "unknown"))
        self.loads.append(context["load_avg"][0] if context.get("load_avg") else 0)

    def add_run(self, number, run):
        name = re.sub(r"/iterations:1/manual_time$", "", run["name"])
        if run.get("error_occurred"):
            self.skipped[name] = run["error_message"]
        else:
            self.cases[name][number] = run

    def has(self, *names):
        return all(name in self.cases for name in names)

    def values(self, name, field):
        return {number: run[field] for number, run in self.cases.get(name, {}).items()
                if field in run}

    def median(self, name, field):
        values = list(self.values(name, field).values())
        return statistics.median(values) if values else None

    def spread(self, name, field):
        """Of the rounds, from the lowest to the highest, as a share of the median."""
        values = list(self.values(name, field).values())
        if len(values) < 2 or not statistics.median(values):
            return "–"
        return f"{(max(values) - min(values)) / statistics.median(values):.0%}"

    def names(self, prefix):
        """Cases, 10 before 100."""
        return sorted((name for name in self.cases if name.startswith(prefix)),
                      key=lambda name: [int(part) if part.isdigit() else part
                                        for part in re.split(r"(\d+)", name)])

    def ratios(self, over, under, field):
        """Of one case to another, of each round that has both."""
        above, below = self.values(over, field), self.values(under, field)
        return [above[number] / below[number] for number in above
                if below.get(number, 0) > 0]


def write_case(engine, durability, value, threads, in_flight=1, keys="uniform"):
    return (f"write/{engine}/{durability}/keys:{keys}/value:{value}/threads:{threads}"
            f"/in_flight:{in_flight}")


class Target:
    """A ratio to be reached, or without `under` a value. `at_least`: `first` or more, else `first`
    or less. `busy_matters`: nothing is said where the disk decides."""

    def __init__(self, what, over, under, field, first, aim, at_least=True, busy_matters=False):
        self.what, self.over, self.under, self.field = what, over, under, field
        self.first, self.aim, self.at_least = first, aim, at_least
        self.busy_matters = busy_matters

    def measured(self, results):
        """Of each round."""
        if self.under is None:
            return list(results.values(self.over, self.field).values())
        return results.ratios(self.over, self.under, self.field)

    def goal(self, value):
        unit = " µs" if self.under is None else ""
        return f"{'≥' if self.at_least else '≤'} {value:g}{unit}"

    def reaches(self, value, goal):
        return value >= goal if self.at_least else value <= goal

    def doubt(self, results):
        """Why nothing is said, or None."""
        rounds = len(self.measured(results))
        busy = max(results.median(case, "disk_busy") or 0 for case in (self.over, self.under))
        if rounds < ROUNDS_MIN:
            return "too few rounds to say" if rounds else "not measured"
        if self.busy_matters and busy > DISK_BUSY_MAX:
            return f"the disk was {busy:.0%} busy"
        return None

    def verdict(self, results):
        if doubt := self.doubt(results):
            return doubt
        measured = self.measured(results)
        name, goal = "missed; first", self.first
        for reached, value in (("first", self.first), ("**aim**", self.aim)):
            if self.reaches(statistics.median(measured), value):
                name, goal = reached, value
        rounds = sum(self.reaches(value, goal) for value in measured)
        return f"{name} in {rounds} of {len(measured)} rounds"


RATE = "items_per_second"


def threads_text(threads):
    return f"{threads} thread{'s' if threads > 1 else ''}"


def buffered_targets():
    for value in (100, 1000):
        for threads in (1, 2, 8):
            case = write_case("tailrace", "buffered", value, threads)
            for rival, first, aim in (("rocksdb_get_put", 2, 5), ("rocksdb_txn_outbox", 3, 8),
                                      ("rocksdb_put", 1, 2.5)):
                yield Target(f"buffered write of {value} B, {threads_text(threads)} ÷ {rival}",
                             case, write_case(rival, "buffered", value, threads), RATE, first, aim,
                             busy_matters=value == 1000)


def sync_targets():
    for value in (100, 1000):
        many = write_case("rocksdb_put", "sync", value, 64)
        for in_flight, first, aim in ((64, 5, 10), (4096, 6, 15)):
            yield Target(f"sync write of {value} B, {in_flight} in flight ÷ rocksdb_put, "
                         "64 threads", write_case("tailrace", "sync", value, 1, in_flight), many,
                         RATE, first, aim)
        yield Target(f"sync write of {value} B, 1 thread, each waited for ÷ rocksdb_put",
                     write_case("tailrace", "sync", value, 1),
                     write_case("rocksdb_put", "sync", value, 1), RATE, 1, 1.3)


def stream_targets():
    for value in (100, 1000):
        for threads in (1, 8):
            yield Target(f"stream on ÷ stream off, buffered, {value} B, {threads_text(threads)}",
                         write_case("tailrace", "buffered", value, threads),
                         write_case("tailrace_nostream", "buffered", value, threads), RATE, 0.85,
                         0.95)
    yield Target("stream scan ÷ GetUpdatesSince", "stream_scan/tailrace",
                 "stream_scan/rocksdb_outbox", "bytes_per_second", 5, 20)


def latency_targets():
    case = "latency/commit_to_reader/in_process"
    for field, first, aim in (("p50", 20, 5), ("p99", 200, 50)):
        yield Target(f"commit → reader, in process, buffered, {field}", f"{case}/buffered", None,
                     f"{field}_us", first, aim, at_least=False)
    for durability in ("buffered", "sync"):
        for field in ("p50", "p99"):
            yield Target(f"commit → reader, in process, {durability}, {field} ÷ Redis",
                         f"{case}/{durability}", f"latency/redis/in_other_process/{durability}",
                         f"{field}_us", 0.2, 0.2, at_least=False)


def cost_targets():
    for value in (100, 1000):
        yield Target(f"bytes written to disk a user byte, buffered, {value} B, 64 in flight "
                     "÷ rocksdb_outbox", f"space/tailrace/buffered/value:{value}",
                     f"space/rocksdb_outbox/buffered/value:{value}", "written_per_user_byte",
                     0.85, 0.6, at_least=False)
        yield Target(f"99.9th percentile of a buffered write, {value} B, 2 threads "
                     "÷ rocksdb_get_put",
                     write_case("tailrace", "buffered", value, 2),
                     write_case("rocksdb_get_put", "buffered", value, 2),
                     "p99.9_us", 1, 0.3, at_least=False)
    for field in ("put", "get"):
        yield Target(f"a {field}: 10 M items ÷ 100 K items (time)",
                     "growth/items/tailrace/10000000", "growth/items/tailrace/100000",
                     f"{field}_us", 2, 1.3, at_least=False)
        yield Target(f"a {field}: 1,000 tables ÷ 1 table (time)", "growth/tables/1000",
                     "growth/tables/1", f"{field}_us", 2, 1.3, at_least=False)


def targets():
    yield from buffered_targets()
    yield from sync_targets()
    for where in ("files", "cache", "buffer", "absent"):
        yield Target(f"Get ({where}) ÷ RocksDB Get of the same bytes", f"read/get/tailrace/{where}",
                     f"read/get/rocksdb_items/{where}", RATE, 0.9, 1.2)
    yield from stream_targets()
    yield from latency_targets()
    yield Target("recovery ÷ RocksDB's WAL recovery (time)", "recovery/tailrace",
                 "recovery/rocksdb_get_put", "real_time", 1, 0.3, at_least=False)
    yield from cost_targets()


def number(value):
    """Three significant digits, thousands as K, M and G."""
    if value is None:
        return "–"
    for unit, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def target_table(results):
    rows = []
    for target in targets():
        measured = target.measured(results)
        text = "–"
        if measured:
            text = f"**{number(statistics.median(measured))}**"
        if len(measured) > 1:
            text += f" ({number(min(measured))} – {number(max(measured))})"
        rows.append([target.what, target.goal(target.first), target.goal(target.aim), text,
                     str(len(measured)), target.verdict(results)])
    return table(["what", "first", "aim", "measured: median (lowest – highest)", "rounds",
                  "reached"], rows)


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
                                      "written_per_user_byte", "disk_busy")] + [
                        results.spread(case, RATE), str(len(results.cases[case]))])
        parts += [f"### {durability}, {keys} keys, values of {value} bytes\n",
                  table(["threads × in flight", "engine", "writes/s", "p50 µs", "p99 µs",
                         "p99.9 µs", "bytes written a user byte", "disk busy",
                         "spread of writes/s", "rounds"], rows)]
    return "\n".join(parts)


def plain_table(results, prefix, fields):
    """A row for each case, a column for each field that one of them has."""
    names = results.names(prefix)
    fields = [(field, title) for field, title in fields
              if any(results.values(name, field) for name in names)]
    names = [name for name in names if any(results.values(name, field) for field, _ in fields)]
    if not names:
        return ""
    rows = [[name] + [number(results.median(name, field)) for field, _ in fields] +
            [results.spread(name, fields[0][0]), str(len(results.cases[name]))] for name in names]
    titles = [title for _, title in fields]
    return table(["case"] + titles + [f"spread of {titles[0]}", "rounds"], rows)


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    # The backend leaves blanks at the ends of lines.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def writers_of(engine, durability):
    """What stands side by side in a plot: threads and in flight of each, by label."""
    writers = {threads_text(threads): (threads, 1) for threads in (1, 2, 8)}
    if durability == "sync" and engine in TAILRACE:
        writers |= {"64 in flight": (1, 64), "4,096 in flight": (1, 4096)}
    elif durability == "sync":
        writers |= {"64 in flight": (64, 1), "4,096 in flight": None}
    return writers


def plot_write_panel(results, axis, durability, value):
    engines = [engine for engine in TAILRACE + RIVALS
               if results.has(write_case(engine, durability, value, 1))]
    width = 0.8 / max(len(engines), 1)
    for place, engine in enumerate(engines):
        rates = [results.median(write_case(engine, durability, value, *writer), RATE)
                 if writer else None for writer in writers_of(engine, durability).values()]
        shown = [(x + place * width, rate / 1e3) for x, rate in enumerate(rates) if rate]
        axis.bar(*zip(*shown), width, label=engine, color=COLOURS[engine])
    ticks = list(writers_of("tailrace", durability))
    axis.set_xticks([x + 0.4 - width / 2 for x in range(len(ticks))], ticks, fontsize=7)
    axis.set_title(f"{durability}, {value} bytes")
    axis.set_ylabel("thousand writes/s")
    if durability == "sync":
        axis.set_yscale("log")


def plot_writes(results, path):
    """Writes a second of every engine, by durability and number of writers."""
    panels = [("buffered", 100), ("buffered", 1000), ("sync", 100), ("sync", 1000)]
    if not results.has(*(write_case("tailrace", *panel, 1) for panel in panels)):
        return False
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.5))
    for panel, axis in zip(panels, axes.flat):
        plot_write_panel(results, axis, *panel)
    axes.flat[0].legend(fontsize=7, frameon=False)
    save(figure, path)
    return True


def plot_targets(results, path):
    """Each ratio beside what it should reach, as a share of the way to the aim."""
    shown = [target for target in targets() if not target.doubt(results)]
    if not shown:
        return False
    figure, axis = plt.subplots(figsize=(10, 0.24 * len(shown) + 1))
    for row, target in enumerate(reversed(shown)):
        shares = sorted(value / target.first if target.at_least else target.first / value
                        for value in target.measured(results))
        share = statistics.median(shares)
        aim = target.aim / target.first if target.at_least else target.first / target.aim
        colour = "#2a9d8f" if share >= aim else "#8ecae6" if share >= 1 else "#e76f51"
        axis.barh(row, share, color=colour)
        axis.plot([shares[0], shares[-1]], [row, row], color="#555555", linewidth=0.8)
        axis.plot([aim, aim], [row - 0.4, row + 0.4], color="black", linewidth=1)
    axis.axvline(1, color="black", linewidth=0.6, linestyle=":")
    axis.set_yticks(range(len(shown)), [target.what for target in reversed(shown)], fontsize=7)
    axis.set_xscale("log")
    axis.set_xlabel("measured ÷ first goal; black mark: the aim; "
                    "grey line: lowest to highest round")
    save(figure, path)
    return True


def plot_cases(prefix, fields, label, scale="linear"):
    """A plot of horizontal bars: of the cases of this prefix, one for each (field, title, unit)."""
    def plot(results, path):
        names = results.names(prefix)[::-1]
        if not names:
            return False
        figure, axis = plt.subplots(figsize=(10, 0.2 * len(names) * (len(fields) + 1) + 0.8))
        height = 0.8 / len(fields)
        for place, (field, title, unit) in enumerate(fields[::-1]):
            rows = [row + place * height for row in range(len(names))]
            axis.barh(rows, [(results.median(name, field) or 0) / unit for name in names], height,
                      label=title, color=SHADES[len(fields) - 1 - place])
            for row, name in zip(rows, names):
                values = [value / unit for value in results.values(name, field).values()]
                if values:
                    axis.plot([min(values), max(values)], [row, row], color="#555555",
                              linewidth=0.8)
        axis.set_yticks([row + 0.4 - height / 2 for row in range(len(names))],
                        [name.removeprefix(prefix) for name in names], fontsize=7)
        axis.set_xscale(scale)
        axis.set_xlabel(label)
        if len(fields) > 1:
            axis.legend(fontsize=7, frameon=False)
        axis.set_ylim(-0.3, len(names))
        save(figure, path)
        return True
    return plot


def plot_growth(prefix, panels):
    """A plot of lines by the number at the end of a case's name: in each panel (title, fields) a
    line for each field, and for each engine that stands between prefix and number."""
    def plot(results, path):
        names = results.names(prefix)
        engines = sorted({name.removeprefix(prefix).rpartition("/")[0] for name in names})
        if not names:
            return False
        figure, axes = plt.subplots(1, len(panels), figsize=(3.3 * len(panels), 2.8))
        for axis, (title, fields) in zip(axes, panels):
            for engine in engines:
                plot_growth_lines(results, axis, prefix, engine, fields)
            axis.set_xscale("log")
            axis.set_yscale("symlog", linthresh=1)
            axis.set_ylim(0, 2 * axis.dataLim.ymax)
            axis.set_xlabel(prefix.split("/")[1])
            axis.set_title(title)
            axis.legend(fontsize=6, frameon=False)
        save(figure, path)
        return True
    return plot


def plot_growth_lines(results, axis, prefix, engine, fields):
    names = results.names(f"{prefix}{engine}/" if engine else prefix)
    for field, style in zip(fields, ("-", "--", ":")):
        axis.plot([int(name.rpartition("/")[2]) for name in names],
                  [results.median(name, field) for name in names], marker="o", markersize=3,
                  linestyle=style, label=f"{engine} {field}".strip(), color=COLOURS.get(engine))


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
        ["load before a group (1 min)",
         f"median {statistics.median(results.loads):.1f}, most {max(results.loads):.1f}"],
        ["commit", ", ".join(sorted(results.commits))],
        ["items, seconds a case", f"{results.context.get('items')}, "
                                  f"{float(results.context.get('seconds', 0)):g}"],
        ["rounds", str(len(results.rounds))],
    ])


PERCENTILES = (("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("p99.9_us", "p99.9 µs"))
HOLDINGS = (("rss_mb", "memory MB"), ("fds", "fds"), ("files", "files"), ("disk_mb", "disk MB"))
# Title, what is to be known, the cases' prefix, columns, picture.
SECTIONS = (
    ("## Reads",
     "Of items of 100 bytes: in files, a few that caches have, in the write buffer, absent;\n"
     "ranges of 100 items.",
     "read/", ((RATE, "reads/s"),) + PERCENTILES, "bench-reads.svg"),
    ("## Scans of a stream",
     "Bytes are those of keys and images. Cold: the page cache had nothing of the files.",
     "stream_scan/", (("bytes_per_second", "bytes/s"), (RATE, "records/s")), "bench-scans.svg"),
    ("## From commit to reader",
     "From the call of the write to the record in the reader's hands, one record at a time, the\n"
     "reader asleep. A p99.9 is what a thousandth of the records exceeded: a few of a round.",
     "latency/", PERCENTILES + (("records", "records a round"),), "bench-latency.svg"),
    ("## Recovery", "An opening after the process was killed, with nothing drained.",
     "recovery/", (("real_time", "ms"), ("bytes_per_second", "user bytes/s")),
     "bench-recovery.svg"),
    ("## Space",
     "Overwrites of loaded items, caught up. Kept: more than before, without the logs (journal,\n"
     "WAL), whose size stands beside it.",
     "space/", (("written_per_user_byte", "bytes written a user byte"),
                ("kept_per_user_byte", "bytes kept a user byte"), ("log_mb", "logs MB"),
                ("disk_busy", "disk busy"), (RATE, "writes/s")), "bench-space.svg"),
    ("## Growth\n\n### Items", "The engine's catching up is part of a put's time.",
     "growth/items/", (("put_us", "put µs"), ("get_us", "get µs")) + HOLDINGS,
     "bench-growth-items.svg"),
    ("### Tables",
     "Each with a stream of four shards; as many items and writes in all. A put's time has its\n"
     "fan-out in it. First puts make the shards' files.",
     "growth/tables/",
     (("put_us", "put µs"), ("call_us", "its call alone µs"), ("first_put_us", "first puts µs"),
      ("get_us", "get µs"), ("create_ms", "create ms"), ("drop_ms", "drop ms"),
      ("open_ms", "open ms"), ("close_ms", "close ms"), ("checkpoint_ms", "checkpoint ms"),
      ("checkpoint_one_ms", "checkpoint of one ms")) + HOLDINGS, "bench-growth-tables.svg"),
    ("### Waiting readers",
     "Threads that wait at one shard: a put elsewhere, which wakes none; a put to their shard\n"
     "until the last of them has it, with the processor time of all; and when each had it.",
     "growth/readers/", (("quiet_put_us", "put elsewhere µs"), ("all_woken_us", "all have it µs"),
                         ("cpu_us", "CPU µs")) + PERCENTILES[:2] + HOLDINGS[:2],
     "bench-growth-readers.svg"),
    ("### Shards",
     "Of one stream. A put's time has its fan-out in it. First puts make the shards' files.",
     "growth/shards/", (("put_us", "put µs"), ("call_us", "its call alone µs"),
                        ("first_put_us", "first puts µs"),
                        ("checkpoint_ms", "checkpoint ms")) + HOLDINGS,
     "bench-growth-shards.svg"),
    ("### Idle",
     "What the process does while nobody calls, and what the round of upkeep takes that a store\n"
     "has each `maintenance_interval_ms` (a minute).",
     "growth/", (("idle_cpu_ms_per_s", "CPU ms a second"),
                 ("idle_wakes_per_s", "wake-ups a second"),
                 ("upkeep_cpu_ms", "CPU ms of a round of upkeep")), None),
)
COSTS = ("µs", ("put_us", "get_us"))
PLOTS = {
    "bench-targets.svg": plot_targets,
    "bench-writes.svg": plot_writes,
    "bench-reads.svg": plot_cases("read/", ((RATE, "", 1e3),), "thousand reads/s"),
    "bench-scans.svg": plot_cases("stream_scan/", (("bytes_per_second", "", 1e9),), "GB/s"),
    "bench-latency.svg": plot_cases("latency/", tuple((field, title, 1)
                                                      for field, title in PERCENTILES),
                                    "µs", scale="log"),
    "bench-recovery.svg": plot_cases("recovery/", (("real_time", "", 1e3),), "seconds"),
    "bench-space.svg": plot_cases("space/", (("written_per_user_byte", "written", 1),
                                             ("kept_per_user_byte", "kept", 1)),
                                  "bytes a user byte"),
    "bench-growth-items.svg": plot_growth("growth/items/", (
        COSTS, ("MB", ("rss_mb", "disk_mb")), ("descriptors and files", ("fds", "files")))),
    "bench-growth-tables.svg": plot_growth("growth/tables/", (
        COSTS, ("ms", ("create_ms", "drop_ms", "open_ms")), ("MB", ("rss_mb", "disk_mb")),
        ("descriptors and files", ("fds", "files")))),
    "bench-growth-readers.svg": plot_growth("growth/readers/", (
        ("µs", ("quiet_put_us", "all_woken_us")), ("µs from put to reader", ("p50_us", "p99_us")),
        ("CPU µs of a put that wakes all", ("cpu_us",)))),
    "bench-growth-shards.svg": plot_growth("growth/shards/", (
        ("µs", ("put_us",)), ("MB", ("rss_mb", "disk_mb")),
        ("descriptors and files", ("fds", "files")))),
}


def section(results, pictures, title, text, prefix, fields, file):
    body = plain_table(results, prefix, fields)
    if not body:
        return []
    return [f"{title}\n", f"{text}\n", picture(pictures, title.split("# ")[-1], file), body]


def picture(pictures, text, file):
    return f"![{text}](pictures/{file})\n" if file in pictures else ""


def introduction(results):
    text = (
        "Machines are shared and differ, so rates say little and ratios within a round more:\n"
        "every case ran once a round, beside its rivals. A rate counts the time that the engine\n"
        "needed to catch up (fan-out, drain, flush, compaction). All have the same memory, and\n"
        "items as users encode them. What the rivals are is said in `bench/engine.h` and\n"
        "`bench/redis_bench.cc`.\n\n"
        "Figures are medians over rounds. Spread is the way from the lowest to the highest round,\n"
        "as a share of the median; a grey line in plots. With fewer than "
        f"{ROUNDS_MIN} rounds nothing is\nsaid to be reached.\n")
    for name, why in sorted(results.skipped.items()):
        text += f"\nNot measured: {name} ({why}).\n"
    return text


def report(results, command, pictures):
    parts = [
        "# Benchmarks\n",
        f"Measured on {datetime.date.today().isoformat()} by `{command.strip()}`, which writes "
        "this page.\n",
        machine(results),
        introduction(results),
        "## What should be reached\n",
        picture(pictures, "Ratios against their goals", "bench-targets.svg"),
        target_table(results),
    ]
    writes = write_tables(results)
    if writes:
        parts += ["## Writes\n", picture(pictures, "Writes a second", "bench-writes.svg"), writes]
    for each in SECTIONS:
        parts += section(results, pictures, *each)
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
    for file, plot in PLOTS.items():
        if plot(results, directory / file):
            pictures.add(file)
    page = arguments.docs / "benchmarks.md"
    page.write_text(report(results, arguments.command, pictures))
    print(f"{page}: {len(results.cases)} cases in {len(results.rounds)} rounds")


if __name__ == "__main__":
    main()
