"""Tasks of every shape, all of them waiting. Says of each what must be seen: its name, where its coroutines are, what kind
of thing it waits for, which tasks wait for it.

Where coroutines are is asked of them, once everything stands still; who waits for whom is known from building it.
"""

import asyncio
import concurrent.futures
import gc
import json
import os
import socket
import sys
import threading
import types

import truth

facts = {}  # of each task, by the task
edges = []  # pairs: the first waits for the second
kept = []  # nothing may be collected
LONG = 5000
# CPython's own tool refuses a process with such a name.
STRANGE = "tame" if "tame" in sys.argv else "n\u00e9 \u540d \x1b[31m" + "long" * 100
GATE = os.pipe()[0]  # nobody ever writes to it


def spawn(coroutine, shape, name, kind, awaits=(), make=None, **more):
    """Makes a task that waits for a thing of this kind, and for these tasks."""
    task = make(coroutine) if make else asyncio.get_event_loop().create_task(coroutine)
    if hasattr(task, "set_name") and name:
        task.set_name(name)
    facts[task] = dict(more, shape=shape, name=name, kind=kind)
    edges.extend((task, awaited) for awaited in awaits)
    return task


def never():
    future = asyncio.get_event_loop().create_future()
    kept.append(future)
    return future


async def hold():
    await never()


async def awaiting(awaitable):
    await awaitable


# Nested awaits, and all that can stand between a task and what it waits for.


async def leaf():
    event = asyncio.Event()
    kept.append(event)
    await event.wait()


async def middle():
    return [await leaf()]


async def outer():
    for _ in range(3):
        value = (
            await middle())
    return value


class Awaitable:
    def __await__(self):
        yield from leaf().__await__()


@types.coroutine
def old_style():
    yield from leaf()


class Manager:
    async def __aenter__(self):
        await leaf()

    async def __aexit__(self, *exception):
        pass


async def with_manager():
    async with Manager():
        pass


async def nested():
    spawn(outer(), "nested", "nested", "event")
    spawn(awaiting(Awaitable()), "nested", "nested-awaitable", "event")
    spawn(awaiting(old_style()), "nested", "nested-old-style", "event")
    spawn(with_manager(), "nested", "nested-manager", "event")
    spawn(hold(), "nested", None, "future")
    spawn(hold(), "nested", STRANGE, "future")


async def numbers():
    await leaf()
    yield 1


async def more_numbers():
    async for number in numbers():
        yield number


async def iterate(generator):
    async for _ in generator:
        pass


async def comprehend():
    return [number async for number in more_numbers()]


async def cleaning():
    try:
        yield 1
    finally:
        await leaf()


async def close():
    generator = cleaning()
    await generator.__anext__()
    await generator.aclose()


async def throw():
    generator = cleaning()
    await generator.__anext__()
    await generator.athrow(ValueError("thrown"))


async def ask_next():
    return await anext(numbers(), None)


async def async_generators():
    spawn(iterate(numbers()), "async_generators", "generator-for", "event")
    spawn(iterate(more_numbers()), "async_generators", "generator-of-generator", "event")
    spawn(comprehend(), "async_generators", "generator-comprehension", "event")
    spawn(awaiting(numbers().asend(None)), "async_generators", "generator-asend", "event")
    spawn(close(), "async_generators", "generator-aclose", "event")
    spawn(throw(), "async_generators", "generator-athrow", "event")
    if sys.version_info >= (3, 10):
        spawn(ask_next(), "async_generators", "generator-anext", "event")


# What asyncio makes of several.


async def do_gather(*tasks):
    await asyncio.gather(*tasks, return_exceptions=True)


async def gather():
    children = [spawn(hold(), "gather", "gather-child-%d" % n, "future") for n in range(3)]
    spawn(do_gather(*children), "gather", "gather", "gather", children)
    inner = spawn(hold(), "gather", "gather-inner-child", "future")
    middle = spawn(do_gather(inner), "gather", "gather-middle", "gather", [inner])
    spawn(do_gather(middle), "gather", "gather-outer", "gather", [middle])


async def do_wait(tasks, how):
    await asyncio.wait(tasks, return_when=how)


