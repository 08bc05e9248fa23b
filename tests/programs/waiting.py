"""Threads that each wait for something else. Argument: which family of waits.

Each thread says of what its wait consists before it begins to wait, and the test looks at the kernel until it does.
"""

import ctypes
import fcntl
import json
import os
import queue
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time

waits = {}  # name of a thread: what its wait is to contain
keep = []  # what must not be closed


def begin(name, expect, wait, *args, **options):
    """A daemon thread of this name that waits; `expect` holds the fields of its wait, and words of its text."""
    entry = waits[name] = dict(expect)

    def run():
        entry["tid"] = native_id()
        started.set()
        wait(*args, **options)

    started = threading.Event()
    thread = threading.Thread(target=run, name=name)
    thread.daemon = True
    thread.start()
    started.wait()
    return thread


def native_id():
    if hasattr(threading, "get_native_id"):
        return threading.get_native_id()
    return int(os.path.basename(os.readlink("/proc/thread-self")))


def named(address):
    host, port = address[:2]
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)


def connected(family, host):
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(5)
    client = socket.create_connection(listener.getsockname()[:2])
    server = listener.accept()[0]
    keep.extend([listener, server])
    return listener, client, server


def tcp(name, family, host):
    listener, client, server = connected(family, host)
    peer, local = named(client.getpeername()), named(client.getsockname())
    expect = {"fd": client.fileno(), "peer": peer, "local": local, "socket_state": "ESTABLISHED"}
    without = dict(expect, syscall="recvfrom", words=["recv on fd", "-> " + peer, "no timeout"])
    begin(name + " recv", without, client.recv, 1)
    # A socket of its own: duplicates share whether they block.
    patient = connected(family, host)[1]
    patient.settimeout(900)
    peer = named(patient.getpeername())
    expect = {"fd": patient.fileno(), "peer": peer, "timeout_ms": range_of(900), "words": ["-> " + peer, "timeout 900 s"]}
    begin(name + " recv with timeout", expect, patient.recv, 1)
    begin(
        name + " accept",
        {"local": named(listener.getsockname()), "socket_state": "LISTEN", "words": ["listening on"]},
        listener.accept,
    )
    sender, receiver = connected(family, host)[1:]
    begin(
        name + " send",
        {"syscall": "sendto", "peer": named(sender.getpeername()), "words": ["send on fd", "bytes not taken"]},
        sender.sendall,
        b"x" * (64 << 20),
    )


def range_of(seconds):
    """Milliseconds that may be a little off, for rounding."""
    return [seconds * 1000 - 1000, seconds * 1000 + 1000]


def sockets():
    tcp("ipv4", socket.AF_INET, "127.0.0.1")
    tcp("ipv6", socket.AF_INET6, "::1")
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    begin("udp", {"syscall": "recvfrom", "local": named(udp.getsockname()), "words": ["UDP 127.0.0.1:"]}, udp.recv, 1)
    path = os.path.join(tempfile.mkdtemp(), "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    begin("unix accept", {"local": path, "socket_state": "LISTEN", "words": [path]}, listener.accept)
    one, other = socket.socketpair()
    keep.append(other)
    begin("unix recv", {"socket_state": "CONNECTED", "words": ["Unix socket", "no timeout"]}, one.recv, 1)
    # Nobody accepts: the second connection waits for room.
    full, first, second = (socket.socket(socket.AF_UNIX) for _ in range(3))
    full_path = path + "-full"
    full.bind(full_path)
    full.listen(0)
    first.connect(full_path)
    keep.extend([full, first])
    expect = {"syscall": "connect", "peer": full_path, "words": ["connect to " + full_path]}
    begin("unix connect", expect, second.connect, full_path)


def files():
    empty, full = os.pipe(), os.pipe()
    expect = {"syscall": "read", "fd": empty[0], "pid": os.getpid(), "words": ["empty pipe", "this process"]}
    begin("pipe read", expect, os.read, empty[0], 1)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], stdin=full[0], close_fds=True)
    keep.append(child)
    os.close(full[0])
    words = ["full pipe", "read by pid %d (%s" % (child.pid, sys.executable)]
    expect = {"syscall": "write", "fd": full[1], "pid": child.pid, "words": words}
    begin("pipe write", expect, os.write, full[1], b"x" * (1 << 20))
    expect = {"syscall": "wait4", "pid": child.pid, "words": ["child %d (%s" % (child.pid, sys.executable)]}
    begin("child", expect, os.waitpid, child.pid, 0)
    file, path = tempfile.mkstemp()
    fcntl.flock(file, fcntl.LOCK_EX)
    expect = {"syscall": "flock", "path": path, "pid": os.getpid(), "words": [path, "held by pid"]}
    begin("flock", expect, fcntl.flock, os.open(path, os.O_RDWR), fcntl.LOCK_EX)
    locked, path = tempfile.mkstemp()
    holder = hold_in_child(locked)
    expect = {"syscall": "fcntl", "path": path, "pid": holder, "words": ["held by pid %d" % holder]}
    begin("fcntl", expect, fcntl.lockf, locked, fcntl.LOCK_EX)
    fifo = os.path.join(tempfile.mkdtemp(), "fifo")
    os.mkfifo(fifo)
    begin("fifo", {"path": fifo, "words": [fifo]}, os.open, fifo, os.O_RDONLY)
    libc = ctypes.CDLL(None)
    event = libc.eventfd(0, 0)
    begin("eventfd", {"syscall": "read", "fd": event, "words": ["eventfd", "count 0"]}, os.read, event, 8)
    timer = libc.timerfd_create(1, 0)
    libc.timerfd_settime(timer, 0, (ctypes.c_long * 4)(0, 0, 500, 0), None)
    begin("timerfd", {"syscall": "read", "fd": timer, "words": ["timerfd", "due in"]}, os.read, timer, 8)


