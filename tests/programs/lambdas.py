"""Lambdas, nested and in odd places."""

import truth

table = {"entry": lambda: (lambda: truth.park())()}


def defaults(function=lambda: truth.park()):
    return function()


def immediate():
    return (lambda first: (lambda second: (lambda third: truth.park())(second))(first))(1)


class Holder:
    method = lambda self: truth.park()  # noqa: E731


for target in (table["entry"], defaults, immediate, Holder().method):
    truth.start(target, daemon=True)
(lambda: truth.stay())()