async def complete(tasks):
    for one in asyncio.as_completed(tasks):
        await one


async def wait():
    children = [spawn(hold(), "wait", "wait-child-%d" % n, "future") for n in range(3)]
    spawn(do_wait(children, asyncio.ALL_COMPLETED), "wait", "wait", "wait", children)
    first = [spawn(hold(), "wait", "wait-first-child-%d" % n, "future") for n in range(2)]
    spawn(do_wait(first, asyncio.FIRST_COMPLETED), "wait", "wait-first", "wait", first)
    single = [spawn(hold(), "wait", "wait-completed-child-%d" % n, "future") for n in range(2)]
    spawn(complete(single), "wait", "wait-completed", "wait", single)


async def in_group(started):
    async with asyncio.TaskGroup() as group:
        started.extend(group.create_task(hold(), name="group-child-%d" % n) for n in range(3))


async def in_outer_group(started):
    async with asyncio.TaskGroup() as group:
        started.append(group.create_task(in_group(started), name="group-inner"))


async def task_group():
    started = []
    group = spawn(in_group(started), "task_group", "group", "task_group")
    nested = []
    outer_group = spawn(in_outer_group(nested), "task_group", "group-outer", "task_group")
    await settle()
    for child in started:
        facts[child] = {"shape": "task_group", "name": child.get_name(), "kind": "future"}
        edges.append((group, child))
    inner, *children = nested
    facts[inner] = {"shape": "task_group", "name": "group-inner", "kind": "task_group"}
    edges.append((outer_group, inner))
    for child in children:
        facts[child] = {"shape": "task_group", "name": child.get_name(), "kind": "future"}
        edges.append((inner, child))


async def do_shield(task):
    await asyncio.shield(task)


async def shield():
    inner = spawn(hold(), "shield", "shield-inner", "future")
    spawn(do_shield(inner), "shield", "shield", "shield", [inner])


async def do_wait_for(task):
    await asyncio.wait_for(task, 100000)


async def wait_for():
    inner = spawn(hold(), "wait_for", "wait_for-inner", "future")
    # From 3.12 on it awaits the task itself.
    kind = "task" if sys.version_info >= (3, 12) else "wait_for"
    spawn(do_wait_for(inner), "wait_for", "wait_for", kind, [inner])


async def in_timeout():
    async with asyncio.timeout(100000):
        await leaf()


async def timeout():
    spawn(in_timeout(), "timeout", "timeout", "event")


async def awaited_task():
    inner = spawn(hold(), "task", "task-inner", "future")
    spawn(awaiting(inner), "task", "task", "task", [inner])
    # Several wait for one.
    shared = spawn(hold(), "task", "task-shared", "future")
    for n in range(3):
        spawn(awaiting(shared), "task", "task-sharing-%d" % n, "task", [shared])


# Things that tasks share.


async def get(queue):
    await queue.get()


async def put(queue):
    await queue.put(1)


async def join(queue):
    await queue.join()


async def queue():
    empty, full = asyncio.Queue(), asyncio.Queue(1)
    full.put_nowait(0)
    kept.extend([empty, full])
    for n in range(2):
        spawn(get(empty), "queue", "queue-get-%d" % n, "queue")
    spawn(put(full), "queue", "queue-put", "queue")
    spawn(join(full), "queue", "queue-join", "queue")


async def locked(lock):
    async with lock:
        await hold()


async def locks():
    lock = asyncio.Lock()
    holder = spawn(locked(lock), "locks", "lock-holder", "future")
    for n in range(2):
        spawn(locked(lock), "locks", "lock-%d" % n, "lock", [holder])
    semaphore = asyncio.Semaphore(1)
    await semaphore.acquire()
    spawn(locked(semaphore), "locks", "semaphore", "semaphore")
    condition = asyncio.Condition()

    async def notified():
        async with condition:
            await condition.wait()

    spawn(notified(), "locks", "condition", "condition")
    event = asyncio.Event()
    spawn(awaiting(event.wait()), "locks", "event", "event")
    kept.extend([lock, semaphore, condition, event])
    if sys.version_info >= (3, 11):
        barrier = asyncio.Barrier(3)
        kept.append(barrier)
        spawn(awaiting(barrier.wait()), "locks", "barrier", "barrier")