def hold_in_child(file):
    """A process that has locked the file; it ends with this one."""
    told, tell = os.pipe()
    end, keeps_running = os.pipe()
    holder = os.fork()
    if holder == 0:
        os.close(keeps_running)
        fcntl.lockf(file, fcntl.LOCK_EX)
        os.write(tell, b".")
        os.read(end, 1)
        os._exit(0)
    os.read(told, 1)
    keep.append(keeps_running)
    return holder


def times():
    begin("sleep", {"words": ["sleep"], "any_timeout_ms": [600000, 901000]}, time.sleep, 900)
    reader, writer = os.pipe()
    keep.append(writer)
    expect = {"fd": reader, "timeout_ms": range_of(900)}
    words = ["select: fd %d, a pipe" % reader]
    begin("select", dict(expect, words=words), select.select, [reader], [], [], 900)
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    begin("poll", dict(expect, words=["to be readable"]), poll.poll, 900000)
    many = select.poll()
    ends = [os.pipe()[0] for _ in range(12)]
    for end in ends:
        many.register(end)
    begin("poll many", {"words": ["poll on 12 fds", "and 8 more", "no timeout"]}, many.poll)
    epoll = select.epoll()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    epoll.register(reader, select.EPOLLIN)
    epoll.register(listener.fileno(), select.EPOLLIN)
    keep.extend([listener, epoll])
    words = ["2 fds", "listening on " + named(listener.getsockname()), "timeout 900 s"]
    begin("epoll", {"fd": epoll.fileno(), "timeout_ms": range_of(900), "words": words}, epoll.poll, 900)


class Guarded:
    def __init__(self):
        self._lock = threading.Lock()
        self._lock.acquire()

    def enter(self):
        with self._lock:
            pass


def locks():
    lock = threading.Lock()
    lock.acquire()
    expect = {"syscall": "futex", "lock": "threading.Lock", "object": hex(id(lock))}
    begin("lock", dict(expect, words=["threading.Lock at", "no timeout"]), lock.acquire)
    begin("lock with timeout", dict(expect, any_timeout_ms=[600000, 901000]), lock.acquire, True, 900)
    shared = threading.Lock()
    shared.acquire()
    for number in range(3):
        begin("shared %d" % number, {"object": hex(id(shared)), "waiters": 3, "words": ["3 waiters"]}, enter, shared)
    guarded = Guarded()
    begin("with", {"lock": "threading.Lock", "object": hex(id(guarded._lock))}, guarded.enter)
    rlock = threading.RLock()
    rlock.acquire()
    words = ["held by %d \"MainThread\"" % os.getpid()]
    expect = {"lock": "threading.RLock", "object": hex(id(rlock)), "owner_tid": os.getpid(), "words": words}
    begin("rlock", expect, rlock.acquire)
    condition = threading.Condition()
    begin("condition", {"lock": "threading.Lock"}, wait_on, condition)
    begin("event", {"lock": "threading.Lock"}, threading.Event().wait)
    begin("event with timeout", {"lock": "threading.Lock", "any_timeout_ms": [600000, 901000]}, threading.Event().wait, 900)
    begin("queue", {"lock": "threading.Lock"}, queue.Queue().get)
    simple = queue.SimpleQueue()
    begin("simple queue", {"lock": "queue.SimpleQueue", "object": hex(id(simple))}, simple.get)
    asleep = begin("sleeper", {}, threading.Event().wait)
    joined = {"syscall": "futex", "lock": "threading.Lock"}
    if sys.version_info >= (3, 13):
        tid = waits["sleeper"]["tid"]
        joined = {"lock": "threading.Thread", "owner_tid": tid, "words": ["end of thread %d \"sleeper\"" % tid]}
    begin("join", joined, asleep.join)


def wait_on(condition):
    with condition:
        condition.wait()


def enter(lock):
    with lock:
        pass


globals()[sys.argv[1]]()
print(json.dumps({"ready": os.getpid(), "expect": waits}), flush=True)
sys.stdin.readline()
for process in keep:
    if isinstance(process, subprocess.Popen):
        process.kill()
os._exit(0)
