"""Many threads. Argument: how many. Every third has the name of others, every second is a daemon."""

import sys
import threading

import truth


def worker(number):
    (handle_even if number % 2 else handle_odd)(number)


def handle_even(number):
    truth.park()


def handle_odd(number):
    [truth.park() for _ in [number]]


threading.stack_size(512 << 10)
for number in range(int(sys.argv[1])):
    name = "same name" if number % 3 == 0 else "worker-%d" % number
    truth.start(worker, number, name=name, daemon=bool(number % 2))
truth.stay()
