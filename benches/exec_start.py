"""How long it takes from a command to the first line of a script in a process, beside other tools that run one.

The script notes the monotonic clock, which all processes share, in a file; a tool that has not run it after LIMIT seconds has
failed. Targets that a tool has hung or ended are started anew, and counted.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tools

LIMIT = 10
TARGETS = {
    "busy": "while True: pass",
    "contention": "import threading\ndef f():\n    while True: pass\n[threading.Thread(target=f, daemon=True).start() for _ in range(8)]\nf()",
    "sleep": "import time\nwhile True: time.sleep(1000)",
    "recv": "import socket\na, b = socket.socketpair()\na.recv(1)",
    "lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "epoll": "import asyncio\nasyncio.new_event_loop().run_forever()",
}


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
        self.lost = 0
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


def measure(binary, interpreter, rounds):
    """The rows of a table: scenario, tool, median, slowest, how many ran."""
    python = interpreter["python"]
    version = tuple(int(part) for part in interpreter["version"].split(".")[:2])
    rows = []
    for name, code in TARGETS.items():
        found = commands(binary, python, version)
        times = {tool: [] for tool in found}
        lost = dict.fromkeys(found, 0)
        for _ in range(rounds):
            for tool, command in found.items():
                target = Target(python, code)
                with tempfile.TemporaryDirectory() as folder:
                    took = once(command, target, Path(folder))
                if took is not None:
                    times[tool].append(took)
                if target.process.poll() is not None:
                    lost[tool] += 1
                target.stop()
        for tool in found:
            known = times[tool]
            middle = f"{statistics.median(known):.1f}" if known else "-"
            slowest = f"{max(known):.1f}" if known else "-"
            rows.append((name, tool, middle, slowest, f"{len(known)} of {rounds}", str(lost[tool])))
    return rows


def page(interpreter, rows):
    lines = [f"Time from the command to the first line of a script, CPython {interpreter['version']}", "",
             "| the main thread | tool | median ms | slowest ms | ran | targets ended |", "|---|---|---|---|---|---|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"
