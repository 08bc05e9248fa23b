"""How long it takes from a command to the first line of a script in a process, beside other tools that run one; and for how
long other threads of the process are kept from going on.

The script notes the monotonic clock, which all processes share, in a file; a tool that has not run it after LIMIT seconds has
failed. Each run has a target of its own.
"""
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure as gaps_of
import tools

LIMIT = 10
# A tool that has failed so often in a row of the table is not run there again.
PATIENCE = 2
# At most this share of the fastest other tool's median.
SHARE = 0.5
# At most so much longer is the longest gap in another thread's own time than when nothing is done.
PAUSE_US = 2000
TARGETS = {
    "busy": "while True: pass",
    "contention": "import threading\ndef f():\n    while True: pass\n[threading.Thread(target=f, daemon=True).start() for _ in range(8)]\nf()",
    "sleep": "import time\nwhile True: time.sleep(1000)",
    "recv": "import socket\na, b = socket.socketpair()\na.recv(1)",
    "lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "epoll": "import asyncio\nasyncio.new_event_loop().run_forever()",
}


# Main threads, beside which another thread of the target keeps time.
WATCHED = {"busy": "while True: pass", "sleep": "import time\nwhile True: time.sleep(1000)"}
WATCHER = """
import ctypes, os, sys, threading
gaps = ctypes.PyDLL(sys.argv[1]) if sys.argv[3] == "python" else ctypes.CDLL(sys.argv[1])
def watch():
    gaps.open_gaps(sys.argv[2].encode())
    if sys.argv[3] == "native":
        gaps.spin()
    # It goes before no other: the one that has the GIL would have to wait for it.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    while True:
        gaps.tick()
threading.Thread(target=watch, daemon=True).start()
print(flush=True)
"""


