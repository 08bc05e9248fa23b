"""Tasks that are made and end all the time, so many at a time.

`parent-N-D` awaits `child-N-D`, which awaits a future; both at the depth D of a recursion of which each function calls the
next. The futures are done a while later, when the loop has made others.
"""

import asyncio
import collections
import json
import os
import sys

COUNT = int(sys.argv[1])


async def child0(depth, future):
    return await (child2(depth - 1, future) if depth else future)


async def child1(depth, future):
    return await child0(depth - 1, future)


async def child2(depth, future):
    return await child1(depth - 1, future)


async def parent0(depth, future):
    return await (parent2(depth - 1, future) if depth else future)


async def parent1(depth, future):
    return await parent0(depth - 1, future)


async def parent2(depth, future):
    return await parent1(depth - 1, future)


CHILDREN = child0, child1, child2
PARENTS = parent0, parent1, parent2


async def main():
    loop = asyncio.get_event_loop()
    # It ends with its standard input.
    loop.add_reader(0, os._exit, 0)
    waiting = collections.deque()
    said = False
    number = 0

    def start(coroutine, name):
        task = loop.create_task(coroutine)
        if hasattr(task, "set_name"):
            task.set_name(name)
        return task

    while True:
        number += 1
        depth = number * 7 % 13
        future = loop.create_future()
        child = start(CHILDREN[depth % 3](depth, future), f"child-{number}-{depth}")
        start(PARENTS[depth % 3](depth, child), f"parent-{number}-{depth}")
        waiting.append(future)
        if len(waiting) > COUNT // 2:
            waiting.popleft().set_result(number)
        if number % 5 == 0:
            await asyncio.sleep(0)
        if not said and number > COUNT:
            said = True
            print(json.dumps({"ready": os.getpid(), "expect": None}), flush=True)


asyncio.new_event_loop().run_until_complete(main())
