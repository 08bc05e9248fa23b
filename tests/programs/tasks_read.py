"""asyncio tasks of every shape, with what each of them is: state, chain of awaits, who awaits it.

The whole is said when everything is in place, by the task that runs then: it reads standard input to its end.
"""

import asyncio
import json
import os
import sys
import threading
import types

VERSION = sys.version_info
expected = []
kept = []


class Awaitable:
    def __init__(self, future):
        self.future = future

    def __await__(self):
        return (yield from self.future.__await__())


class Subclass(asyncio.Task):
    pass


class Odd(Exception):
    pass


@types.coroutine
def generator_based(future):
    return (yield from future)


async def leaf(future):
    return await future


async def nested(future):
    return await leaf(future)


async def through_awaitable(future):
    return await Awaitable(future)


async def through_generator(future):
    return await generator_based(future)


async def asynchronous_generator(future):
    yield await leaf(future)


async def iterates(future):
    async for _ in asynchronous_generator(future):
        pass


async def sends(future):
    return await asynchronous_generator(future).asend(None)


async def gathers(*awaitables):
    return await asyncio.gather(*awaitables)


async def waits(*tasks):
    return await asyncio.wait(tasks)


async def shields(task):
    return await asyncio.shield(task)


async def has_timeout(task):
    return await asyncio.wait_for(task, 100_000)


async def groups(futures, made):
    async with asyncio.TaskGroup() as group:
        for future in futures:
            made.append(group.create_task(leaf(future)))


async def fails():
    raise Odd("on purpose")


async def is_stubborn(future):
    try:
        await future
    except asyncio.CancelledError:
        await leaf(asyncio.get_event_loop().create_future())


async def recursive(depth, future):
    return await (recursive(depth - 1, future) if depth else future)


def task(name, coroutine, chain, make=None, **others):
    """Starts a task. `chain` are the functions of its chain of awaits, without those of the standard library."""
    made = make(coroutine) if make else asyncio.get_event_loop().create_task(coroutine)
    if hasattr(made, "set_name"):
        made.set_name(name)
    kept.append(made)
    describe(name, made, chain, **others)
    return made


def describe(name, made, chain, state="pending", awaited_by=(), requests=0, exception=None, ident=None):
    kind = type(made)
    expected.append({
        "id": hex(id(made)),
        "name": name if hasattr(made, "set_name") else None,
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "state": state,
        "chain": chain,
        "awaited_by": awaited_by,
        "requests": requests if hasattr(made, "cancelling") else None,
        "exception": exception,
        "ident": ident or threading.get_ident(),
    })


def awaited(made, *by):
    for entry in expected:
        if entry["id"] == hex(id(made)):
            entry["awaited_by"] = sorted(hex(id(one)) for one in by)


def park():
    print(json.dumps({"ready": os.getpid(), "expect": {"tasks": expected, "debug": "debug" in sys.argv}}), flush=True)
    sys.stdin.read()
    os._exit(0)


async def calls_park():
    park()


async def runs():
    await asyncio.sleep(0)
    await calls_park()


async def main():
    loop = asyncio.get_event_loop()
    future = loop.create_future
    task("nested", nested(future()), ["nested", "leaf"])
    task("awaitable", through_awaitable(future()), ["through_awaitable", "__await__"])
    task("generator", through_generator(future()), ["through_generator", "generator_based"])
    task("iterates", iterates(future()), ["iterates", "asynchronous_generator", "leaf"])
    task("sends", sends(future()), ["sends", "asynchronous_generator", "leaf"])
    task("deep", recursive(200, future()), ["recursive"] * 201)
    task("nam\xe9 \u540d", leaf(future()), ["leaf"])
    one, two, three, four, five = (task(name, leaf(future()), ["leaf"]) for name in ("one", "two", "three", "four", "five"))
    gathering = task("gathers", gathers(one, two), ["gathers"])
    joining = task("joins", leaf(one), ["leaf"])
    waiting = task("waits", waits(two, three), ["waits"])
    awaited(one, gathering, joining)
    awaited(two, gathering, waiting)
    awaited(three, waiting)
    awaited(four, task("shields", shields(four), ["shields"]))
    awaited(five, task("has_timeout", has_timeout(five), ["has_timeout"]))
    if VERSION >= (3, 11):
        made = []
        group = task("groups", groups([future(), future()], made), ["groups"])
        await asyncio.sleep(0)
        for member in made:
            kept.append(member)
            describe(member.get_name(), member, ["leaf"])
            awaited(member, group)
    task("subclass", leaf(future()), ["leaf"], make=lambda coroutine: Subclass(coroutine, loop=loop))
    in_python = lambda coroutine: asyncio.tasks._PyTask(coroutine, loop=loop)  # noqa: E731
    inner = task("in Python", leaf(future()), ["leaf"], make=in_python)
    awaited(inner, task("joins Python", leaf(inner), ["leaf"]))
    slow = asyncio.futures._PyFuture(loop=loop)
    task("on Python", leaf(slow), ["leaf"], make=in_python)
    if VERSION >= (3, 12):
        eager = lambda coroutine: asyncio.eager_task_factory(loop, coroutine)  # noqa: E731
        task("eager", nested(future()), ["nested", "leaf"], make=eager)
    stubborn = task("stubborn", is_stubborn(future()), ["is_stubborn", "leaf"], requests=1)
    failed = task("failed", fails(), [], state="failed", exception="Odd")
    # Somebody refers to it, so that it is found where only unfinished tasks are listed.
    task("main", main_again(), ["main_again"])
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stubborn.cancel()
    await asyncio.sleep(0)
    if VERSION >= (3, 14):
        expected[:] = [entry for entry in expected if entry["id"] != hex(id(failed))]
    task("runs", runs(), ["runs", "calls_park", "park"], state="running")
    own = asyncio.current_task()
    if hasattr(own, "set_name"):
        own.set_name("first")
    describe("first", own, ["main"])
    await asyncio.sleep(100_000)


async def main_again():
    await asyncio.sleep(100_000)


def other_thread(in_place):
    async def of_other_thread():
        own = asyncio.current_task()
        if hasattr(own, "set_name"):
            own.set_name("other")
        describe("other", own, ["of_other_thread", "leaf"])
        in_place.set()
        await leaf(asyncio.get_event_loop().create_future())

    asyncio.new_event_loop().run_until_complete(of_other_thread())


def run():
    in_place = threading.Event()
    threading.Thread(target=other_thread, args=(in_place,), daemon=True).start()
    in_place.wait()
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_debug("debug" in sys.argv)
    loop.run_until_complete(main())


run()
