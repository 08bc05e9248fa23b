"""Deep recursion, in a thread with a big stack. Arguments: how (python, zigzag or c), how deep."""

import sys
import threading

import truth


def fall(depth):
    if depth:
        fall(depth - 1)
    else:
        truth.park()


def zig(depth):
    zag(depth - 1)


def zag(depth):
    if depth > 0:
        return zig(depth - 1)
    truth.park()


def through_c(depth):
    if depth:
        max([depth], key=lambda top: through_c(top - 1) or 0)
    else:
        truth.park()


way, depth = {"python": fall, "zigzag": zig, "c": through_c}[sys.argv[1]], int(sys.argv[2])
sys.setrecursionlimit(4 * depth + 1000)
threading.stack_size(512 << 20)
truth.start(way, depth, name="deep", daemon=True)
truth.stay()
