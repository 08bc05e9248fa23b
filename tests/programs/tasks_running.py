"""An event loop that a task holds up: it calls something that blocks, while others wait for their first turn."""

import asyncio

import truth


async def idle():
    await asyncio.sleep(3600)


async def busy():
    loop = asyncio.get_event_loop()
    later = [loop.create_task(idle()) for _ in range(3)]
    hurry(loop, later)


def hurry(loop, later):
    truth.stay(loop=hex(id(loop)), running=hex(id(asyncio.current_task())), later=[hex(id(task)) for task in later])


asyncio.new_event_loop().run_until_complete(busy())
