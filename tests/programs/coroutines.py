"""Coroutines driven by hand and by asyncio, and what they await."""

import asyncio

import truth


async def leaf():
    truth.park()


async def middle():
    return await leaf()


async def outer():
    return [await middle()]


class Awaitable:
    def __await__(self):
        yield from self.steps()

    def steps(self):
        yield 1
        truth.park()


async def through_awaitable():
    await Awaitable()


class Manager:
    async def __aenter__(self):
        await leaf()

    async def __aexit__(self, *exception):
        pass


async def through_with():
    async with Manager():
        pass


def driven(function):
    coroutine = function()
    while True:
        coroutine.send(None)


async def task_body():
    await asyncio.sleep(0)
    await outer()


async def with_tasks():
    await asyncio.gather(asyncio.ensure_future(task_body()), asyncio.sleep(0))


def in_asyncio():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(with_tasks())


async def called_soon():
    asyncio.get_running_loop().call_soon(truth.park)
    await asyncio.sleep(3600)


def in_callback():
    asyncio.new_event_loop().run_until_complete(called_soon())


def main():
    for function in (outer, through_awaitable, through_with):
        truth.start(driven, function, name=function.__name__, daemon=True)
    truth.start(in_asyncio, name="in_asyncio", daemon=True)
    truth.start(in_callback, name="in_callback", daemon=True)
    truth.stay()


main()
