"""Generators: running, delegating, resumed, thrown into, closed; consumed by Python and by C."""

import truth


def leaf():
    yield 0
    truth.park()


def middle():
    yield from leaf()


def consumed_by_for():
    for _ in middle():
        pass


def consumed_by_c():
    return list(middle())


def generator_expression():
    return sum(n for n in leaf())


def nested_expressions():
    return sum(len(list(b for b in middle())) for a in range(2))


def resumed():
    generator = leaf()
    next(generator)
    next(generator)


def catching():
    try:
        yield 0
    except ValueError:
        truth.park()


def thrown_into():
    generator = catching()
    next(generator)
    generator.throw(ValueError("thrown"))


def delegated_throw():
    def outer():
        yield from catching()

    generator = outer()
    next(generator)
    generator.throw(ValueError("thrown"))


def cleaning():
    try:
        yield 0
    finally:
        truth.park()


def closed():
    generator = cleaning()
    next(generator)
    generator.close()


def dropped():
    generator = cleaning()
    next(generator)
    del generator


class Tree:
    def __init__(self, *children):
        self.children = children

    def __iter__(self):
        for child in self.children:
            yield from child
        truth.park()


def recursive():
    for _ in Tree(Tree(), Tree(Tree(Tree()))):
        pass


for target in (consumed_by_for, consumed_by_c, generator_expression, nested_expressions, resumed,
               thrown_into, delegated_throw, closed, dropped, recursive):
    truth.start(target, name=target.__name__, daemon=True)
truth.stay()
