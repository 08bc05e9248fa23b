"""Threads that each wait for something less common than what waiting.py has. Argument: which family of waits.

As there, each thread says of what its wait consists before it begins to wait.
"""

import ctypes
import fcntl
import json
import multiprocessing
import os
import select
import signal
import socket
import struct
import sys
import tempfile
import threading

from truth import native_id

libc = ctypes.CDLL(None, use_errno=True)
waits = {}  # name of a thread: what its wait is to contain
keep = []  # what must not be closed


def begin(name, expect, wait, *args):
    """A daemon thread of this name that waits; `expect` holds the fields of its wait, and words of its text."""
    waits[name] = dict(expect)

    def run():
        waits[name]["tid"] = native_id()
        started.set()
        wait(*args)

    started = threading.Event()
    thread = threading.Thread(target=run, name=name)
    thread.daemon = True
    thread.start()
    started.wait()


def named(address):
    host, port = address[:2]
    return ("[%s]:%d" if ":" in host else "%s:%d") % (host, port)


def range_of(seconds):
    """Milliseconds that may be a little off, for rounding."""
    return [seconds * 1000 - 1000, seconds * 1000 + 1000]


def child(*before):
    """A process that does this first and ends with its parent."""
    told, tell = os.pipe()
    end, keeps_running = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(keeps_running)
        for step in before:
            step()
        os.write(tell, b".")
        os.read(end, 1)
        os._exit(0)
    os.read(told, 1)
    keep.append(keeps_running)
    return pid


def pidfd_of(pid):
    """A descriptor for a process, by a call that C libraries did not have for long."""
    return libc.syscall(434, pid, 0)


def events():
    """Descriptors that are no files: read, written to, and as members of an epoll."""
    event, timer, inotify = libc.eventfd(0, 0), libc.timerfd_create(1, 0), libc.inotify_init1(0)
    libc.timerfd_settime(timer, 0, (ctypes.c_long * 4)(0, 0, 500, 0), None)
    signals = libc.signalfd(-1, (ctypes.c_ulong * 16)(1 << 9), 0)
    pid = child()
    process = pidfd_of(pid)
    members = select.epoll()
    words = ["4 fds", "fd %d: eventfd (count 0)" % event, "fd %d: timerfd (due in" % timer]
    words += ["fd %d: inotify" % inotify, "fd %d: signalfd" % signals]
    for fd in (event, timer, inotify, signals):
        members.register(fd, select.EPOLLIN)
    begin("epoll of events", {"fd": members.fileno(), "words": words}, members.poll)
    nested = select.epoll()
    nested.register(process, select.EPOLLIN)
    nested.register(members.fileno(), select.EPOLLIN)
    words = ["2 fds", "fd %d: eventpoll" % members.fileno(), "fd %d: pidfd of process %d" % (process, pid)]
    begin("epoll of an epoll", {"fd": nested.fileno(), "words": words}, nested.poll)
    empty = select.epoll()
    begin("epoll of nothing", {"fd": empty.fileno(), "words": ["(no fds; no timeout)"]}, empty.poll)
    full = libc.eventfd(0, 0)
    os.write(full, struct.pack("Q", 2**64 - 2))
    words = ["write on fd %d, eventfd (count %d)" % (full, 2**64 - 2)]
    begin("full eventfd", {"syscall": "write", "fd": full, "words": words}, os.write, full, struct.pack("Q", 5))
    begin("inotify", {"syscall": "read", "fd": inotify, "words": ["inotify"]}, os.read, inotify, 4096)
    begin("signalfd", {"syscall": "read", "fd": signals, "words": ["signalfd"]}, os.read, signals, 4096)
    end = select.poll()
    end.register(process, select.POLLIN)
    words = ["pidfd of process %d to be readable" % pid, "no timeout"]
    begin("pidfd", {"fd": process, "pid": pid, "words": words}, end.poll)


