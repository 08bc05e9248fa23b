"""Tasks that each wait for something else, and what must be said of each wait.

A task is known by the function that its coroutine is of. Of its wait are said the kind, how the words begin, the descriptor,
the seconds left (from, to), and the tasks that have to end before, by their functions. At the end a task blocks the loop.
"""

import asyncio
import concurrent.futures
import functools
import json
import os
import socket
import subprocess
import sys
import threading

expect = {}
keep = []
gate = threading.Event()
entered = threading.Semaphore(0)
version = sys.version_info


def start(coroutine):
    """A task, called as its function."""
    name = coroutine.__name__
    if version >= (3, 8):
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
    else:
        task = asyncio.get_event_loop().create_task(coroutine)
    keep.append(task)
    return task


def label(task):
    """How pyattach calls a task."""
    if version >= (3, 8):
        return 'task "%s"' % task.get_name()
    return "task %#x" % id(task)


def check(coroutine, kind, text, **facts):
    """Starts a task of which this must be said."""
    expect[coroutine.__name__] = dict(facts, kind=kind, text=text)
    return start(coroutine)


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def blocking(number):
    entered.release()
    gate.wait()


class Worker:
    def method(self):
        blocking(0)


async def for_ever():
    await asyncio.sleep(1000)


async def finished():
    return 1


async def times():
    async def sleeping():
        await asyncio.sleep(1000)

    async def sleeping_a_day():
        await asyncio.sleep(86400)

    check(sleeping(), "sleep", "sleep, 9", seconds=[900, 1000])
    check(sleeping_a_day(), "sleep", "sleep, 86", seconds=[86000, 86400])

    async def waiting_for():
        await asyncio.wait_for(asyncio.Event().wait(), 500)

    async def waiting_for_task():
        await asyncio.wait_for(sleeper, 600)

    sleeper = start(for_ever())
    if version >= (3, 12):
        check(waiting_for(), "event", "Event (1 waiter), timeout in 4", seconds=[400, 500])
        check(waiting_for_task(), "task", label(sleeper) + ", timeout in 5", seconds=[500, 600], tasks=["for_ever"])
    else:
        check(waiting_for(), "wait_for", "wait_for task ", seconds=[400, 500], tasks=["wait"])
        words = "wait_for " + label(sleeper) + ", timeout in 5"
        check(waiting_for_task(), "wait_for", words, seconds=[500, 600], tasks=["for_ever"])
    if hasattr(asyncio, "timeout"):

        async def in_time():
            async with asyncio.timeout(500):
                await asyncio.Event().wait()

        async def in_time_or_sooner():
            async with asyncio.timeout(500):
                await asyncio.sleep(700)

        check(in_time(), "event", "Event (1 waiter), timeout in 4", seconds=[400, 500])
        check(in_time_or_sooner(), "sleep", "sleep, 6", seconds=[400, 500])


async def together():
    done, one, two = start(finished()), start(for_ever()), start(for_ever())
    one_event = asyncio.Event()

    async def gathering():
        await asyncio.gather(done, one, two)

    async def gathering_mixed():
        await asyncio.gather(one, asyncio.get_event_loop().create_future())

    check(gathering(), "gather", "gather (2 of 3 not done)", tasks=["for_ever", "for_ever"])
    check(gathering_mixed(), "gather", "gather (2 of 2 not done)", tasks=["for_ever"])

    async def waiting_for_all():
        await asyncio.wait([one, two, asyncio.get_event_loop().create_future()], timeout=400)

    async def waiting_for_one():
        await asyncio.wait([one, two], return_when=asyncio.FIRST_COMPLETED)

    words = "wait (3 of 3 not done), timeout in 3"
    check(waiting_for_all(), "wait", words, tasks=["for_ever", "for_ever"], seconds=[300, 400])
    check(waiting_for_one(), "wait", "wait (2 of 2 not done, for the first)", tasks=["for_ever", "for_ever"])

    async def completing():
        for each in asyncio.as_completed([done, one, two]):
            await each

    check(completing(), "wait", "as_completed (2 not done)", tasks=["for_ever", "for_ever"])

    async def shielding():
        await asyncio.shield(one)

    async def awaiting_task():
        await two

    check(shielding(), "shield", "shield of " + label(one), tasks=["for_ever"])
    check(awaiting_task(), "task", label(two), tasks=["for_ever"])
    if hasattr(asyncio, "TaskGroup"):

        async def grouping():
            async with asyncio.TaskGroup() as group:
                group.create_task(for_ever())
                group.create_task(finished())
                group.create_task(one_event.wait())

        check(grouping(), "task_group", "TaskGroup (2 tasks not done)", tasks=["for_ever", "wait"])


