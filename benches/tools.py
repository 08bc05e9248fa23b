"""The tools that are compared: how to get them, run them, and read the stacks out of what they print.

A dump is read into {thread id: [(function, file, line), ...]}, innermost frame first.
"""
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("py-spy==0.4.3", "pystack==1.7.2", "austin-dist==4.0.0")


@dataclass
class Tool:
    name: str
    command: Callable[[int], list]
    # None: what it prints leaves frames out, so it is measured and not checked.
    parse: Optional[Callable[[str], dict]]


def cache():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("PYATTACH_CACHE") or os.path.join(home, "pyattach"))


def interpreters():
    """The rows of the table that scripts/interpreters makes, by name."""
    table = cache() / "interpreters.tsv"
    if not table.exists():
        sys.exit(f"{table} is not there: run scripts/interpreters first")
    header, *rows = [line.split("\t") for line in table.read_text().splitlines()]
    return {row[0]: dict(zip(header, row)) for row in rows}


def interpreter(name):
    try:
        row = interpreters()[name]
    except KeyError:
        sys.exit(f"no interpreter {name}: run scripts/interpreters")
    if row["root"] != "/":
        sys.exit(f"{name} runs in a root of its own; measure one that does not")
    return row


def run(*command):
    finished = subprocess.run([str(word) for word in command], stdout=sys.stderr)
    if finished.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}")


def need_programs():
    """strace and a C compiler, from the distribution if the machine lacks them."""
    missing = [package for program, package in (("strace", "strace"), ("cc", "gcc")) if not shutil.which(program)]
    if missing:
        run("apt-get", "-q", "update")
        run("apt-get", "-q", "install", "-y", "--no-install-recommends", *missing)


def peers():
    """The directory with the peers' programs, installed from PyPI on the first call."""
    venv = cache() / "bench" / "venv"
    done = venv / "packages"
    if not done.exists() or done.read_text() != " ".join(PACKAGES):
        shutil.rmtree(venv, ignore_errors=True)
        run(sys.executable, "-m", "venv", venv)
        run(venv / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES)
        done.write_text(" ".join(PACKAGES))
    return venv / "bin"


def native(name, *flags):
    """A program or library compiled from benches/native."""
    source = REPOSITORY / "benches" / "native" / f"{name}.c"
    target = cache() / "bench" / (f"{name}.so" if "-shared" in flags else name)
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        run("cc", "-O2", "-Wall", *flags, "-o", target, source)
    return target


def build():
    built = subprocess.run([REPOSITORY / "scripts" / "build"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(built.stdout.strip())


def all_tools(binary):
    directory = peers()

    def stack(pid):
        return [binary, "stack", str(pid)]

    return [
        Tool("pyattach", lambda pid: [*stack(pid), "--json", "--no-waits"], parse_pyattach),
        Tool("pyattach, text", lambda pid: [*stack(pid), "--no-waits"], None),
        Tool("pyattach, waits", lambda pid: [*stack(pid), "--json"], parse_pyattach),
        Tool("pyattach, locals", lambda pid: [*stack(pid), "--json", "--no-waits", "--locals"], parse_pyattach),
        Tool("py-spy", lambda pid: [directory / "py-spy", "dump", "--full-filenames", "--pid", str(pid)], parse_pyspy),
        Tool("py-spy, locals", lambda pid: [directory / "py-spy", "dump", "--locals", "--pid", str(pid)], None),
        Tool("pystack", lambda pid: [directory / "pystack", "--no-color", "remote", str(pid)], parse_pystack),
        Tool("pystack, locals", lambda pid: [directory / "pystack", "--no-color", "remote", "--locals", str(pid)], None),
        Tool("austin", lambda pid: [*austin(directory), f"--where={pid}"], parse_austin),
    ]


def austin(directory):
    """The wheel needs a newer C library than some machines have: take the one of the newest Debian root."""
    binary = directory / "austin"
    if subprocess.run([binary, "--version"], capture_output=True).returncode == 0:
        return [binary]
    root = Path(interpreters()["debian-3.14"]["root"])
    return [root / "lib64/ld-linux-x86-64.so.2", "--library-path", root / "usr/lib/x86_64-linux-gnu", binary]


def parse_pyattach(text):
    threads = json.loads(text).get("threads", [])
    frame = lambda shown: (shown.get("function"), shown.get("file"), shown.get("line"))
    return {thread.get("tid"): [frame(shown) for shown in thread.get("frames", [])] for thread in threads}


def parse_lines(text, thread, frame):
    """Threads and frames by a regular expression each; the frame's groups are function, file and line."""
    stacks, current = {}, None
    for line in text.splitlines():
        if found := re.match(thread, line):
            current = stacks.setdefault(int(found["tid"]), [])
        elif current is not None and (found := re.match(frame, line)):
            current.append((found["function"], found["file"], int(found["line"])))
    return stacks


def parse_pyspy(text):
    frame = r"    (?P<function>\S.*) \((?P<file>.*):(?P<line>\d+)\)$"
    return parse_lines(text, r"Thread (?P<tid>\d+) ", frame)


def parse_pystack(text):
    frame = r'    \(Python\) File "(?P<file>.*)", line (?P<line>\d+), in (?P<function>.*)$'
    stacks = parse_lines(text, r"Traceback for thread (?P<tid>\d+) ", frame)
    return {tid: frames[::-1] for tid, frames in stacks.items()}


def parse_austin(text):
    frame = r"\s*(?P<function>\S.*) \((?P<file>.*):(?P<line>\d+)\)\s*$"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    stacks = parse_lines(plain, r".*Thread \d+:(?P<tid>\d+)", frame)
    return {tid: frames[::-1] for tid, frames in stacks.items()}
