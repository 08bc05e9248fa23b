"""A process whose main thread is in a certain state while scripts are run in it. When it is told so it ends that, and says what
the call returned that was interrupted, and what is not as it was before."""
import _thread
import errno
import json
import os
import signal
import socket
import sys
import threading
import time
import warnings

try:
    import zlib
except ImportError:
    zlib = None

PROTOCOL = os.dup(1)
STATE = sys.argv[1]
# Scripts add to these: how many ran, and in which processes.
ran, ran_in = 0, []
# What ends a state, to be called by the thread that reads commands.
release = None
released = threading.Event()
ended = beats = False
tick, lost, kept = 0, [], []


def say(what):
    os.write(PROTOCOL, (json.dumps(what) + "\n").encode())


def ready():
    """In place: from here on nothing may change."""
    global before, modules
    before, modules = Before(), set(sys.modules)
    say({"ready": os.getpid(), "expect": None})


def commands():
    """Waits for the end without anything that shares a lock with the main thread."""
    os.read(0, 100)
    global ended, beats
    until, old = time.monotonic() + 20, tick
    while tick < old + 2 and time.monotonic() < until:
        time.sleep(0.002)
    beats = tick >= old + 2
    ended = True
    if release is not None:
        release()


def beat():
    """A thread of the application's that must go on."""
    global tick
    while not ended:
        tick += 1
        time.sleep(0.002)


def start_threads():
    for function in (commands, beat):
        _thread.start_new_thread(function, ())


def timed(call, seconds):
    start = time.monotonic()
    value = call()
    took = time.monotonic() - start
    return [value, seconds <= took < seconds + 20]


def sleeping():
    ready()
    return timed(lambda: time.sleep(2), 2), [None, True]


def receiving():
    global release
    ours, theirs = socket.socketpair()
    release = lambda: theirs.send(b"word")
    ready()
    return ours.recv(10).decode(), "word"


def receiving_with_timeout():
    ours, theirs = socket.socketpair()
    ours.settimeout(2)
    # Open also when this is over.
    kept.extend([ours, theirs])

    def receive():
        try:
            return ours.recv(10).decode()
        except socket.timeout:
            return "timeout"

    ready()
    return timed(receive, 2), ["timeout", True]


def accepting():
    global release
    server, client = socket.socket(), socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    release = lambda: client.connect(server.getsockname())
    ready()
    connection, _ = server.accept()
    return connection.getpeername() == client.getsockname(), True


def reading():
    global release
    ours, theirs = os.pipe()
    release = lambda: os.write(theirs, b"word")
    ready()
    return os.read(ours, 10).decode(), "word"


def selecting(wait):
    def state():
        global release
        import select
        ours, theirs = os.pipe()
        release = lambda: os.write(theirs, b"x")
        call = wait(select, ours)
        ready()
        return call() == ours, True
    return state


def by_select(select, fd):
    return lambda: select.select([fd], [], [])[0][0]


