"""Frames in a module of a package, in code without a file, and in code of files that are not there."""

import truth
from shop.checkout import orders


def call(name, inner):
    namespace = {}
    exec(compile("def relay(inner):\n    inner()", name, "exec"), namespace)
    return lambda: namespace["relay"](inner)


step = truth.stay
for name in ("<string>", "/no/such/file.py", "relative/file.py"):
    step = call(name, step)
orders.place(step)