def processes():
    """Children, groups of them, and signals."""
    own, leader = child(), child(os.setpgrp)
    words = [str(own), "(%s" % sys.executable]
    expect = {"pid": own, "words": words}
    begin("wait4", dict(expect, syscall="wait4", words=["wait4 for child"] + words), os.waitpid, own, 0)
    begin("waitid", dict(expect, syscall="waitid"), os.waitid, os.P_PID, own, os.WEXITED)
    if hasattr(os, "P_PIDFD"):
        begin("waitid of a pidfd", expect, os.waitid, os.P_PIDFD, pidfd_of(own), os.WEXITED)
    begin("any child", {"words": ["wait4 for any child"]}, os.waitpid, -1, 0)
    begin("own group", {"words": ["any child of its own process group"]}, os.waitpid, 0, 0)
    group = ["any child of process group %d" % leader]
    begin("group", {"syscall": "wait4", "words": group}, os.waitpid, -leader, 0)
    begin("group by waitid", {"words": group}, os.waitid, os.P_PGID, leader, os.WEXITED)
    wanted = {signal.SIGUSR1}
    begin("signal", {"words": ["a signal (no timeout)"]}, signal.sigwait, wanted)
    expect = {"any_timeout_ms": range_of(900), "words": ["a signal (timeout 900 s)"]}
    begin("signal with timeout", expect, signal.sigtimedwait, wanted, 900)
    begin("pause", {"words": ["a signal"]}, libc.pause)


