"""`pyattach tasks` beside `python -m asyncio ps` of the target's own interpreter, on targets with many tasks."""
import json
import os
import subprocess
from statistics import median

import measure
import tools

SCENARIOS = {"tasks10": 10, "tasks1000": 1000, "tasks100000": 100_000}
INTERPRETERS = ("3.14", "3.15t")
# At most this share of the time of `asyncio ps`; at most so long and so much memory for the most tasks.
SHARE = 0.1
MOST_SECONDS = 2
MOST_MEMORY_MB = 200
COLUMNS = "| tool | runs | wall ms | × asyncio ps | CPU ms | RSS MB | failed | wrong |"


class Target:
    """A process with so many tasks, all of them waiting."""

    def __init__(self, count, interpreter):
        env = dict(pair.split("=", 1) for pair in interpreter["env"].split() if "=" in pair)
        command = [interpreter["python"], tools.REPOSITORY / "benches" / "tasks_target.py", str(count)]
        self.process = subprocess.Popen(command, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
        facts = json.loads(self.process.stdout.readline())
        self.pid, self.tasks = facts["pid"], facts["tasks"]

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def tools_of(binary, interpreter):
    """Each tool's name, command, and how to count the tasks in what it prints."""
    return {
        "pyattach": (lambda pid: [binary, "tasks", pid, "--json"], count_of_json),
        "pyattach, text": (lambda pid: [binary, "tasks", pid], None),
        "asyncio ps": (lambda pid: [interpreter["python"], "-m", "asyncio", "ps", pid], count_of_table),
    }


def count_of_json(text):
    report = json.loads(text)
    # Tasks that were stopped for this would be wrong, too: the target is idle.
    return len(report["tasks"]) if report["snapshot"]["mode"] == "none" else None


def count_of_table(text):
    return len({line.split()[1] for line in text.splitlines()[2:] if line})


def measured(scenario, interpreter, binary, rounds):
    """Runs of each tool by its name, and how many of them were wrong."""
    commands = tools_of(binary, interpreter)
    runs, wrong = {name: [] for name in commands}, dict.fromkeys(commands, 0)
    with Target(SCENARIOS[scenario], interpreter) as target:
        for round in range(rounds + 1):
            for name, (command, count) in commands.items():
                run = measure.launch(command(target.pid))
                # The first does not count: files come into the page cache.
                if round:
                    runs[name].append(run)
                    wrong[name] += bool(count) and run.status == 0 and count(run.text) != target.tasks
    return runs, wrong


def middle(runs, *fields):
    return median(sum(getattr(run, field) for field in fields) for run in runs)


def table(scenario, interpreter, runs, wrong):
    title = f"{SCENARIOS[scenario]:,} asyncio tasks (`{scenario}`), CPython {interpreter['version']}"
    if "t" in interpreter["name"]:
        title += ", free-threaded"
    lines = [f"### {title}", "", COLUMNS, "|---" + "|---:" * 7 + "|"]
    reference = middle(runs["asyncio ps"], "wall_ms")
    for name, own in runs.items():
        wall, cpu, memory = middle(own, "wall_ms"), middle(own, "user_ms", "sys_ms"), middle(own, "rss_mb")
        failed = sum(run.status != 0 for run in own)
        lines.append(f"| {name} | {len(own)} | {wall:,.1f} | {wall / reference:.3f} | {cpu:,.1f} | {memory:,.1f} "
                     f"| {failed} | {wrong[name]} |")
    return "\n".join(lines) + "\n"


def misses(scenario, runs, wrong):
    """Where pyattach misses what is demanded of it."""
    found = []
    reference = middle(runs["asyncio ps"], "wall_ms")
    for name in ("pyattach", "pyattach, text"):
        wall, memory = middle(runs[name], "wall_ms"), middle(runs[name], "rss_mb")
        # What fails has no time to compare with.
        if wall > SHARE * reference and not any(run.status for run in runs["asyncio ps"]):
            found.append(f"{scenario}: {name} takes {wall / reference:.3f} × asyncio ps, allowed {SHARE}")
        if wall > MOST_SECONDS * 1000:
            found.append(f"{scenario}: {name} takes {wall / 1000:.2f} s, allowed {MOST_SECONDS}")
        if memory > MOST_MEMORY_MB:
            found.append(f"{scenario}: {name} takes {memory:.1f} MB, allowed {MOST_MEMORY_MB}")
        if wrong[name] or any(run.status for run in runs[name]):
            found.append(f"{scenario}: {name} fails, or shows another number of tasks")
    return found
