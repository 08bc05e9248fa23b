"""Objects of the standard library for values.py: what threads and tasks wait with, files, views, patterns."""

import array
import asyncio
import collections
import concurrent.futures
import contextvars
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import types
import weakref

import _pydecimal
import _thread

import truth

keep = []  # what nothing else refers to
TEXTS_SINCE_3_11 = sys.version_info >= (3, 11)


def address(value):
    return "%#x" % id(value)


def full_name(value):
    return "%s.%s" % (type(value).__module__, type(value).__qualname__)


class Worker(threading.Thread):
    pass


class Plain:
    pass


def fill(same, other):
    for part in (threads, locks, queues, asyncio_things, futures, generators, views, arrays, patterns, references, files):
        part(same, other)
    sockets(same, other)
    process_locks(same, other)
    processes(same, other)
    decimals(same, other)


def until(condition):
    """Another thread makes it so, and soon."""
    while not condition():
        os.sched_yield()


def threads(same, other):
    ended = threading.Thread(target=len, args=((),), name="ended")
    ended.start()
    ended.join()
    waiting = truth.start(truth.park, name="waiting \N{SNOWMAN}", daemon=True)
    same(threading.Thread(name="idle"), ended, waiting, Worker(name="of a subclass"), threading.main_thread())
    same(threading.Timer(9, len, ()))
    busy = Worker(name="busy", daemon=True)
    busy.jobs, busy._private, busy.token = [1], 2, None
    other(busy, "<Worker(busy, initial daemon) jobs=[1], token=None>")
    dummies = []

    def foreign():
        dummies.append(threading.current_thread())
        truth.park()

    _thread.start_new_thread(foreign, ())
    truth.wait_for_announcement()
    same(dummies[0])


def locks(same, other):
    held = threading.Condition()
    held.acquire()
    same(threading.Condition(), threading.Condition(threading.Lock()), held)

    def described(value, text):
        text = "<%s at %s: %s>" % (full_name(value), address(value), text)
        other(value, text)
        assert not TEXTS_SINCE_3_11 or "waiting" in text or repr(value) == text, text

    free, taken = threading.Semaphore(3), threading.BoundedSemaphore(2)
    taken.acquire()
    described(free, "value=3")
    described(taken, "value=1/2")
    happened, awaited = threading.Event(), threading.Event()
    happened.set()
    described(happened, "set")
    described(threading.Event(), "unset")
    threading.Thread(target=awaited.wait, daemon=True).start()
    until(lambda: awaited._cond._waiters)
    described(awaited, "unset, 1 waiting")
    broken, filling = threading.Barrier(2), threading.Barrier(3)
    broken.abort()
    described(broken, "broken")
    threading.Thread(target=filling.wait, daemon=True).start()
    until(lambda: filling.n_waiting)
    described(filling, "waiters=1/3")


def process_locks(same, other):
    # A root may have no place for them.
    if os.path.isdir("/dev/shm"):
        from multiprocessing import synchronize, get_context

        # The other ways to start processes have another process look after their locks.
        fork = get_context("fork")
        free, held = synchronize.SemLock(1, 1, 1, ctx=fork)._semlock, fork.RLock()._semlock
        held.acquire()
        held.acquire()
        text = "<_multiprocessing.SemLock at %s count=%d, maxvalue=1%s>"
        other(free, text % (address(free), 0, ""))
        other(held, text % (address(held), 2, ", owner=%d" % threading.get_ident()))


def queues(same, other):
    def shown(value, text):
        other(value, "<%s at %s %s>" % (full_name(value), address(value), text))

    filled, empty, last, first = queue.Queue(2), queue.Queue(), queue.LifoQueue(), queue.PriorityQueue(9)
    for one in (filled, last, first):
        one.put("b")
        one.put("a")
    shown(filled, "length=2, maxsize=2, unfinished=2, queue=deque(['b', 'a'])")
    shown(last, "length=2, maxsize=0, unfinished=2, queue=['b', 'a']")
    shown(first, "length=2, maxsize=9, unfinished=2, queue=['a', 'b']")
    threading.Thread(target=empty.get, daemon=True).start()
    until(lambda: empty.not_empty._waiters)
    shown(empty, "length=0, maxsize=0, getters=1")
    full = queue.Queue(1)
    full.put([1])
    for blocked in (full.join, lambda: full.put(2)):
        threading.Thread(target=blocked, daemon=True).start()
    until(lambda: full.not_full._waiters and full.all_tasks_done._waiters)
    shown(full, "length=1, maxsize=1, unfinished=1, putters=1, joiners=1, queue=deque([[1]])")
    if hasattr(queue.Queue, "shutdown"):
        shut = queue.Queue()
        shut.shutdown()
        shown(shut, "length=0, maxsize=0, shut down")
    simple, turned = queue.SimpleQueue(), queue.SimpleQueue()
    shown(simple, "length=0")
    for i in range(20):
        turned.put(i)
        if i % 4:
            turned.get()
    shown(turned, "length=5, queue=[15, 16, 17, 18, 19]")


