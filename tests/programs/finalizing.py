"""A process in shutdown: modules are being torn down, a finalizer blocks, a daemon thread's time is over."""

import os
import sys
import threading

import truth

reader, writer = os.pipe()


class Last:
    def __del__(self, stay=truth.stay):
        stay()


def parked():
    """Blocks in one call with saying so: a daemon thread on its way back into Python now would be ended."""
    more_than_fits = step(os.write, writer, bytes(1 << 20))
    truth.collections.deque(truth.in_c(step(truth.note, {"optional": True}), more_than_fits), 0)


step = truth.step
threading.Thread(target=parked, daemon=True).start()
os.read(reader, 1)
for fact in ("name", "daemon"):  # what `threading` knew is gone
    del truth.threads[0][fact]
sys.modules["kept till last"] = Last()