# The world outside.


def blocked():
    os.read(GATE, 1)


async def in_executor(executor):
    await asyncio.get_event_loop().run_in_executor(executor, blocked)


async def executor():
    workers = concurrent.futures.ThreadPoolExecutor(1)
    kept.append(workers)
    spawn(in_executor(workers), "executor", "executor", "executor")
    await settle()
    spawn(in_executor(workers), "executor", "executor-queued", "executor")


async def do_sleep():
    await asyncio.sleep(100000)


async def sleep():
    spawn(do_sleep(), "sleep", "sleep", "sleep")


async def receive(connection):
    await asyncio.get_event_loop().sock_recv(connection, 1)


async def sockets():
    pairs = [socket.socketpair() for _ in range(2)]
    kept.extend(pairs)
    for ends in pairs:
        ends[0].setblocking(False)
    spawn(receive(pairs[0][0]), "socket", "socket", "socket", fd=pairs[0][0].fileno())
    reader, writer = await asyncio.open_connection(sock=pairs[1][0])
    kept.extend([reader, writer])
    spawn(awaiting(reader.readline()), "socket", "socket-stream", "socket", fd=pairs[1][0].fileno())


async def child():
    command = sys.executable, "-I", "-S", "-c", "import os; os.read(0, 1)"
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    kept.append(process)
    spawn(awaiting(process.wait()), "subprocess", "subprocess", "subprocess")


# Tasks that are not the common ones.


class Subclassed(asyncio.Task):
    pass


async def eager():
    def make(coroutine):
        return asyncio.Task(coroutine, loop=asyncio.get_running_loop(), eager_start=True)

    inner = spawn(hold(), "eager", "eager-inner", "future", make=make)
    spawn(awaiting(inner), "eager", "eager", "task", [inner], make=make)


async def python_tasks():
    def make(coroutine):
        return asyncio.tasks._PyTask(coroutine, loop=asyncio.get_event_loop())

    inner = spawn(outer(), "python_tasks", "python-inner", "event", make=make)
    spawn(do_gather(inner), "python_tasks", "python-gather", "gather", [inner], make=make)
    spawn(awaiting(inner), "python_tasks", "python-outer", "task", [inner])


async def subclassed():
    def make(coroutine):
        return Subclassed(coroutine, loop=asyncio.get_event_loop())

    inner = spawn(hold(), "subclassed", "subclassed-inner", "future", make=make)
    spawn(awaiting(inner), "subclassed", "subclassed", "task", [inner], make=make)


# Tasks that will not get on.


async def cycle():
    tasks = []

    async def of_next(n):
        await tasks[(n + 1) % len(tasks)]

    for n in range(3):
        tasks.append(spawn(of_next(n), "cycle", "cycle-%d" % n, "task"))
    edges.extend(zip(tasks, tasks[1:] + tasks[:1]))


async def chain():
    task = spawn(hold(), "chain", "chain-0", "future")
    for n in range(1, LONG):
        task = spawn(awaiting(task), "chain", "chain-%d" % n, "task", [task])


async def fail():
    raise KeyError("missing", 7)


async def finished():
    # From 3.14 on asyncio has no list of tasks that are done.
    optional = sys.version_info >= (3, 14)
    failed = spawn(fail(), "finished", "failed", None, state="failed", exception="KeyError('missing', 7)", optional=optional)
    pending = spawn(hold(), "finished", "finished-sibling", "future")
    spawn(do_gather(failed, pending), "finished", "finished-gather", "gather", [pending])


async def stubborn():
    while True:
        try:
            await hold()
        except asyncio.CancelledError:
            await leaf()


async def cancelled():
    task = spawn(stubborn(), "cancelled", "stubborn", "event")
    await settle()
    task.cancel()
    await settle()
    if hasattr(task, "cancelling"):
        facts[task]["cancel_requests"] = 1


ALL = [nested, async_generators, gather, wait, shield, wait_for, awaited_task, queue, locks, executor, sleep, sockets, child,
       python_tasks, subclassed, cycle, chain, finished, cancelled]