def asyncio_things(same, other):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    async def fill():
        lock, event, condition = asyncio.Lock(), asyncio.Event(), asyncio.Condition()
        semaphore, filled, awaited, full = asyncio.Semaphore(1), asyncio.Queue(3), asyncio.Queue(), asyncio.Queue(1)
        filled.put_nowait("a")
        filled.put_nowait([1])
        full.put_nowait(1)
        same(lock, condition, semaphore, asyncio.Event(), asyncio.Lock(), asyncio.Queue(), filled, asyncio.PriorityQueue(2))
        held, used, happened = asyncio.Lock(), asyncio.Semaphore(1), asyncio.Event()
        happened.set()
        await held.acquire()
        await used.acquire()
        waits = (held.acquire(), used.acquire(), awaited.get(), full.put(2), event.wait())
        keep.extend(map(asyncio.ensure_future, waits))
        await asyncio.sleep(0)
        same(held, used, awaited, full, event, happened)
        if hasattr(asyncio, "Barrier"):
            barrier = asyncio.Barrier(2)
            keep.append(asyncio.ensure_future(barrier.wait()))
            await asyncio.sleep(0)
            same(barrier, asyncio.Barrier(3))

    loop.run_until_complete(fill())
    async def work():
        pass

    # Written in Python, and in C.
    kinds = [(asyncio.futures._PyFuture, asyncio.tasks._PyTask), (asyncio.futures._CFuture, asyncio.tasks._CTask)]
    for Future, Task in kinds:
        pending, done, failed, cancelled, nothing = (Future(loop=loop) for _ in range(5))
        done.set_result(["result"])
        failed.set_exception(ValueError("failed"))
        cancelled.cancel()
        nothing.set_result(None)
        same(pending, done, failed, cancelled, nothing)
        named, nameless = ((Task(coroutine, loop=loop), coroutine) for coroutine in (work(), work()))
        keep.extend([named, nameless])
        names = ["", ""]
        if hasattr(Task, "get_name"):
            first = named[0].get_name()
            # The other's is the next; nobody has asked for it yet.
            names = ["name=%r " % name for name in (first, "Task-%d" % (int(first[5:]) + 1))]
        for (task, coroutine), name in zip((named, nameless), names):
            shown = "<coroutine object %s at %s, created>" % (work.__qualname__, address(coroutine))
            other(task, "<Task pending %scoro=%s>" % (name, shown))


def futures(same, other):
    pending, running, done, failed, cancelled = (concurrent.futures.Future() for _ in range(5))
    running.set_running_or_notify_cancel()
    done.set_result([1])
    failed.set_exception(ValueError())
    cancelled.cancel()
    same(pending, running, done, failed, cancelled)


def generators(same, other):
    def count():
        yield 1

    def running():
        yield truth.park()

    async def work():
        await pause()

    @types.coroutine
    def pause():
        yield

    async def give():
        yield 1

    def shown(value, state):
        other(value, "%s, %s>" % (repr(value)[:-1], state))

    fresh, begun, ended, now = count(), count(), count(), running()
    next(begun)
    list(ended)
    truth.start(collections.deque, now, 0, daemon=True)
    for value, state in ((fresh, "created"), (begun, "suspended"), (ended, "closed"), (now, "running")):
        shown(value, state)
    shown(work(), "created")
    awaiting, finished = work(), work()
    awaiting.send(None)
    finished.close()
    shown(awaiting, "suspended")
    shown(finished, "closed")
    given = give()
    try:
        given.__anext__().send(None)
    except StopIteration:
        shown(given, "suspended")
    shown(give(), "created")


