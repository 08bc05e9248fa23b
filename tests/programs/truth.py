"""What a target knows about itself, for a test to compare with what pyattach says.

A thread takes its place with `park`, the main thread with `stay`. Both hand a list of steps to a loop written in C: the
Python stack written down in the first step is, to the very instruction, the one that stands when the last step blocks.
So nothing has to be waited for and nothing can be seen half done.
"""

import _thread
import collections
import functools
import itertools
import json
import operator
import os
import sys

threads = []  # one entry per thread, in the order in which they were created
step = functools.partial
_call = operator.methodcaller("__call__")
_gate = os.pipe()  # never written to
_announcements = os.pipe()


def in_c(*steps):
    """Makes an object whose consumption by C code takes the steps."""
    return map(_call, steps)


def park(**facts):
    """A thread's way: writes down its stack, says so, and blocks for ever."""
    collections.deque(in_c(step(note, facts), announce, step(os.read, _gate[0], 1)), 0)


def stay(*before, block=step(os.read, 0, 1), **facts):
    """The main thread's way: says that all is in place, waits for the end of standard input and leaves."""
    collections.deque(in_c(*before, step(publish, facts), end_line, block, step(os._exit, 0)), 0)


announce = step(os.write, _announcements[1], b".")
end_line = step(os.write, 1, b"\n")
block = step(os.read, _gate[0], 1)


def wait_for_announcement():
    os.read(_announcements[0], 1)


def start(target, *args, **options):
    """Starts a thread and waits until it is in its place."""
    import threading

    thread = threading.Thread(target=target, args=args, **options)
    thread.start()
    wait_for_announcement()
    return thread


def note(facts=None, frame=None):
    """Writes down the calling thread."""
    entry = identity()
    entry["frames"] = stack(frame or sys._getframe(1))
    entry.update(facts or {})
    threads.append(entry)
    return entry


def publish(facts):
    """Writes the line the test waits for, without its end."""
    threads.insert(0, identity())
    threads[0]["frames"] = stack(sys._getframe(1))
    threads.sort(key=lambda thread: not thread.get("main"))
    python = {
        "version": "%d.%d.%d" % sys.version_info[:3],
        "free_threaded": "t" in sys.abiflags,
        "debug_build": hasattr(sys, "gettotalrefcount"),
    }
    expect = {"python": python, "threads": threads}
    expect.update(facts)
    write_all(1, json.dumps({"ready": os.getpid(), "expect": expect}).encode())


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def identity():
    tid, ident = native_id(), _thread.get_ident()
    entry = {"interpreter": 0, "ident": hex(ident), "tid": tid, "main": tid == os.getpid(), "name": None}
    threading = sys.modules.get("threading")
    known = threading and threading._active.get(ident)
    if known:
        entry.update(name=clean(known.name), daemon=known.daemon)
    return entry


def native_id():
    if hasattr(_thread, "get_native_id"):
        return _thread.get_native_id()
    return int(os.path.basename(os.readlink("/proc/thread-self")))


def stack(frame):
    """The frames, innermost first."""
    frames = []
    while frame is not None:
        frames.append(describe(frame))
        frame = frame.f_back
    return frames


def describe(frame):
    code = frame.f_code
    entry = {
        "kind": kind(code),
        "name": clean(code.co_name),
        "function": clean(getattr(code, "co_qualname", code.co_name)),
        "module": clean(frame.f_globals.get("__name__")),
        "file": clean(code.co_filename),
        "line": frame.f_lineno,
        "column": None,
        "end_column": None,
    }
    if hasattr(code, "co_positions"):
        position = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None))
        entry["end_line"], entry["column"], entry["end_column"] = position[1:]
    return entry


def on_line(function, offset):
    """What a frame of the function shows while it runs the line so far below its `def`; columns change as it runs."""
    code = function.__code__
    entry = {"kind": kind(code), "name": code.co_name, "module": function.__module__, "file": code.co_filename}
    return dict(entry, line=code.co_firstlineno + offset, running=True)


def kind(code):
    for flag, name in ((0x20, "generator"), (0x80, "coroutine"), (0x200, "async_generator")):
        if code.co_flags & flag:
            return name
    if code.co_name == "<module>":
        return "module"
    return "function" if code.co_flags & 0x01 else "class"


def clean(text):
    """Lone surrogates cannot be in JSON: they stand as Python's backslash escapes."""
    return text if text is None else text.encode("utf-8", "backslashreplace").decode("utf-8")