def connections():
    """Sockets that wait for room, or for an answer that does not come."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        # A queue of one place that is taken: the kernel drops further requests.
        listener, first = socket.socket(family), socket.socket(family)
        listener.bind((host, 0))
        listener.listen(0)
        peer = named(listener.getsockname())
        first.connect(listener.getsockname()[:2])
        second, third = socket.socket(family), socket.socket(family)
        keep.extend([listener, first, second, third])
        expect = {"syscall": "connect", "fd": second.fileno(), "peer": peer, "socket_state": "SYN_SENT"}
        expect["words"] = ["connect to %s (SYN_SENT)" % peer]
        begin("connect to " + host, expect, second.connect, listener.getsockname()[:2])
        third.settimeout(900)
        expect = {"fd": third.fileno(), "peer": peer, "socket_state": "SYN_SENT", "timeout_ms": range_of(900)}
        expect["words"] = ["to be connected (SYN_SENT, timeout 900 s)"]
        begin("connect with timeout to " + host, expect, third.connect, listener.getsockname()[:2])
        queue = socket.socket(family)
        queue.bind((host, 0))
        queue.listen(7)
        for _ in range(3):
            waiting = socket.socket(family)
            waiting.connect(queue.getsockname()[:2])
            keep.append(waiting)
        readable = select.epoll()
        readable.register(queue.fileno(), 0)
        keep.append(queue)
        words = ["listening on %s (3 waiting to be accepted)" % named(queue.getsockname())]
        begin("epoll of " + host, {"words": words}, readable.poll)
        receiver = socket.socket(family, socket.SOCK_DGRAM)
        receiver.bind((host, 0))
        local = named(receiver.getsockname())
        begin("udp " + host, {"local": local, "words": ["recv on fd", "UDP " + local]}, receiver.recv, 1)
        sender = socket.socket(family, socket.SOCK_DGRAM)
        sender.connect(receiver.getsockname()[:2])
        begin("connected udp " + host, {"peer": local, "words": ["-> %s, UDP" % local]}, sender.recv, 1)
    one, other = socket.socketpair()
    keep.append(other)
    expect = {"syscall": "sendto", "fd": one.fileno(), "words": ["send on fd", "Unix socket"]}
    begin("full unix socket", expect, one.sendall, b"x" * (64 << 20))
    name = "\0pyattach-%d" % os.getpid()
    abstract = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    abstract.bind(name)
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagrams.connect(name)
    keep.append(abstract)
    begin("full unix datagram socket", dict(expect, fd=datagrams.fileno()), flood, datagrams)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name + "-listener")
    listener.listen(1)
    local = "@" + name[1:] + "-listener"
    expect = {"local": local, "socket_state": "LISTEN", "words": ["accept on fd", "listening on " + local]}
    begin("abstract accept", expect, listener.accept)
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    expect = {"syscall": "recvfrom", "fd": netlink.fileno(), "words": ["a socket that is in no table"]}
    begin("netlink", expect, netlink.recv, 1)


def flood(sender):
    while True:
        sender.send(b"x")


def shared_locks():
    """What multiprocessing shares among processes."""
    # Where the C library keeps them; a bare root has no such directory.
    os.makedirs("/dev/shm", exist_ok=True)
    lock = multiprocessing.Lock()
    lock.acquire()
    words = ["multiprocessing.SemLock at " + hex(id(lock._semlock)), "3 waiters"]
    expect = {"syscall": "futex", "lock": "multiprocessing.SemLock", "object": hex(id(lock._semlock)), "words": words}
    begin("lock", dict(expect, waiters=3), lock.acquire)
    begin("lock with timeout", dict(expect, any_timeout_ms=[600000, 901000]), lock.acquire, True, 900)
    begin("with lock", expect, enter, lock)
    for made in (multiprocessing.RLock(), multiprocessing.Semaphore(1), multiprocessing.BoundedSemaphore(1)):
        made.acquire()
        name = type(made).__name__
        expect = {"lock": "multiprocessing.SemLock", "object": hex(id(made._semlock)), "waiters": 1}
        begin(name, expect, made.acquire)
    condition = multiprocessing.Condition()
    expect = {"lock": "multiprocessing.SemLock", "object": hex(id(condition._wait_semaphore._semlock))}
    begin("condition", expect, wait_on, condition)
    event = multiprocessing.Event()
    begin("shared event", dict(expect, object=hex(id(event._cond._wait_semaphore._semlock))), event.wait)


def enter(lock):
    with lock:
        pass


def wait_on(condition):
    with condition:
        condition.wait()


def locked_files():
    """Locks of files that others hold: by flock, by fcntl, of an open file description."""
    for kind, take in (("flock", fcntl.flock), ("fcntl", fcntl.lockf)):
        file, path = tempfile.mkstemp()
        holder = child(lambda: take(os.open(path, os.O_RDWR), fcntl.LOCK_EX))
        words = ["%s (fd %d), held by pid %d" % (path, file, holder)]
        begin(kind, {"syscall": kind, "path": path, "pid": holder, "words": words}, take, file, fcntl.LOCK_EX)
    file, path = tempfile.mkstemp()
    lock_all = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(file, 37, lock_all)  # F_OFD_SETLK
    other = os.open(path, os.O_RDWR)
    # Such a lock belongs to no process, so none is named.
    begin("description", {"syscall": "fcntl", "path": path, "pid": None}, fcntl.fcntl, other, 38, lock_all)


def most():
    """Several families at once; no two of their threads have the same name."""
    for family in (locked_files, events, processes):
        family()


def frozen(directory):
    """Files on a file system that the test freezes before it writes a line: whoever changes something waits for it.

    Not so by a write to memory: that would hold the lock of all memory, and every `ps` of the machine would hang.
    """
    path = os.path.join(directory, "file")
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(file, 8192)
    print(json.dumps({"ready": os.getpid()}), flush=True)
    sys.stdin.readline()
    asleep = ["state D"]
    expect = {"syscall": "write", "fd": file, "path": path, "words": ["write on fd %d -> " % file] + asleep}
    begin("write", expect, os.write, file, b"x")
    other = os.path.join(directory, "other")
    begin("open", {"path": other, "words": ["open", other] + asleep}, os.open, other, os.O_CREAT | os.O_WRONLY)
    begin("mkdir", {"path": other, "words": ["mkdir", other] + asleep}, os.mkdir, other)
    begin("unlink", {"path": path, "words": ["unlink", path] + asleep}, os.unlink, path)
    begin("rename", {"path": path, "words": ["rename", path] + asleep}, os.rename, path, other)
    begin("truncate", {"syscall": "ftruncate", "path": path, "words": asleep}, os.ftruncate, file, 4096)
    print(json.dumps(waits), flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    if sys.argv[1] != "frozen":
        print(json.dumps({"ready": os.getpid(), "expect": waits}), flush=True)
    sys.stdin.readline()
    os._exit(0)
