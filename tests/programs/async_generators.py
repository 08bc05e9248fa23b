"""Asynchronous generators and comprehensions."""

import truth


async def numbers():
    yield 1
    truth.park()
    yield 2


async def doubled(source):
    async for number in source:
        yield 2 * number


async def loop():
    async for _ in doubled(doubled(numbers())):
        pass


async def comprehension():
    return [number async for number in doubled(numbers())]


async def generator_expression():
    source = (number async for number in numbers())
    return {number: [other async for other in source] async for number in doubled(numbers())}


async def by_hand():
    generator = numbers()
    await generator.asend(None)
    await generator.__anext__()


async def cleaning():
    try:
        yield 1
    finally:
        truth.park()


async def closed():
    generator = cleaning()
    await generator.__anext__()
    await generator.aclose()


def driven(function):
    function().send(None)


for function in (loop, comprehension, generator_expression, by_hand, closed):
    truth.start(driven, function, name=function.__name__, daemon=True)
truth.stay()
