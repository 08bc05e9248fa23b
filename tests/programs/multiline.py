"""Calls that span lines, with text before them that makes bytes and characters differ."""

import truth


def arguments():
    return dict(
        first="é",
        second=truth.park(
        ),
        third=[
            1,
        ],
    )


def chained():
    return (
        Builder()
        .add("a")
        .add(
            "b",
            "c",
        )
        .finish()
    )


def after_wide_characters():
    return ["é", "日本", "😀", truth.park()]


def operators():
    return (1 +
            2 *
            Number()
            + 3)


def subscripts():
    return {
        "key": Container()["a"
                           "b"]
    }


def several_on_one_line():
    a = 1; b = truth.park(); c = 3  # noqa: E702
    return a, b, c


def conditional():
    return (None
            if truth.park()
            else 1)


def formatted():
    return f"é {truth.park()} {1}"


def very_long_line():
    return (                                                                                                                                                                                                                                                                                        truth.park())


def asserted():
    assert (
        truth.park()
    ), "message"


def default_arguments(
    value=lambda: truth.park(
    ),
):
    value()


class Builder:
    def add(self, *parts):
        return self

    def finish(self):
        truth.park()


class Number:
    def __rmul__(self, other):
        return truth.park()


class Container:
    def __getitem__(self, key):
        return truth.park()


for target in (arguments, chained, after_wide_characters, operators, subscripts, several_on_one_line, conditional,
               formatted, very_long_line, asserted, default_arguments):
    truth.start(target,
                name=target.__name__,
                daemon=True)
truth.stay(
    note="a call on several lines",
)