def hypno():
    """hypno from PyPI, or None when it does not install."""
    venv = tools.cache() / "bench" / "hypno"
    program = venv / "bin" / "hypno"
    if not program.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", venv], check=True, stdout=sys.stderr)
            subprocess.run([venv / "bin" / "pip", "install", "--quiet", "hypno==1.1.0"], check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError:
            shutil.rmtree(venv, ignore_errors=True)
            return None
    return program if program.exists() else None


def commands(binary, python, version):
    """Each tool as a function from PID and script to a command."""
    found = {"pyattach": lambda pid, script: [binary, "exec", pid, script]}
    if version >= (3, 14):
        code = "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])"
        found["sys.remote_exec"] = lambda pid, script: [python, "-c", code, pid, script]
    program = hypno()
    if program is not None:
        found["hypno"] = lambda pid, script: [program, pid, Path(script).read_text()]
    if shutil.which("gdb"):
        found["gdb"] = lambda pid, script: [
            "gdb", "-nx", "-q", "-batch", "-p", pid, "-ex", "call (int) PyGILState_Ensure()",
            "-ex", f'call (int) PyRun_SimpleString("exec(open(\\"{script}\\").read())")', "-ex", "call (void) PyGILState_Release($1)"]
    return found


class Target:
    def __init__(self, python, code):
        self.command = [python, "-c", "print(flush=True)\n" + code]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.process.stdout.readline()
        # It is in place when it has gone on for a while after its line.
        time.sleep(0.2)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def once(command, target, folder):
    """Milliseconds to the first line; None when it did not run."""
    answer = folder / "answer"
    script = folder / "script.py"
    script.write_text(f"import time; t = time.monotonic(); f = open({str(answer) + '.new'!r}, 'w'); f.write(repr(t)); f.close(); "
                      f"import os; os.rename({str(answer) + '.new'!r}, {str(answer)!r})")
    begin = time.monotonic()
    tool = subprocess.Popen([str(word) for word in command(str(target.process.pid), str(script))],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while time.monotonic() < begin + LIMIT:
            if answer.exists():
                took = (float(answer.read_text()) - begin) * 1000
                answer.unlink()
                try:
                    tool.wait(LIMIT)
                except subprocess.TimeoutExpired:
                    return None
                return took
            time.sleep(0.0005)
        return None
    finally:
        tool.kill()
        tool.wait()


def measured(binary, interpreter, rounds):
    """{target: {tool: Row}}."""
    python = interpreter["python"]
    version = tuple(int(part) for part in interpreter["version"].split(".")[:2])
    rows = {}
    for name, code in TARGETS.items():
        found = commands(binary, python, version)
        rows[name] = {tool: Row() for tool in found}
        for _ in range(rounds):
            for tool, command in found.items():
                row = rows[name][tool]
                if len(row.times) == 0 and row.runs >= PATIENCE:
                    continue
                target = Target(python, code)
                with tempfile.TemporaryDirectory() as folder:
                    row.add(once(command, target, Path(folder)), target.process.poll() is not None)
                target.stop()
    return rows


class Row:
    """What came of one tool with one target."""

    def __init__(self):
        self.times, self.runs, self.lost = [], 0, 0

    def add(self, took, is_lost):
        self.runs += 1
        self.lost += is_lost
        if took is not None:
            self.times.append(took)

    @property
    def median(self):
        return statistics.median(self.times) if self.times else None


def fastest_peer(rows):
    """Name and median of the fastest tool but pyattach; None when no other ran."""
    peers = [(row.median, tool) for tool, row in rows.items() if tool != "pyattach" and row.median is not None]
    return min(peers, default=None)


def table(interpreter, measured_rows):
    lines = [f"### Until the first line, CPython {interpreter['version']}", "",
             "| the main thread | tool | median ms | × fastest peer | slowest ms | ran | targets ended |", "|---|---|---:|---:|---:|---:|---:|"]
    for name, rows in measured_rows.items():
        peer = fastest_peer(rows)
        for tool, row in rows.items():
            known = row.median is not None
            ratio = f"{row.median / peer[0]:.2f}" if known and peer else "–"
            middle, slowest = (f"{row.median:.1f}", f"{max(row.times):.1f}") if known else ("–", "–")
            cells = (name, tool, middle, ratio, slowest, f"{len(row.times)} of {row.runs}", str(row.lost))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def misses(interpreter, measured_rows):
    """Where pyattach misses what is demanded of it."""
    found = []
    for name, rows in measured_rows.items():
        where, own, peer = f"exec, CPython {interpreter['version']}, {name}", rows["pyattach"], fastest_peer(rows)
        if len(own.times) < own.runs or own.lost:
            found.append(f"{where}: ran {len(own.times)} of {own.runs}, {own.lost} targets ended")
        if own.median is not None and peer and own.median > SHARE * peer[0]:
            found.append(f"{where}: the first line takes {own.median / peer[0]:.2f} × {peer[1]}, allowed {SHARE}")
    return found


def pauses(binary, interpreter, rounds):
    """{(target, kind of watching thread): {tool: [longest gap in microseconds]}}; `nothing` is the target left alone."""
    python = interpreter["python"]
    version = tuple(int(part) for part in interpreter["version"].split(".")[:2])
    library = gaps_of.native("gaps", "-shared", "-fPIC")
    found = {}
    for name, code in WATCHED.items():
        # Where both run Python, they take turns of 5 ms anyway.
        for kind in ("native", "python") if name == "sleep" else ("native",):
            tools_of = {"nothing": None, **commands(binary, python, version)}
            rows = found[name, kind] = {tool: [] for tool in tools_of}
            for _ in range(rounds):
                for tool, command in tools_of.items():
                    gap = longest_gap(python, code, kind, library, command)
                    if gap is not None:
                        rows[tool].append(gap)
    return found


def longest_gap(python, code, kind, library, command):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gaps"
        target = subprocess.Popen([python, "-c", WATCHER + code, str(library), str(path), kind],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            target.stdout.readline()
            time.sleep(0.2)
            gaps = gaps_of.Gaps(path, always=kind == "python")
            script = Path(folder) / "script.py"
            script.write_text("pass")
            with gaps:
                begin = time.monotonic_ns()
                if command is None:
                    time.sleep(0.05)
                else:
                    words = [str(word) for word in command(str(target.pid), str(script))]
                    subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=LIMIT)
                    # By CPython's own protocol the script may run later than the command ends.
                    time.sleep(0.02)
                end = time.monotonic_ns()
            return gaps.longest_us(begin, end)
        except (subprocess.TimeoutExpired, AssertionError):
            return None
        finally:
            target.kill()
            target.wait()
            target.stdout.close()


KINDS = {"native": "computes in C, without the GIL", "python": "runs Python"}


def table_of_pauses(interpreter, found):
    threaded = ", free-threaded" if "free-threaded" in interpreter["kind"] else ""
    lines = [f"### Other threads, CPython {interpreter['version']}{threaded}", "",
             "| the main thread | another thread | tool | longest gap, median µs | longest gap of all µs |", "|---|---|---|---:|---:|"]
    for (name, kind), rows in found.items():
        for tool, gaps in rows.items():
            middle, longest = (f"{statistics.median(gaps):,.0f}", f"{max(gaps):,.0f}") if gaps else ("–", "–")
            lines.append(f"| {name} | {KINDS[kind]} | {tool} | {middle} | {longest} |")
    return "\n".join(lines) + "\n"


def misses_of_pauses(interpreter, found):
    words = []
    for (name, kind), rows in found.items():
        own, idle = rows["pyattach"], rows["nothing"]
        where = f"exec, CPython {interpreter['version']}, {name}: another thread, which {KINDS[kind]},"
        if not own or not idle:
            words.append(f"{where} was not measured")
            continue
        excess = statistics.median(own) - statistics.median(idle)
        if excess > PAUSE_US:
            words.append(f"{where} was kept for {excess:,.0f} µs more than when nothing was done, allowed {PAUSE_US:,}")
    return words


def page(command, load, tables):
    return "\n".join([
        "# Benchmarks of exec",
        "",
        "`pyattach exec` beside `sys.remote_exec` of the target's own interpreter, hypno 1.1.0 and gdb, which calls",
        "`PyRun_SimpleString`. Made by:",
        "",
        f"    {command}",
        "",
        f"Machine: {os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}; programs that wanted to run when it began:",
        f"{load:.1f} (load average of a minute; with more than a few tenths, times are longer than those of pyattach's own).",
        "",
        "Until the first line: from the start of the command to the first line of the script in the process. Each run has a",
        f"process of its own; a tool that has not run the script after {LIMIT} s has failed, and after {PATIENCE} failures alone it is not run",
        "again. `contention` is nine threads that compute: what remains there is waiting for the GIL, in turns of 5 ms.",
        "",
        "Other threads: the longest gap between the clock readings of another thread of the process while the tool runs. One that",
        "computes in C, with real-time priority where that is allowed, shows whether it was stopped; one that runs Python, also for",
        "how long the script and the code around it had the GIL. `nothing` is the process left alone.",
        "",
        *tables,
    ])


def main(binary, chosen, build_command):
    """All of it: the page, and what was missed."""
    rounds, tables, missed, load = chosen.rounds or (3 if chosen.quick else 5), [], [], os.getloadavg()[0]
    names = chosen.interpreter or ["3.14", "3.11"]
    jobs = [(name, False) for name in names] + [(name, True) for name in chosen.interpreter or [*names, "3.14t"]]
    for name, is_pause in jobs:
        interpreter = tools.interpreter(name)
        print(f"{name}, {'other threads' if is_pause else 'until the first line'}", file=sys.stderr, flush=True)
        found = (pauses if is_pause else measured)(binary, interpreter, rounds)
        tables.append((table_of_pauses if is_pause else table)(interpreter, found))
        missed += (misses_of_pauses if is_pause else misses)(interpreter, found)
    return page(build_command, load, tables), missed
