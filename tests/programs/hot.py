"""Code that has run often enough to be specialised, or compiled where the interpreter compiles, before it blocks."""

import truth


class Point:
    def __init__(self, x):
        self.x = x

    def moved(self, by):
        return Point(self.x + by)


def steps(count):
    for number in range(count):
        yield number


def hot_loop(count=20000):
    point, last = Point(0), count - 1
    for number in range(count):
        point = point.moved(number & 1)
        if number == last:
            truth.park()


def hot_calls(count=20000):
    for number in range(count):
        maybe(number == count - 1)


def maybe(block):
    return block and truth.park()


def hot_generator(count=20000):
    return sum(maybe(number == count - 1) or number for number in steps(count))


def hot_recursion(depth=300, rounds=60):
    for number in range(rounds):
        fall(depth, number == rounds - 1)


def fall(depth, block):
    return fall(depth - 1, block) if depth else maybe(block)


for target in (hot_loop, hot_calls, hot_generator, hot_recursion):
    truth.start(target, name=target.__name__, daemon=True)
truth.stay()
