"""C code that keeps the GIL for ever, while another thread wants it and a third is blocked without it.

It starts to keep it when it has read one byte.
"""

import ctypes
import os

import truth

rounds = [0]


def spin():
    while True: rounds[0] += 1  # noqa: E701, one line, so that it is known which one runs


def spinner():
    entry = truth.note({"holds_gil": False, "spins": True})
    entry["frames"][:1] = [truth.on_line(spin, 1), truth.on_line(spinner, 3)]
    truth.collections.deque(truth.in_c(truth.announce), 0) or spin()


def parked():
    truth.park(waits_for_gil=False, holds_gil=False)


truth.start(parked, name="parked", daemon=True)
truth.start(spinner, name="wants the GIL", daemon=True)
while rounds[0] < 100:
    os.sched_yield()
fd = os.dup(0)
hold = truth.step(ctypes.PyDLL(None).read, fd, ctypes.create_string_buffer(1), 1)
truth.stay(block=truth.step(truth.collections.deque, truth.in_c(truth.step(os.read, 0, 1), hold), 0), held_in_read_of=fd)
