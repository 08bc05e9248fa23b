"""Runs what pyattach would run inside a process, without pyattach doing so: for each request makes a channel, says where it is,
runs the text it is given, and says what is not as it was before."""
import _thread
import gc
import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
import weakref

PROTOCOL = os.dup(1)
REQUESTS = os.fdopen(os.dup(0), "rb")
ME = os.getpid()


def say(what):
    os.write(PROTOCOL, (json.dumps(what) + "\n").encode())


def make_channel():
    """A file that is nowhere, with a head that is not the script's business."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("pyattach")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.write(fd, b"#" * 64)
    return fd


class Mark:
    """An object that must not be kept alive."""


class Other(threading.Thread):
    """A thread of the application's that prints when it is told to."""

    def __init__(self):
        super().__init__(daemon=True)
        self.wanted, self.done = threading.Semaphore(0), threading.Semaphore(0)

    def run(self):
        while True:
            self.wanted.acquire()
            print("from another thread")
            self.done.release()


other = Other()
other.start()


def another_thread_prints():
    other.wanted.release()
    other.done.acquire()


def descriptors():
    found = {}
    for fd in range(256):
        try:
            status = os.fstat(fd)
        except OSError:
            continue
        found[fd] = (status.st_dev, status.st_ino)
    return found


def handlers():
    return [signal.getsignal(number) for number in range(1, 32)]


def state():
    """What must be as before."""
    lines = sys.modules.get("linecache")
    return {
        "modules": {name: id(module) for name, module in sys.modules.items()},
        "descriptors": descriptors(),
        "threads": sorted(threading._active),
        "streams": [id(getattr(sys, name, None)) for name in ("stdout", "stderr", "stdin", "argv", "excepthook")],
        "has streams": [hasattr(sys, name) for name in ("stdout", "stderr", "argv")],
        "tracing": [sys.gettrace(), sys.getprofile()],
        "handlers": handlers(),
        "linecache": sorted(lines.cache) if lines else [],
        "builtins": sorted(vars(__builtins__)),
        "main": sorted(vars(sys.modules["__main__"])),
        "places": [sys.path[:], sys.meta_path[:], sys.path_hooks[:], os.getcwd()],
        "limits": [sys.getrecursionlimit(), gc.isenabled(), gc.callbacks[:]],
    }


def wait_for_threads(count):
    while _thread._count() > count:
        pass


def execute(text):
    exec(compile(text, "<string>", "exec"), {"__builtins__": __builtins__})


def in_thread(text):
    done = _thread.allocate_lock()
    done.acquire()

    def work():
        try:
            execute(text)
        finally:
            done.release()

    _thread.start_new_thread(work, ())
    done.acquire()


def in_handler(text):
    try:
        raise OSError("what the application is handling")
    except OSError:
        execute(text)


def signalled(text):
    """The signal that arrives while the script runs is for this code."""
    try:
        execute(text)
        # In the order of what a process does for ever: nothing but wait.
        while True:
            time.sleep(1)
    except BaseException as error:
        seen.append(type(error).__name__)


HOW = {"main": execute, "thread": in_thread, "handler": in_handler, "signalled": signalled}
names = {"sys": sys, "os": os, "io": io, "signal": signal, "threading": threading, "gc": gc}
seen, mark = [], None


def different(before, after):
    """What is only in one of the two, where they are dicts or lists."""
    if isinstance(before, dict):
        before, after = sorted(before.items()), sorted(after.items())
    return repr([item for item in before if item not in after]), repr([item for item in after if item not in before])


def one(request):
    global mark
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    real = sys.stdout, sys.stderr
    mark, before, fd = Mark(), None, make_channel()
    alive = weakref.ref(mark)
    exec(request["setup"], names)
    status = os.fstat(fd)
    say({"fd": fd, "device": status.st_dev, "inode": status.st_ino, "pid": ME, "now": time.monotonic_ns()})
    text = json.loads(REQUESTS.readline().decode())["text"]
    del seen[:]
    count = _thread._count()
    gc.collect()
    gc.disable()
    # What comes of looking alone.
    state(), state()
    idle = gc.collect()
    before = state()
    HOW[request["how"]](text)
    if os.getpid() != ME:
        os._exit(7)
    after = state()
    garbage = gc.collect() - idle
    gc.enable()
    # What sends a signal again.
    if request["how"] == "signalled":
        wait_for_threads(count)
    sys.settrace(None)
    sys.setprofile(None)
    mark = None
    changed = {key: different(before[key], after[key]) for key in before if before[key] != after[key]}
    closed = fd in before["descriptors"] and fd not in after["descriptors"]
    if closed and set(before["descriptors"]) - set(after["descriptors"]) == {fd}:
        changed.pop("descriptors")
    answer = {"changed": changed, "closed": closed, "garbage": garbage, "alive": alive() is not None, "seen": seen,
              "stdout": real[0].getvalue() if not real[0].closed else "", "stderr": real[1].getvalue()}
    if not closed:
        os.close(fd)
    # What a case has changed on purpose.
    exec(request["undo"], names)
    say(answer)


# Of Python about forks of a process with threads.
warnings.simplefilter("ignore")
sys.modules["driver"] = sys.modules["__main__"]
say({"ready": ME, "expect": None})
for line in REQUESTS:
    one(json.loads(line.decode()))
