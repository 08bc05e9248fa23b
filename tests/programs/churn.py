"""A target whose threads change their stacks all the time, and which says beforehand every stack they can have.

    python churn.py [THREADS] [--no-naps] [--tick LIBRARY FILE]

Each thread repeats `one_round` for ever. A round always does the same, so a profile function that watches a few of
them sees every path of calls, with the line of each call as this very interpreter counts it. That is printed as one
line of JSON (see churn_facts.py); then each thread writes a line "churning" when it starts for good. The main thread
is one of THREADS. --tick calls `tick` of a C library, opened on FILE, often and without letting go of the GIL.
"""
import functools
import os
import re
import signal
import sys
import threading
import time

from churn_facts import MADE_CYCLE, Announcements, Watcher

LOOP_LINE = 5  # of `worker`: the only one that calls
nap = functools.partial(time.sleep, 0.00005)
breathe = functools.partial(time.sleep, 0)
tick = functools.partial(int, 0)


# Leaves and plain calls: two chains which share their ends, so that a mixture of both shows.

def leaf(number):
    total = number
    for step in range(3):
        total += step
    return total


def tail(number):
    tick()
    return leaf(number)


def left_one(number):
    here = number + 1
    return left_two(here)


def left_two(number):
    return left_three(number) + leaf(number)


def left_three(number):
    return tail(number)


def right_one(number):
    return right_two(number)


def right_two(number):
    leaf(number)
    here = number
    return right_three(here) + 1


def right_three(number):
    leaf(number)
    breathe()
    return tail(number)


# A ring of three functions: as deep as several blocks of the interpreter's frame memory, then flat again. A frame
# that is left out, or shown twice, makes a call that no line makes or the wrong number of frames.

def ring_first(depth):
    if depth <= 0:
        return ring_end()
    return ring_second(depth - 1)


def ring_second(depth):
    return ring_third(depth - 1)


def ring_third(depth):
    before = depth
    return ring_first(before - 1)


def ring_end():
    nap()
    return leaf(7)


# Generators and coroutines. They are made and used on one line: a call which only makes the generator shows it too.

def inner_generator(count):
    for number in range(count):
        yield leaf(number)
    return tail(count)


def outer_generator(count):
    yield leaf(count)
    result = yield from inner_generator(count)
    try:
        yield result
        yield leaf(result)
    finally:
        tail(count)


def thrown_generator():
    try:
        yield leaf(1)
    except KeyError:
        yield tail(2)


def consume():
    for number in outer_generator(3):
        leaf(number)
    stopped = outer_generator(1); next(stopped); next(stopped); next(stopped); stopped.close()
    thrown = thrown_generator(); next(thrown); thrown.throw(KeyError("asked for")); thrown.close()
    return sum(leaf(number) for number in range(3))


class Ready:
    def __await__(self):
        yield leaf(3)
        return tail(4)


async def inner_coroutine():
    return await Ready()


async def outer_coroutine():
    async with Context():
        leaf(1)
        return await inner_coroutine() + await inner_coroutine()


async def steps():
    yield leaf(1)
    await Ready()
    yield leaf(2)


async def all_steps():
    async for number in steps():
        leaf(number)
    return [tail(number) async for number in steps()]


def drive():
    for make in (outer_coroutine, all_steps):
        run_to_end(make)


def run_to_end(make):
    try:
        for send in [make().send] * 8: send(None)
    except StopIteration:
        leaf(8)


# C in the middle of the stack.

class Ordered:
    def __init__(self, value):
        self.value = leaf(value)

    def __lt__(self, other):
        leaf(1)
        return self.value < other.value

    def __hash__(self):
        return leaf(2)

    def __eq__(self, other):
        return self.value == leaf(other.value)

    def __call__(self, number):
        return tail(number)

    def __getitem__(self, index):
        return right_three(index)

    @property
    def doubled(self):
        return left_three(self.value) * 2

    def __del__(self):
        tail(0)


def key(number):
    return right_one(-number)


def nested_key(depth):
    if depth:
        return sorted([depth - 1, depth - 1], key=nested_key)[0]
    return leaf(depth)


