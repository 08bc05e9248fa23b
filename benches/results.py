"""From measured runs to medians, a table in Markdown, and the verdict on what is demanded of pyattach."""
import os
import platform
from collections import Counter
from statistics import median

IDLE = ("1t", "100x30", "1000x10", "deep900", "heap")
# At most this share of py-spy's wall time.
SHARE_OF_PYSPY = {"1t": 0.5, "100x30": 0.1, "1000x10": 0.1}
SHARE_OF_PYSTACK = 0.1
SHARE_OF_AUSTIN = 1.0
# What threads wait for, and local variables: at most so much of the time of the tool named.
SHARES = {"pyattach, waits": (2.0, "pyattach"), "pyattach, locals": (0.3, "py-spy, locals")}
NOISE_US = 1000
MOST_CALLS = 6000
MOST_MEMORY_MB = 12
COLUMNS = "| tool | runs | wall ms | × py-spy | CPU ms | RSS MB | system calls | longest pause µs | failed dumps | wrong stacks |"


class Row:
    """What was measured of one tool in one scenario."""

    def __init__(self, name):
        self.name, self.runs, self.pauses, self.calls = name, [], [], None
        self.failed, self.wrong, self.stacks, self.kinds, self.checked = 0, 0, 0, Counter(), False

    def add(self, run, tool, target):
        self.runs.append(run)
        self.checked = bool(tool.parse)
        if run.status != 0:
            self.failed += 1
        elif tool.parse:
            wrong, stacks, kinds = target.wrong(tool.parse(run.text))
            self.wrong, self.stacks = self.wrong + wrong, self.stacks + stacks
            self.kinds.update(kinds)

    def middle(self, *fields):
        return median(sum(getattr(run, field) for field in fields) for run in self.runs) if self.runs else None

    @property
    def wall(self):
        return self.middle("wall_ms")

    @property
    def memory(self):
        return self.middle("rss_mb")

    @property
    def pause(self):
        return median(self.pauses) if self.pauses else None

    def cells(self, reference):
        if not self.runs:  # the row of the target alone
            return [self.name, len(self.pauses), "", "", "", "", "", number(self.pause, 0), "", ""]
        ratio = self.wall / reference.wall if reference and reference.runs else None
        wrong = f"{self.wrong} of {self.stacks}" if self.checked else "not checked"
        if self.kinds:
            wrong += " (" + ", ".join(f"{kind} {count}" for kind, count in self.kinds.most_common()) + ")"
        failed = f"{self.failed} of {len(self.runs)}"
        cpu = self.middle("user_ms", "sys_ms")
        return [self.name, len(self.runs), number(self.wall), number(ratio, 2), number(cpu), number(self.memory),
                number(self.calls, 0), number(self.pause, 0), failed, wrong]


def number(value, digits=1):
    return "–" if value is None else f"{value:,.{digits}f}"


def table(title, rows):
    lines = [f"### {title[0].upper()}{title[1:]}", "", COLUMNS, "|---" + "|---:" * 9 + "|"]
    reference = rows.get("py-spy")
    for row in rows.values():
        lines.append("| " + " | ".join(str(cell) for cell in row.cells(reference)) + " |")
    return "\n".join(lines) + "\n"


def page(command, interpreters, tables):
    return "\n".join([
        "# Benchmarks",
        "",
        "pyattach beside py-spy 0.4.3 (`dump`), pystack 1.7.2 (`remote`) and austin 4.0.0 (`--where`). Made by:",
        "",
        f"    {command}",
        "",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}. CPython {interpreters}.",
        "",
        "The tools run in turns on the same target, in another order each turn, and the figures are medians: compare within a table. System calls come",
        "from a run of their own under strace. A wrong stack is one that differs from what the target knows of itself or,",
        "with changing stacks, one that cannot exist.",
        "",
        "The longest pause is what the target sees: the longest gap between the clock readings of one of its own threads",
        "while the tool runs. With waiting threads it is one more thread, which spins without the GIL; with one changing",
        "stack it is that very thread. It has real-time priority where that is allowed. `nothing` is the target left alone",
        "for 100 ms.",
        "",
        "`pyattach` is run with `--json --no-waits` and `pyattach, text` with `--no-waits`, as no peer says what threads wait",
        "for; `pyattach, waits` is `--json` alone. `locals` is with `--locals`. austin shows no names, thread states or GIL and",
        "never stops the target, which is why its changing stacks are often wrong. Where the machine's C library is too old for",
        "austin's wheel it is started by the loader of a newer one.",
        "",
        "asyncio's tasks are the last tables: `pyattach tasks --json` and `pyattach tasks` beside `python -m asyncio ps` of the",
        "target's own interpreter. Wrong is a dump with another number of tasks than the target has.",
        "",
        *tables,
    ])


def misses(results):
    """Where pyattach misses what is demanded of it; results: {scenario: {tool: Row}}."""
    found = []

    def demand(holds, words):
        if not holds:
            found.append(words)

    for scenario, rows in results.items():
        for name in ("pyattach", "pyattach, text"):
            if name in rows and rows[name].runs:
                demand_of(demand, scenario, rows, rows[name])
        for name, (share, other) in SHARES.items():
            if scenario in IDLE and all(each in rows and rows[each].runs for each in (name, other)):
                ratio = rows[name].wall / rows[other].wall
                demand(ratio < share, f"{scenario}: {name} takes {ratio:.2f} × {other}, allowed {share}")
                demand(not rows[name].failed, f"{scenario}: {rows[name].failed} dumps of {name} failed")
    quiet = {scenario: excess(rows) for scenario, rows in results.items() if scenario in ("1t", "1000x10")}
    for scenario, pause in quiet.items():
        demand(pause is None or pause <= NOISE_US, f"{scenario}: pauses {number(pause)} µs above the target's own noise")
    return found


def demand_of(demand, scenario, rows, row):
    def at_most(share, other):
        if scenario in IDLE and other in rows and rows[other].runs:
            ratio = row.wall / rows[other].wall
            demand(ratio <= share, f"{scenario}: {row.name} takes {ratio:.2f} × {other}, allowed {share}")

    at_most(SHARE_OF_PYSPY.get(scenario, 1.0), "py-spy")
    at_most(SHARE_OF_PYSTACK, "pystack")
    at_most(SHARE_OF_AUSTIN, "austin")
    demand(row.memory <= MOST_MEMORY_MB, f"{scenario}: {row.name} takes {row.memory:.1f} MB, allowed {MOST_MEMORY_MB}")
    demand(not row.failed, f"{scenario}: {row.failed} dumps of {row.name} failed")
    demand(not row.wrong, f"{scenario}: {row.wrong} stacks of {row.name} are wrong: {dict(row.kinds)}")
    if scenario == "1000x10":
        demand((row.calls or 0) <= MOST_CALLS, f"{scenario}: {row.name} makes {row.calls} system calls")


def excess(rows):
    """How much longer pyattach's pause is than what the target sees when left alone."""
    if "pyattach" not in rows or "nothing" not in rows or None in (rows["pyattach"].pause, rows["nothing"].pause):
        return None
    return rows["pyattach"].pause - rows["nothing"].pause