async def executors():
    loop = asyncio.get_event_loop()
    pool = concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="pool")
    keep.append(pool)

    async def in_thread():
        await loop.run_in_executor(pool, blocking, 1)

    async def of_method():
        await loop.run_in_executor(pool, functools.partial(Worker().method))

    async def queued_first():
        await loop.run_in_executor(pool, functools.partial(blocking, 2))

    async def queued_last():
        await loop.run_in_executor(pool, os.getpid)

    async def waiting_shielded():
        await asyncio.wait_for(asyncio.shield(loop.run_in_executor(pool, sum, ())), 300)

    check(in_thread(), "executor", 'run_in_executor: blocking in thread "pool_0"')
    await settle()
    entered.acquire()
    check(of_method(), "executor", 'run_in_executor: Worker.method in thread "pool_1"')
    await settle()
    entered.acquire()
    check(queued_first(), "executor", "run_in_executor: blocking, queued at place 1 of 3, 2 threads")
    await settle()
    check(queued_last(), "executor", "run_in_executor: posix.getpid, queued at place 2 of 3, 2 threads")
    await settle()
    words = "shield of run_in_executor: sum, queued at place 3 of 3, 2 threads, timeout in 2"
    words = words if version >= (3, 12) else "wait_for " + words
    check(waiting_shielded(), "shield", words, seconds=[200, 300])
    if hasattr(asyncio, "to_thread"):

        async def to_thread():
            await asyncio.to_thread(blocking, 1)

        check(to_thread(), "executor", 'run_in_executor: blocking in thread "asyncio_0"')
        await settle()
        entered.acquire()


async def queues():
    empty, full, unfinished = asyncio.Queue(100), asyncio.Queue(2), asyncio.Queue()
    for queue in full, unfinished:
        queue.put_nowait(1)
        queue.put_nowait(2)
    unfinished.get_nowait()
    sorted_queue = asyncio.PriorityQueue()

    async def getting():
        await empty.get()

    async def getting_too():
        await empty.get()

    async def getting_least():
        await sorted_queue.get()

    async def putting():
        await full.put(3)

    async def joining():
        await unfinished.join()

    check(getting(), "queue", "Queue.get (0 of 100 items, 2 waiters)")
    check(getting_too(), "queue", "Queue.get (0 of 100 items, 2 waiters)")
    check(getting_least(), "queue", "PriorityQueue.get (0 items, 1 waiter)")
    check(putting(), "queue", "Queue.put (2 of 2 items, 1 waiter)")
    check(joining(), "queue", "Queue.join (2 not done)")


async def locks():
    lock, by_hand, of_condition = asyncio.Lock(), asyncio.Lock(), asyncio.Condition()

    async def holding():
        async with lock:
            await asyncio.sleep(1000)

    holder = start(holding())
    await settle()

    async def wanting():
        async with lock:
            pass

    async def wanting_deep():
        async with asyncio.Lock():
            for _ in range(3):
                async with lock:
                    pass

    words = "Lock held by %s (2 waiters)" % label(holder)
    check(wanting(), "lock", words, tasks=["holding"])
    check(wanting_deep(), "lock", words, tasks=["holding"])

    async def wanting_by_hand():
        await by_hand.acquire()

    await by_hand.acquire()
    check(wanting_by_hand(), "lock", "Lock held by an unknown task (1 waiter)", tasks=[])

    async def holding_condition():
        async with of_condition:
            await asyncio.sleep(1000)

    async def notified():
        async with of_condition:
            await of_condition.wait()

    async def wanting_condition():
        async with of_condition:
            pass

    check(notified(), "condition", "Condition (1 waiter)")
    await settle()
    holder = start(holding_condition())
    await settle()
    check(wanting_condition(), "lock", "Lock held by %s (1 waiter)" % label(holder), tasks=["holding_condition"])


