"""A garbage collection in progress: a finalizer called by the collector blocks."""

import gc

import truth


class Cycle:
    def __init__(self):
        self.me = self

    def __del__(self):
        truth.stay(gc_collecting=True)


gc.disable()
Cycle()
gc.collect()