def by_poll(select, fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return lambda: poll.poll()[0][0]


def by_epoll(select, fd):
    epoll = select.epoll()
    epoll.register(fd, select.EPOLLIN)
    return lambda: epoll.poll()[0][0]


def in_asyncio():
    import asyncio
    return idle_in(asyncio.new_event_loop())


def in_uvloop():
    import uvloop
    return idle_in(uvloop.new_event_loop())


def idle_in(loop):
    import asyncio

    async def main():
        global release
        event = asyncio.Event()
        release = lambda: loop.call_soon_threadsafe(event.set)
        loop.call_soon(ready)
        return await event.wait()

    try:
        return loop.run_until_complete(main()), True
    finally:
        loop.close()


def locking():
    global release
    lock = threading.Lock()
    lock.acquire()
    release = lock.release
    ready()
    return lock.acquire(), True


def locking_with_timeout():
    lock = threading.Lock()
    lock.acquire()
    ready()
    return timed(lambda: lock.acquire(timeout=2), 2), [False, True]


def locking_recursively():
    global release
    lock, held = threading.RLock(), threading.Event()

    def hold():
        with lock:
            held.set()
            released.wait()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    release = released.set
    ready()
    return lock.acquire(), True


def waiting_for_condition():
    global release
    condition = threading.Condition()

    def notify():
        with condition:
            condition.notify()

    release = notify
    with condition:
        ready()
        return condition.wait(), True


def waiting_for_event():
    global release
    release = released.set
    ready()
    return released.wait(), True


def getting():
    global release
    import queue
    items = queue.Queue()
    release = lambda: items.put("item")
    ready()
    return items.get(), "item"


def joining():
    global release
    thread = threading.Thread(target=released.wait, daemon=True)
    thread.start()
    release = released.set
    ready()
    return thread.join(), None


def waiting_for_child():
    global release
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(3)
    os.close(ours)
    release = lambda: os.close(theirs)
    ready()
    return os.waitpid(pid, 0)[1] >> 8, 3


def busy():
    ready()
    number = 0
    while not ended:
        number = (number * 3 + 1) % 1000003
    return number < 1000003, True


def contending():
    def spin():
        while not ended:
            pass

    for _ in range(8):
        threading.Thread(target=spin, daemon=True).start()
    return busy()


def allocating():
    """Allocator and zlib in several threads; what is lost in them shows in the sums."""
    def work():
        data = bytes(range(256)) * 200
        while not ended:
            parts = [bytearray(data[i:i + 50 + i % 700]) for i in range(0, 20000, 97)]
            text = b"".join(parts)
            if zlib and zlib.decompress(zlib.compress(text, 1)) != text:
                lost.append("zlib")
            kept = {i: str(i) * (i % 50) for i in range(300)}
            if any(len(kept[i]) != len(str(i)) * (i % 50) for i in kept):
                lost.append("dict")

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    ready()
    work()
    return lost, []


def holding_the_gil():
    """Two seconds in C at a time."""
    import itertools
    count = 200000
    start = time.monotonic()
    sum(itertools.repeat(1, count))
    count = int(count * 2 / (time.monotonic() - start))
    ready()
    total = sum(itertools.repeat(1, count))
    while not ended:
        pass
    return total == count, True


def released_in_c():
    """C code that CPython knows nothing of, without the GIL, for a thousand seconds: nothing ends it."""
    import ctypes
    call = ctypes.CDLL(None).poll
    ready()
    call(None, 0, 1000 * 1000)
    return None, None


def forking():
    ready()
    while not ended:
        pid = os.fork()
        if pid == 0:
            # In a child a request of its parent's must do nothing.
            until = time.monotonic() + 0.005
            while time.monotonic() < until:
                pass
            os._exit(9 if os.getpid() in ran_in else 0)
        if os.waitpid(pid, 0)[1] != 0:
            lost.append("child")
        time.sleep(0.005)
    return lost, []


def signalled():
    count = [0]

    def handle(number, frame):
        count[0] += 1

    signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    ready()
    number = 0
    while not ended:
        number += 1
    before = count[0]
    time.sleep(0.2)
    signal.setitimer(signal.ITIMER_REAL, 0)
    # They still come.
    return count[0] > before, True


STATES = {
    "sleep": sleeping, "recv": receiving, "recv_timeout": receiving_with_timeout, "accept": accepting, "read_pipe": reading,
    "select": selecting(by_select), "poll": selecting(by_poll), "epoll": selecting(by_epoll), "asyncio": in_asyncio, "uvloop": in_uvloop,
    "lock": locking, "lock_timeout": locking_with_timeout, "rlock": locking_recursively, "condition": waiting_for_condition,
    "event": waiting_for_event, "queue": getting, "join": joining, "waitpid": waiting_for_child, "busy": busy,
    "contention": contending, "malloc": allocating, "c_holds_gil": holding_the_gil, "c_released": released_in_c,
    "fork": forking, "signals": signalled,
}


def as_another_user():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def without_descriptors():
    """None is free, and the limit may be raised by others only."""
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 80))
    try:
        while True:
            os.dup(0)
    except OSError:
        pass


def without_directory():
    path = "/tmp/pyattach-tests-gone-%d" % os.getpid()
    os.mkdir(path)
    os.chdir(path)
    os.rmdir(path)


def with_audit_hook():
    def hook(event, arguments):
        if event == "cpython.remote_debugger_script":
            audited.append(event)
    sys.addaudithook(hook)


def at_the_recursion_limit():
    """A hundred frames are left."""
    sys.setrecursionlimit(150)


audited = []
PLACES = {"uid": as_another_user, "nofile": without_descriptors, "cwd": without_directory, "audit": with_audit_hook,
          "recursion": at_the_recursion_limit}


class Before:
    """What must be the same after all."""

    def __init__(self):
        lines = sys.modules.get("linecache")
        self.facts = {
            "streams": [id(sys.stdout), id(sys.stderr), id(sys.stdin), id(sys.argv)],
            "handlers": [repr(signal.getsignal(number)) for number in range(1, 32)],
            "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "tracing": [repr(sys.gettrace()), repr(sys.getprofile())],
            "lines": sorted(lines.cache) if lines else [],
            "limit": sys.getrecursionlimit(),
            "main": sorted(name for name in globals() if not name.startswith("__")),
        }


# Of Python about forks of a process with threads.
warnings.simplefilter("ignore")
before = after = modules = value = expected = changed = more = place = None
start_threads()
for place in sys.argv[2:]:
    PLACES[place]()
value, expected = STATES[STATE]()
after = Before()
# A state that ends by itself stays here until it is told.
while not ended:
    time.sleep(0.01)
more = sorted(set(sys.modules) - modules)
changed = {key: [before.facts[key], after.facts[key]] for key in before.facts if before.facts[key] != after.facts[key]}
say({"value": value, "expected": expected, "ran": ran, "changed": repr(changed) if changed else "", "modules": more,
     "beats": beats})
