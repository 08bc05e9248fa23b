"""One measured run of a tool, and the targets it is run on."""
import json
import mmap
import os
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from churn_check import Checker
from tools import REPOSITORY, native

# Name: what it shows, program and arguments; parked.py takes threads, frames and megabytes of objects.
SCENARIOS = {
    "1t": ("one waiting thread", ["parked.py", "0", "3", "0"]),
    "100x30": ("100 waiting threads of 30 frames", ["parked.py", "100", "30", "0"]),
    "1000x10": ("1,000 waiting threads of 10 frames", ["parked.py", "1000", "10", "0"]),
    "deep900": ("one waiting thread, 900 frames deep", ["parked.py", "0", "900", "0"]),
    "heap": ("one waiting thread, 300 MB of objects", ["parked.py", "0", "3", "300"]),
    "churn1": ("one thread, its stack changing all the time", ["churn.py", "1"]),
    "churn4": ("four threads, their stacks changing all the time", ["churn.py", "4"]),
}
RING = 1 << 16
DEADLINE = 120
TIMED_OUT = -1


@dataclass
class Run:
    wall_ms: float
    user_ms: float
    sys_ms: float
    rss_mb: float
    status: int
    start_ns: int
    end_ns: int
    text: str


class Gaps:
    """The gaps in its own time that a thread of the target records: while it is watched, or all the time."""

    def __init__(self, path, always):
        self.always = always
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def __enter__(self):
        self.since = self.count()
        self.ask(1)
        return self

    def __exit__(self, *problem):
        self.ask(0)

    def ask(self, wanted):
        struct.pack_into("I", self.map, 8, wanted)
        until = time.monotonic() + DEADLINE
        while not self.always and struct.unpack_from("I", self.map, 12)[0] != wanted:
            assert time.monotonic() < until, "the thread that records gaps does not answer"
            time.sleep(0.0005)

    def count(self):
        return struct.unpack_from("Q", self.map, 0)[0]

    def longest_us(self, start_ns, end_ns):
        """The longest gap that overlaps this time."""
        longest = 0
        for index in range(max(self.since, self.count() - RING), self.count()):
            begin, end = struct.unpack_from("QQ", self.map, 16 + index % RING * 16)
            if begin < end_ns and end > start_ns:
                longest = max(longest, end - begin)
        return longest / 1000


class Target:
    """A running target, in place; `wrong` says what is wrong with a dump of it."""

    def __init__(self, scenario, interpreter, recorder=False):
        program, *arguments = SCENARIOS[scenario][1]
        self.directory = tempfile.TemporaryDirectory(prefix="pyattach-bench-")
        self.churns = program == "churn.py"
        gaps = Path(self.directory.name) / "gaps"
        if recorder:
            library = str(native("gaps", "-shared", "-fPIC"))
            arguments += ["--no-naps", "--tick", library, str(gaps)] if self.churns else [library, str(gaps)]
        folder = REPOSITORY / ("tests/programs" if self.churns else "benches")
        env = dict(pair.split("=", 1) for pair in interpreter["env"].split() if "=" in pair)
        command = [interpreter["python"], folder / program, *arguments]
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.facts = json.loads(self.process.stdout.readline())
        self.wait(len(self.facts["threads"]))
        self.gaps = Gaps(gaps, self.churns) if recorder else None

    def wait(self, threads):
        if self.churns:
            self.checker = Checker(self.facts)
            for _ in range(threads):
                assert self.process.stdout.readline() == "churning\n"
        else:
            # The thread that reported has to be gone.
            until = time.monotonic() + DEADLINE
            while len(os.listdir(f"/proc/{self.pid}/task")) != threads:
                assert time.monotonic() < until, "the target does not come to rest"

    def wrong(self, dump):
        """How many threads are missing or shown wrongly, of how many, and the kinds of faults."""
        if self.churns:
            verdicts = self.checker.verdicts(dump)
        else:
            known = {int(tid): frames for tid, frames in self.facts["threads"].items()}
            verdicts = {tid: differs(frames, dump.get(tid)) for tid, frames in known.items()}
        kinds = [kind for kind in verdicts.values() if kind]
        return len(kinds), len(verdicts), kinds

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self.stop()


def differs(known, shown):
    if shown is None:
        return "missing"
    if len(known) != len(shown):
        return "truncated"
    same = all(function in names and line == known_line and os.path.basename(file) == os.path.basename(known_file)
               for (names, known_file, known_line), (function, file, line) in zip(known, shown))
    return None if same else "wrong function or line"


def launch(command):
    """Runs a command and measures it; one that does not end in time is killed and counts as failed."""
    with tempfile.TemporaryDirectory(prefix="pyattach-bench-") as directory:
        report, output, errors = (Path(directory) / name for name in ("report", "output", "errors"))
        start = time.monotonic_ns()
        with open(output, "wb") as stdout, open(errors, "wb") as stderr:
            words = [str(native("launch")), str(report), *map(str, command)]
            try:
                subprocess.run(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, timeout=DEADLINE, check=True)
            except subprocess.TimeoutExpired:
                return Run(DEADLINE * 1e3, 0, 0, 0, TIMED_OUT, start, time.monotonic_ns(), "")
        start, end, user, system, peak, status = map(int, report.read_text().split())
        text = output.read_text(errors="replace")
        return Run((end - start) / 1e6, user / 1e3, system / 1e3, peak / 1024, status, start, end, text)


def idle_window(milliseconds=100):
    """A run of nothing, for the target's own noise."""
    start = time.monotonic_ns()
    time.sleep(milliseconds / 1000)
    return start, time.monotonic_ns()


def count_calls(command):
    """How many system calls a command makes."""
    with tempfile.NamedTemporaryFile(mode="r", prefix="pyattach-bench-") as counts:
        words = ["strace", "-f", "-c", "-U", "calls,name", "-o", counts.name, *map(str, command)]
        subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=10 * DEADLINE)
        totals = [line.split()[0] for line in counts.read().splitlines() if line.endswith("total")]
        return int(totals[0]) if totals else None
