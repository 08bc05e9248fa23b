"""A main thread that goes from state to state: it says which one comes next, and SIGUSR1 ends it. States that this build
cannot have are left out; the last line says so.
"""

import os
import select
import signal
import socket
import sys
import threading
import time

import truth


class Next(BaseException):
    """The next state, please."""


asked = []


def on_signal(number, frame):
    # Where an exception is ignored, as in what runs before and after a fork, the loops still see this.
    asked.append(number)
    raise Next


def start(target, *args):
    """Starts a thread that leaves SIGUSR1 to the main thread."""
    thread = threading.Thread(target=target, args=args, daemon=True)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    thread.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    return thread


def busy():
    while not asked:
        len([1])


def contention():
    ended = []

    def fight():
        while not ended:
            len([1])

    try:
        for _ in range(8):
            start(fight)
        say("contention")
        busy()
    finally:
        ended.append(True)


def malloc():
    while not asked:
        [bytearray(700 + index % 5000) for index in range(100)]


def sort():
    numbers = [hash(str(index)) for index in range(100000)]
    while not asked:
        sorted(numbers)


def recv():
    socket.socketpair()[0].recv(1)


def recv_with_timeout():
    one, other = socket.socketpair()
    one.settimeout(1000)
    one.recv(1)


def accept():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    listener.accept()


def read():
    reader, writer = os.pipe()
    os.read(reader, 1)


def write():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    os.write(writer, b"x")


def poll():
    poller = select.poll()
    poller.register(os.pipe()[0], select.POLLIN)
    poller.poll(1000000)


def epoll():
    poller = select.epoll()
    poller.register(os.pipe()[0], select.EPOLLIN)
    poller.poll(1000)


def asyncio_idle():
    import asyncio
    asyncio.new_event_loop().run_forever()


def lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def rlock():
    lock, taken = threading.RLock(), threading.Event()

    def hold():
        lock.acquire()
        taken.set()
        time.sleep(1000)

    start(hold)
    taken.wait()
    lock.acquire()


def condition():
    condition = threading.Condition()
    with condition:
        condition.wait(1000)


def queue_get():
    import queue
    queue.Queue().get()


def simple_queue_get():
    import queue
    queue.SimpleQueue().get()


def join():
    start(time.sleep, 1000).join()


def waitpid():
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        os.waitpid(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def forking():
    while not asked:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)


def signals():
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        busy()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def in_c(library):
    import ctypes
    function = getattr(ctypes, library)(None).usleep
    function.argtypes = [ctypes.c_uint]
    while True:
        function(100 * 1000 * 1000)


def importing():
    import importlib.machinery
    import importlib.util

    class Slow:
        def find_spec(self, name, path=None, target=None):
            if name == "slow_module":
                time.sleep(1000)

    sys.meta_path.insert(0, Slow())
    try:
        import slow_module  # noqa: F401
    finally:
        sys.meta_path.pop(0)


def recursion():
    def deeper(depth):
        return time.sleep(1000) if depth == 0 else sorted([1], key=lambda _: deeper(depth - 1))

    deeper(20)


STATES = {
    "busy": busy,
    "contention": contention,
    "malloc": malloc,
    "sort": sort,
    "sleep": lambda: time.sleep(1000),
    "recv": recv,
    "recv_with_timeout": recv_with_timeout,
    "accept": accept,
    "read": read,
    "write": write,
    "select": lambda: select.select([os.pipe()[0]], [], []),
    "select_with_timeout": lambda: select.select([], [], [], 1000),
    "poll": poll,
    "epoll": epoll,
    "asyncio_idle": asyncio_idle,
    "lock": lock,
    "lock_with_timeout": lambda: threading.Semaphore(0).acquire(timeout=1000),
    "rlock": rlock,
    "condition": condition,
    "event": lambda: threading.Event().wait(),
    "queue_get": queue_get,
    "simple_queue_get": simple_queue_get,
    "join": join,
    "waitpid": waitpid,
    "forking": forking,
    "signals": signals,
    "system": lambda: os.system("exec sleep 1000"),
    "c_with_gil": lambda: in_c("PyDLL"),
    "c_without_gil": lambda: in_c("CDLL"),
    "importing": importing,
    "recursion": recursion,
}


def say(name):
    truth.write_all(1, b"%s\n" % name.encode())


def run(name):
    asked.clear()
    try:
        if name != "contention":
            say(name)
        STATES[name]()
    except Next:
        return
    except ImportError as error:
        truth.write_all(1, b"left out: %s\n" % str(error).encode())
    # What ends by itself has to be told from what was ended.
    try:
        while not asked:
            signal.pause()
    except Next:
        pass


signal.signal(signal.SIGUSR1, on_signal)
truth.write_all(1, truth.json.dumps({"ready": os.getpid(), "expect": {}}).encode() + b"\n")
for state in STATES:
    run(state)
truth.write_all(1, b"end\n")
os._exit(0)