def replaced(match):
    return str(left_three(len(match.group())))


PATTERN = re.compile("a+")


def callbacks():
    sorted([3, 1, 2], key=key)
    list(map(left_one, (1, 2)))
    functools.reduce(lambda one, two: leaf(one + two), [1, 2, 3])
    PATTERN.sub(replaced, "aabaa")
    nested_key(3)
    return max([leaf(number) for number in range(3)] + list({tail(number): right_three(number) for number in (1, 2)}))


def objects():
    # In a list, not in variables of their own: a profile function keeps the values of variables alive up to 3.10.
    things = [Ordered(1), Ordered(2)]
    things.sort(reverse=True)
    table = {things[0]: 1}
    table.get(Ordered(1))
    things[0](1)
    things[0][2]
    things[0].doubled
    table.clear()
    del things[0]
    things.clear()
    return leaf(9)


# Decorators, closures, context managers and class bodies.

class Context:
    def __enter__(self):
        return leaf(1)

    def __exit__(self, *problem):
        tail(1)
        return False

    async def __aenter__(self):
        return await inner_coroutine()

    async def __aexit__(self, *problem):
        return leaf(2)


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        leaf(0)
        return function(*args, **kwargs)
    return wrapper


@logged
@logged
def decorated(number, *, other=1):
    def closure():
        return leaf(number) + right_three(other)
    with Context():
        closure()
    return closure()


def make_class():
    class Short:
        field = leaf(1)
        other = [tail(2)]

        def method(self):
            return right_three(self.field)
    return Short().method()


# Exceptions which pass through frames, and are handled further out.

def raiser(depth):
    if depth == 0:
        raise ValueError("at the bottom")
    try:
        raiser(depth - 1)
    finally:
        leaf(depth)


def middle(depth):
    return raiser(depth) or leaf(0)


def catcher():
    try:
        middle(4)
    except ValueError as problem:
        try:
            raise KeyError("while handling") from problem
        except KeyError:
            tail(5)
    return sys._getframe().f_lineno + left_three(1)


# Code objects which live for one call: their file, functions and lines belong together and change each time.

MADE = "{skip}def made_{number:09}(depth):\n    if depth:\n        return made_{number:09}(depth - 1)\n    return leaf({number:9})\nmade_{number:09}(2)\n"


def made(number):
    source = MADE.format(skip="\n" * (number % MADE_CYCLE), number=number)
    exec(compile(source, "<made-%09d>" % number, "exec"), {"leaf": leaf, "__name__": "made_%09d" % number})


def one_round(number):
    left_one(number)
    ring_first(6)
    right_one(number)
    consume()
    made(number)
    drive()
    ring_first(300)
    callbacks()
    objects()
    decorated(number, other=2)
    make_class()
    catcher()
    ring_first(60)
    breathe()


def worker(announce):
    announce(sys._getframe(1))
    number = MADE_CYCLE
    os.write(1, b"churning\n")
    while True:
        one_round(number); number += 1


def calibrate(watcher):
    sys.setprofile(watcher.event)
    for number in range(3):
        one_round(number)
    sys.setprofile(None)


def open_tick(library, path):
    global tick
    import ctypes
    gaps = ctypes.PyDLL(library)
    if gaps.open_gaps(path.encode()):
        raise OSError("cannot open " + path)
    tick = gaps.tick


def main(arguments):
    global nap
    signal.alarm(1800)  # whoever started us may be gone
    if "--no-naps" in arguments:
        nap = tick
    watcher = Watcher(one_round)
    calibrate(watcher)
    if "--tick" in arguments:
        at = arguments.index("--tick")
        open_tick(*arguments[at + 1:at + 3])
    count = int(arguments[0]) if arguments and arguments[0].isdigit() else 1
    announce = Announcements(count, watcher, worker, LOOP_LINE)
    for number in range(1, count):
        threading.Thread(target=worker, args=(announce,), name="churn-%d" % number, daemon=True).start()
    worker(announce)


main(sys.argv[1:])
