"""A target for benchmarks: so many asyncio tasks, in groups of a hundred that one task gathers, all waiting."""
import asyncio
import json
import os
import sys


async def wait(event):
    await event.wait()


async def work(event):
    await wait(event)


async def group(event, size):
    await asyncio.gather(*(work(event) for _ in range(size)))


async def main(count):
    event = asyncio.Event()
    # The main task is one of them, too.
    sizes = [99] * (count // 100)
    sizes[:1] = [98] if sizes else []
    groups = [asyncio.ensure_future(group(event, size)) for size in sizes]
    groups += [asyncio.ensure_future(work(event)) for _ in range(count % 100 - 1 if count % 100 else 0)]
    for _ in range(4):
        await asyncio.sleep(0)
    print(json.dumps({"pid": os.getpid(), "tasks": len(asyncio.all_tasks())}), flush=True)
    await event.wait()


asyncio.run(main(int(sys.argv[1])))