async def primitives():
    semaphore, bounded, event = asyncio.Semaphore(2), asyncio.BoundedSemaphore(1), asyncio.Event()

    async def working():
        async with semaphore:
            await asyncio.sleep(1000)

    async def wanting_semaphore():
        async with semaphore:
            pass

    async def wanting_bounded():
        await bounded.acquire()

    workers = sorted([start(working()), start(working())], key=label)
    await bounded.acquire()
    await settle()
    words = "Semaphore (0 free, 1 waiter), held by "
    check(wanting_semaphore(), "semaphore", words, tasks=["working"] * len(workers))
    check(wanting_bounded(), "semaphore", "BoundedSemaphore (0 free, 1 waiter)", tasks=[])

    async def hearing():
        await event.wait()

    check(hearing(), "event", "Event (1 waiter)")
    if hasattr(asyncio, "Barrier"):
        barrier = asyncio.Barrier(3)

        async def meeting():
            await barrier.wait()

        check(meeting(), "barrier", "Barrier (1 of 3 there)")


class Silent(asyncio.Protocol):
    """Waits for an answer in a future of its own, as database drivers do."""

    def connection_made(self, transport):
        self.transport = transport

    async def answer(self):
        await asyncio.get_event_loop().create_future()


async def network():
    loop = asyncio.get_event_loop()
    pairs = [socket.socketpair() for _ in range(5)]
    for each in pairs:
        for end in each:
            end.setblocking(False)
    keep.append(pairs)
    raw, streamed, drained, of_protocol, watched = [pair[0] for pair in pairs]

    async def receiving():
        await loop.sock_recv(raw, 1)

    check(receiving(), "socket", "recv on fd %d" % raw.fileno(), fd=raw.fileno())
    reader, writer = await asyncio.open_connection(sock=streamed)
    keep.append(writer)

    async def reading_line():
        await reader.readline()

    words = "StreamReader.readline on fd %d" % streamed.fileno()
    check(reading_line(), "socket", words, fd=streamed.fileno())
    _, full = await asyncio.open_connection(sock=drained)
    full.write(b"x" * (4 << 20))

    async def draining():
        await full.drain()

    check(draining(), "socket", "StreamWriter.drain on fd %d" % drained.fileno(), fd=drained.fileno())
    server = await asyncio.start_server(lambda *ends: keep.append(ends), "127.0.0.1", 0)

    async def serving():
        await server.serve_forever()

    listening = server.sockets[0].fileno()
    check(serving(), "socket", "Server.serve_forever on fd %d" % listening, fd=listening)
    there, there_writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    keep.append(there_writer)

    async def reading_there():
        await there.read(10)

    connected = there_writer.get_extra_info("socket").fileno()
    peer = "%s:%d" % there_writer.get_extra_info("peername")
    check(reading_there(), "socket", "StreamReader.read on fd %d" % connected, fd=connected, peer=peer)
    _, protocol = await loop.create_connection(Silent, sock=of_protocol)
    words = "a future of a Silent with a connection on fd %d" % of_protocol.fileno()
    check(protocol.answer(), "future", words, fd=of_protocol.fileno())
    future = loop.create_future()
    loop.add_reader(watched, future.set_result, None)
    keep.append(future)

    async def being_told():
        told = loop.create_future()
        loop.add_reader(watched, lambda future: future.set_result(None), told)
        await told

    check(being_told(), "socket", "a future for fd %d" % watched.fileno(), fd=watched.fileno())
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    keep.append(child)

    async def parenting():
        await child.wait()

    check(parenting(), "subprocess", "the end of child process %d" % child.pid)


async def others():
    loop = asyncio.get_event_loop()
    done = loop.create_future()

    async def bare():
        await loop.create_future()

    async def ready():
        await done

    check(bare(), "future", "a future")
    check(ready(), "turn", "its turn: what it waited for is done")
    await settle()

    async def unstarted():
        pass

    async def turning():
        await asyncio.sleep(0)

    check(turning(), "turn", "its turn, after sleep(0)")
    await asyncio.sleep(0)
    done.set_result(None)
    check(unstarted(), "turn", "its first turn")


async def main():
    for family in times, together, executors, queues, locks, primitives, network:
        await family()
    await settle()
    await others()
    loop = asyncio.get_event_loop()
    facts = {"ready": len(loop._ready), "scheduled": len(loop._scheduled), "ident": threading.get_ident()}
    current = asyncio.current_task()
    name = current.get_name() if version >= (3, 8) else None
    thread = {
        "id": "%#x" % id(loop),
        "class": "%s.%s" % (type(loop).__module__, type(loop).__qualname__),
        "running_task": {"id": "%#x" % id(current), "name": name},
        "ready": facts["ready"],
        "scheduled": facts["scheduled"],
    }
    said = {"tasks": expect, "loop": facts, "thread": thread}
    print(json.dumps({"ready": os.getpid(), "expect": said}), flush=True)
    os.read(0, 1)
    os._exit(0)


asyncio.run(main())
