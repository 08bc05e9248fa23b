"""What the target in churn.py says about itself, so that others can tell which of its stacks can exist.

Every path of calls is a node: (function, parent node, line of the call in the parent). `Announcements` prints the nodes,
the functions, and what lies outside of each thread's `worker`, as one line of JSON.
"""
import dis
import json
import os
import re
import sys
import threading

MADE_CYCLE = 7  # made code objects begin with up to so many empty lines


class Watcher:
    """Notes every path of calls below the function `root`: nodes (function, parent node, line of the call in the parent)."""

    def __init__(self, root):
        self.root = root.__code__
        self.functions, self.known_functions, self.by_code = [], {}, {}
        self.nodes, self.known_nodes, self.running = [], {}, {}

    def event(self, frame, event, argument):
        if event == "call":
            self.enter(frame)
        elif event == "return":
            self.running.pop(id(frame), None)

    def enter(self, frame):
        back = frame.f_back
        parent, line = self.running.get(id(back), -1), 0
        if parent == -1 and frame.f_code is not self.root:
            return
        if parent != -1:
            line = back.f_lineno - made_lines(back.f_code)
        entry = (self.function(frame), parent, line)
        if entry not in self.known_nodes:
            self.known_nodes[entry] = len(self.nodes)
            self.nodes.append(entry)
        self.running[id(frame)] = self.known_nodes[entry]

    def function(self, frame):
        code = frame.f_code
        if code in self.by_code:
            return self.by_code[code]
        description = describe(frame)
        identity = (description["file"], description["name"], description["lines"][0])
        if identity not in self.known_functions:
            self.known_functions[identity] = len(self.functions)
            self.functions.append(description)
        self.by_code[code] = self.known_functions[identity]
        return self.by_code[code]


def general(text):
    return re.sub(r"^(<?made)[-_]\d+(>?)$", r"\1\2", text)


def made_lines(code):
    found = re.match(r"<made-(\d+)>", code.co_filename)
    return int(found.group(1)) % MADE_CYCLE if found else 0


def lines_of(code):
    """The lines a frame can be at. Those of made code count from its own first line."""
    if hasattr(code, "co_lines"):
        lines = {line for start, end, line in code.co_lines() if line and end > start}
    else:
        lines = {line for offset, line in dis.findlinestarts(code)}
    return sorted({max(1, line - made_lines(code)) for line in lines | {code.co_firstlineno}})


def has_instructions_without_line(code):
    """As where an exception passes through `finally` or leaves a generator (3.10 on)."""
    return hasattr(code, "co_lines") and any(line is None and end > start for start, end, line in code.co_lines())


def describe(frame):
    code = frame.f_code
    skipped = made_lines(code)
    flags = {32: "generator", 128: "coroutine", 512: "async_generator"}
    kinds = [kind for flag, kind in flags.items() if code.co_flags & flag]
    plain = "module" if code.co_name == "<module>" else "function" if code.co_flags & 1 else "class"
    positions = set(code.co_positions()) if hasattr(code, "co_positions") else ()
    return {
        "name": general(code.co_name),
        "qualname": general(getattr(code, "co_qualname", code.co_name)),
        "module": general(frame.f_globals.get("__name__", "")),
        "file": general(code.co_filename),
        "kind": (kinds or [plain])[0],
        "lines": lines_of(code),
        "lineless": has_instructions_without_line(code),
        "positions": sorted([p[0] - skipped, p[1] - skipped, p[2], p[3]] for p in positions if None not in p),
    }


def base_of(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        qualname = getattr(code, "co_qualname", code.co_name)
        frames.append({"file": code.co_filename, "name": code.co_name, "qualname": qualname, "line": frame.f_lineno})
        frame = frame.f_back
    return frames


class Announcements:
    """Collects what is outside of each thread's `worker`; the last thread to come prints everything."""

    def __init__(self, count, watcher, worker, loop_line):
        self.count, self.watcher, self.threads = count, watcher, []
        self.worker, self.loop_line = worker.__code__, loop_line
        self.lock, self.printed = threading.Lock(), threading.Event()

    def __call__(self, frame):
        tid = threading.get_native_id() if hasattr(threading, "get_native_id") else None
        with self.lock:
            self.threads.append({"tid": tid, "ident": hex(threading.get_ident()), "base": base_of(frame)})
            if len(self.threads) == self.count:
                self.print()
        self.printed.wait()

    def print(self):
        code = self.worker
        loop = code.co_firstlineno + self.loop_line
        entry = {"file": code.co_filename, "name": "worker", "qualname": "worker", "lines": lines_of(code), "loop": loop}
        facts = {"pid": os.getpid(), "version": list(sys.version_info[:3]), "made_cycle": MADE_CYCLE, "worker": entry}
        facts.update(threads=self.threads, functions=self.watcher.functions, nodes=self.watcher.nodes)
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        self.printed.set()
