"""Threads that run Python code all the time. Argument: how many. The main thread is blocked."""

import os
import sys

import truth

rounds = [0] * int(sys.argv[1])


def spin(number):
    while True: rounds[number] += 1  # noqa: E701, one line, so that it is known which one runs


def spinner(number):
    entry = truth.note()
    entry["frames"][:1] = [truth.on_line(spin, 1), truth.on_line(spinner, 4)]
    truth.collections.deque(truth.in_c(truth.announce), 0)
    spin(number)


for number in range(len(rounds)):
    truth.start(spinner, number, name="spins %d" % number, daemon=True)
while min(rounds) < 100:
    os.sched_yield()
truth.stay()
