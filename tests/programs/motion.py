"""Threads that are stuck, that spin, that wake up again and again; and others that begin, go on and end when a line says so."""

import collections
import itertools
import os
import sys
import threading
import time

import truth

# That a thread is in its place is said by a lock, in the C code that then blocks: the GIL is not let go before it blocks, so
# whoever has heard it can only see it block where it stays.
stuck_on, gate, in_place = threading.Lock(), threading.Lock(), threading.Lock()
stuck_on.acquire()
gate.acquire()
in_place.acquire()
rounds = [0]


def stuck():
    collections.deque(truth.in_c(in_place.release, stuck_on.acquire), 0)


def wakes():
    # C code calls C code: the frame stays at one instruction, however often the thread wakes up.
    in_place.release()
    collections.deque(map(time.sleep, itertools.repeat(0.002)), 0)


def spins():
    in_place.release()
    while True:
        rounds[0] += 1


def goes_on():
    collections.deque(truth.in_c(in_place.release, gate.acquire), 0)
    collections.deque(truth.in_c(in_place.release, stuck_on.acquire), 0)


def ends():
    collections.deque(truth.in_c(in_place.release, gate.acquire), 0)


def obey(word):
    verb, _, what = word.partition(" ")
    if verb == "begin":
        threading.Thread(target=globals()[what], name=what, daemon=True).start()
        in_place.acquire()
    elif verb == "go":
        gate.release()
        in_place.acquire()
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