if sys.version_info >= (3, 11):
    ALL += [task_group, timeout]
if sys.version_info >= (3, 12):
    ALL += [eager]


async def settle():
    """Every task takes its first steps."""
    for _ in range(10):
        await asyncio.sleep(0)


# What there is to say.


def coroutines(thing):
    """The frames of a chain of awaits, outermost first."""
    while thing is not None:
        if isinstance(thing, types.CoroutineType):
            frame, thing = thing.cr_frame, thing.cr_await
        elif isinstance(thing, types.AsyncGeneratorType):
            frame, thing = thing.ag_frame, thing.ag_await
        elif isinstance(thing, types.GeneratorType):
            frame, thing = thing.gi_frame, thing.gi_yieldfrom
        elif type(thing).__name__ in WRAPPERS:
            thing = next((one for one in gc.get_referents(thing) if is_link(one)), None)
            continue
        else:
            return
        if frame is not None:
            yield frame


WRAPPERS = "async_generator_asend", "async_generator_athrow", "coroutine_wrapper", "anext_awaitable"


def is_link(thing):
    kinds = types.CoroutineType, types.AsyncGeneratorType, types.GeneratorType
    return isinstance(thing, kinds) or type(thing).__name__ in WRAPPERS


def tell(task, fact):
    loop = fact.pop("of_loop")
    # 3.7 has no get_coro(), but the attribute.
    coroutine = task.get_coro() if hasattr(task, "get_coro") else task._coro
    told = dict(fact, id=hex(id(task)), loop=hex(id(loop.loop)), tid=loop.tid, state=fact.get("state", "pending"))
    told["class"] = "%s.%s" % (type(task).__module__, type(task).__qualname__)
    if not hasattr(task, "set_name"):
        told["name"], told["nameless"] = None, True
    told["frames"] = [truth.describe(frame) for frame in coroutines(coroutine)][::-1]
    if told["name"]:
        told["name"] = truth.clean(told["name"])
    return told


class Loop:
    def __init__(self, loop):
        self.loop, self.tid, self.told = loop, truth.native_id(), []
        asyncio.set_event_loop(loop)

    async def main(self, shapes, done):
        mine = set(facts)
        facts[asyncio.current_task()] = {"shape": "main", "name": None, "kind": "future"}
        for shape in shapes:
            await shape()
        await settle()
        mine = set(facts) - mine
        self.loop.call_soon(self.finish, mine, done)
        await never()

    def finish(self, mine, done):
        """Every task waits, and goes on doing so."""
        for task in mine:
            facts[task]["of_loop"] = self
        self.told = [tell(task, facts[task]) for task in mine]
        done(self)


def other_thread(made, ready):
    loop = Loop(made())
    loop.loop.run_until_complete(loop.main([gather, queue, sleep], lambda told: ready.append(told) or arrived.set()))


arrived = threading.Event()


def publish(loops):
    told = [one for loop in loops for one in loop.told]
    awaited_by = {}
    for by, awaited in edges:
        awaited_by.setdefault(hex(id(awaited)), set()).add(hex(id(by)))
    for one in told:
        one["awaited_by"] = sorted(awaited_by.get(one["id"], ()))
    shown = [{"id": hex(id(loop.loop)), "tid": loop.tid, "tasks": len(loop.told),
              "class": "%s.%s" % (type(loop.loop).__module__, type(loop.loop).__qualname__)} for loop in loops]
    expect = {"tasks": told, "loops": shown, "cycles": 1}
    truth.write_all(1, json.dumps({"ready": os.getpid(), "expect": expect}).encode() + b"\n")


def run(made):
    ready = []
    threading.Thread(target=other_thread, args=(made, ready), name="other loop", daemon=True).start()
    arrived.wait()
    loop = Loop(made())
    loop.loop.add_reader(0, os._exit, 0)
    loop.loop.run_until_complete(loop.main(ALL, lambda told: publish([told] + ready)))


def main():
    try:
        if "uvloop" in sys.argv:
            import uvloop

            run(uvloop.new_event_loop)
        else:
            run(asyncio.new_event_loop)
    finally:
        # The thread of the executor would keep a failed program from ending.
        os._exit(1)


main()
