"""Threads that change their stacks all the time, in such a way that a stack tells whether it can exist.

Level n of a family calls only level n + 1 of the same family, always from the same line. A stack with two families in
it, with a level left out or twice, or with another line, never stood. Argument: how many threads.
"""

import itertools
import os
import sys

import truth

FAMILIES, LEVELS = 7, 9
FUNCTION = """
def {family}_{level}(path):
    {call}
"""
CALLS = (
    "return path and {family}_{next}(path[1:])",
    "return [{family}_{next}(rest) for rest in (path[1:],) if path]",
    "return max([path[1:]], key=lambda rest: (path and {family}_{next}(rest)) and 0 or 0)",
    "return sum(({family}_{next}(rest) and 0 or 0) for rest in (path[1:],) if path)",
    "return (lambda *rest, **none: path and {family}_{next}(*rest, **none))(path[1:])",
)
rounds = [0] * int(sys.argv[1])


def family(name):
    parts = []
    for level in range(LEVELS):
        call = CALLS[(level * ord(name)) % len(CALLS)] if level + 1 < LEVELS else "return 0"
        parts.append(FUNCTION.format(family=name, level=level, call=call.format(family=name, next=level + 1)))
    namespace = {"__name__": "churning." + name}
    exec(compile("".join(parts), "<family %s>" % name, "exec"), namespace)
    return namespace[name + "_0"]


def churn(number):
    truth.announce()
    families = itertools.cycle([family("abcdefg"[index]) for index in range(FAMILIES)])
    for length in itertools.cycle(range(1, LEVELS + 3)):
        next(families)(range(length))
        rounds[number] += 1


for number in range(len(rounds)):
    truth.start(churn, number, name="churns %d" % number, daemon=True)
while min(rounds) < 10:
    os.sched_yield()
truth.stay()
