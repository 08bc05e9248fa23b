"""A thread that runs a function called `wait` of a file called threading.py."""

import os

import truth

namespace = {"rounds": [0]}
exec(compile("def wait():\n    while True: rounds[0] += 1", "/made/up/threading.py", "exec"), namespace)


def spinner():
    truth.announce()
    namespace["wait"]()


truth.start(spinner, name="spins", daemon=True)
while namespace["rounds"][0] < 100:
    os.sched_yield()
truth.stay()
