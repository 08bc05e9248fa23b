"""Variables of every kind, in frames of every kind, and an exception being handled."""

import truth

facts = {}


def say(function, **variables):
    """What is to be seen of a frame: kind and text by name."""
    facts[function] = {name: [kind, text] for name, (kind, text) in variables.items()}


class Body:
    first = 1

    def arguments(self, plain, default=2, *rest, keyword, **options):
        local = "text"
        if plain > 1000:
            unset = plain
        say(
            "arguments",
            plain=("argument", "1"),
            default=("argument", "2"),
            rest=("argument", "(3, 4)"),
            keyword=("argument", "5"),
            options=("argument", "{'x': 6}"),
            local=("local", "'text'"),
            self=("argument", None),
        )
        return cells(local, [0])


def cells(captured, other):
    own = 1
    empty = None
    del empty

    def inner():
        nonlocal own
        own += 1
        if own > 1000:
            print(captured, empty)
        say("inner", captured=("free", "'text'"), own=("free", "2"))
        next(generator(own))

    say("cells", captured=("cell", "'text'"), other=("argument", "[0]"), own=("cell", "2"), inner=("local", None))
    return inner()


def generator(start):
    for number in range(start, start + 1):
        say("generator", start=("argument", "2"), number=("local", "2"))
        yield comprehension(number)


def comprehension(number):
    say("comprehension", number=("argument", "2"))
    return handling()


def handling():
    try:
        raise KeyError("missing", 7)
    except KeyError as error:
        say("handling", error=("local", "KeyError('missing', 7)"))
        body()


def body():
    class Inside:
        attribute = [1, 2]
        say("Inside", attribute=("local", "[1, 2]"))
        truth.stay(variables=facts)


Body().arguments(1, 2, 3, 4, keyword=5, x=6)
