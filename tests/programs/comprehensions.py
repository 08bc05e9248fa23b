"""Comprehensions: inlined from 3.12 on in functions, frames of their own before."""

import truth


def lists():
    return [
        [truth.park() for inner in range(2)]
        for outer in range(2)
    ]


def sets_and_dicts():
    return {word: {len(word) + (truth.park() or 0) for _ in "ab"} for word in ("one", "two")}


def generators():
    return [list(truth.park() for b in range(a + 1)) for a in range(2)]


def with_condition():
    return [a for a in range(3) if (lambda number: truth.park())(a)]


def in_class():
    class Body:
        values = [truth.park() for _ in range(3)]


def with_cells():
    functions = [lambda: truth.park() or n for n in range(3)]
    return [function() for function in functions]


for target in (lists, sets_and_dicts, generators, with_condition, in_class, with_cells):
    truth.start(target, name=target.__name__, daemon=True)
[truth.stay() for _ in range(1)]
