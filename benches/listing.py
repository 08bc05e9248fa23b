"""Measures `pyattach ps` on a machine with many processes, beside `ps aux`, which does not look into them."""
import json
import os
import subprocess
import time

import measure
import results
from tools import REPOSITORY

OTHERS = 250
PYTHONS = 50
TITLE = f"listing {OTHERS + PYTHONS} more processes, {PYTHONS} of them Python (`ps`)"
COLUMNS = "| tool | runs | wall ms | CPU ms | RSS MB | system calls | processes |"


class Crowd:
    """Processes that wait, some of them Python, until they are killed."""

    def __init__(self, interpreter):
        env = dict(pair.split("=", 1) for pair in interpreter["env"].split() if "=" in pair)
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env}
        python = [interpreter["python"], REPOSITORY / "benches/parked.py", "0", "3", "0"]
        self.pythons = [subprocess.Popen(python, env=env, stdout=subprocess.PIPE) for _ in range(PYTHONS)]
        self.others = [subprocess.Popen(["sleep", "1000000"]) for _ in range(OTHERS)]

    def __enter__(self):
        for process in self.pythons:
            process.stdout.readline()
        until = time.monotonic() + measure.DEADLINE
        while any(name(process.pid) != "sleep" for process in self.others):
            assert time.monotonic() < until, "the other processes do not start"
        return self

    def __exit__(self, *problem):
        for process in self.pythons + self.others:
            process.kill()
        for process in self.pythons + self.others:
            process.wait()

    def missing(self, listed):
        """How many of the Python processes are not in the list."""
        return len({process.pid for process in self.pythons} - listed)


def name(pid):
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def pids_of(text):
    return {process["pid"] for process in json.loads(text)["processes"] if process.get("python")}


def tools(binary):
    """Name, command, and how to read PIDs out of what it prints."""
    return [
        ("pyattach ps", [binary, "ps", "--json"], pids_of),
        ("pyattach ps, text", [binary, "ps"], None),
        ("ps aux", ["ps", "aux"], None),
    ]


def table(binary, interpreter, rounds):
    """The table in Markdown, and what was missed."""
    lines, missed = [f"### {TITLE[0].upper()}{TITLE[1:]}", "", COLUMNS, "|---" + "|---:" * 6 + "|"], []
    with Crowd(interpreter) as crowd:
        for tool, command, read in tools(binary):
            row = results.Row(tool)
            measure.launch(command)
            row.runs = [measure.launch(command) for _ in range(rounds)]
            failed = sum(run.status != 0 for run in row.runs)
            absent = max(crowd.missing(read(run.text)) for run in row.runs) if read and not failed else 0
            missed += [f"ps: {failed} runs of {tool} failed"] * bool(failed)
            missed += [f"ps: {absent} of {PYTHONS} processes are not listed by {tool}"] * bool(absent)
            listed = f"{PYTHONS - absent} of {PYTHONS}" if read and not failed else "not checked"
            calls = measure.count_calls(command)
            cells = [tool, rounds, results.number(row.wall), results.number(row.middle("user_ms", "sys_ms")),
                     results.number(row.memory), results.number(calls, 0), listed]
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n", missed