def views(same, other):
    plain, ordered = {"a": 1, 2: [3]}, collections.OrderedDict([("a", 1), ("b", 2), ("c", 3)])
    ordered.move_to_end("a")
    same({}.keys(), {}.items(), plain.keys(), plain.values(), plain.items())
    same(ordered.keys(), ordered.values(), ordered.items())
    same(types.MappingProxyType({}), types.MappingProxyType(plain), types.SimpleNamespace())
    same(types.SimpleNamespace(a=1, b="x"), collections.ChainMap(), collections.ChainMap({"a": 1}, {"b": 2}))


def arrays(same, other):
    same(array.array("i"), array.array("i", [1, -2, 3]), array.array("B", b"\0\xff"), array.array("Q", [2**64 - 1]))
    same(array.array("b", [-128]), array.array("h", [-300, 300]), array.array("d", [0.1, 1e300]), array.array("f", [0.1, 1.5]))
    same(array.array("u", "n\xe4h"), array.array("q", range(50)))

    def memory(value, text):
        other(value, "<memory at %s %s>" % (address(value), text))

    memory(memoryview(b"bytes"), "nbytes=5, format='B', readonly=True, obj=b'bytes'")
    memory(memoryview(bytearray(b"x")), "nbytes=1, format='B', readonly=False, obj=bytearray(b'x')")
    memory(memoryview(array.array("d", [1.5, 2])), "nbytes=16, format='d', readonly=False, obj=array('d', [1.5, 2.0])")
    released = memoryview(b"")
    released.release()
    other(released, "<released memory at %s>" % address(released))


def patterns(same, other):
    same(re.compile("a+"), re.compile("it's", re.I | re.M), re.compile(b"\0", re.S), re.compile("x", re.A | re.X))
    same(re.match("a(b)?", "ab"), re.search("c", "abc"), re.search(b"b+", b"abbc"), re.search("$", "abc"))
    same(re.search("\u540d", "x\u540d\U0001f600"), re.search("end", "long " * 1000 + "end"))


def function():
    pass


def references(same, other):
    kept = Plain()
    keep.append(kept)
    gone = Plain()
    dead = weakref.ref(gone)
    del gone
    # With its module, as from 3.13 on.
    weak = weakref.ref(kept)
    other(weak, "<weakref at %s; to '%s' at %s>" % (address(weak), full_name(kept), address(kept)))
    same(dead, weakref.ref(Plain), weakref.ref(function))
    same(contextvars.ContextVar("without"), contextvars.ContextVar("with", default=[1]))


def files(same, other):
    def shown(value, fd):
        other(value, "%s %s>" % (repr(value)[:-1].replace(" closefd=True", ""), fd))

    text, binary = open(__file__, encoding="utf-8"), open(__file__, "rb")
    bare, closed = open(__file__, "rb", buffering=0), open(__file__, "rb")
    written, both = os.fdopen(os.dup(0), "wb"), tempfile.TemporaryFile()
    closed.close()
    for value in (text, binary, bare, written, both):
        shown(value, "fd=%d" % value.fileno())
    shown(closed, "closed")
    other(closed.raw, "<_io.FileIO name=%r mode='rb' closed>" % __file__)
    other(both.raw, "<_io.FileIO name=%d mode='rb+' fd=%d>" % (both.fileno(), both.fileno()))


def sockets(same, other):
    def shown(value, text):
        other(value, "<socket.socket fd=%d, %s>" % (value.fileno(), text))

    plain, datagrams, closed = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket()
    datagrams.settimeout(2.5)
    closed.close()
    shown(plain, "family=AF_INET, type=SOCK_STREAM, proto=%d, timeout=None" % plain.proto)
    shown(datagrams, "family=AF_INET, type=SOCK_DGRAM, proto=%d, timeout=2.5" % datagrams.proto)
    pair = socket.socketpair()
    pair[0].setblocking(False)
    shown(pair[0], "family=AF_UNIX, type=SOCK_STREAM, proto=0, timeout=0.0")
    other(closed, "<socket.socket [closed]>")


def processes(same, other):
    # Ends with its standard input, which ends with this process.
    child = subprocess.Popen([sys.executable, "-S", "-c", "import os; os.read(0, 1)"], stdin=subprocess.PIPE)
    text = "<subprocess.Popen at %s pid=%d, returncode=None, args=%r>" % (address(child), child.pid, child.args)
    other(child, text)


def decimals(same, other):
    texts = ("0", "1", "-1.5", "0.001", "1E+3", "1E-10", "123.4500", "-0", "NaN", "-Infinity", "sNaN", "NaN12", "0E-8")
    same(*map(_pydecimal.Decimal, texts))
