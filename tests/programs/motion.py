"""Threads that are stuck, that spin, that wake up again and again; and others that begin, go on and end when a line says so."""

import collections
import itertools
import os
import sys
import threading
import time

import truth

stuck_on, gate = threading.Lock(), threading.Lock()
stuck_on.acquire()
gate.acquire()
rounds = [0]


def stuck():
    # From one call of C code it says that it is in place and waits for ever.
    collections.deque(truth.in_c(truth.announce, stuck_on.acquire), 0)


def wakes():
    # C code calls C code: the frame stays at one instruction, however often the thread wakes up.
    collections.deque(truth.in_c(truth.announce), 0)
    collections.deque(map(time.sleep, itertools.repeat(0.002)), 0)


def spins():
    truth.announce()
    while True:
        rounds[0] += 1


def goes_on():
    collections.deque(truth.in_c(truth.announce, gate.acquire), 0)
    collections.deque(truth.in_c(truth.announce, stuck_on.acquire), 0)


def ends():
    collections.deque(truth.in_c(truth.announce, gate.acquire), 0)


def obey(word):
    verb, _, what = word.partition(" ")
    if verb == "begin":
        truth.start(globals()[what], name=what, daemon=True)
    elif verb == "go":
        gate.release()
        truth.wait_for_announcement()
    elif verb == "end":
        thread = [thread for thread in threading.enumerate() if thread.name == what][0]
        gate.release()
        thread.join()


for name in sys.argv[1:]:
    obey("begin " + name)
truth.write_all(1, truth.json.dumps({"ready": os.getpid(), "expect": {}}).encode() + b"\n")
for line in iter(sys.stdin.readline, ""):
    obey(line.strip())
    truth.write_all(1, b"done\n")
os._exit(0)
