"""A program that, when told so, ends in the ordinary way: with threads to join, handlers to call, modules to tear down."""

import atexit
import json
import os
import sys
import threading

event = threading.Event()


def worker():
    event.wait()


def busy():
    while True:
        len([1])


atexit.register(lambda: sorted([3, 2, 1], key=lambda number: -number))
for number in range(5):
    threading.Thread(target=worker).start()
threading.Thread(target=busy, daemon=True).start()
print(json.dumps({"ready": os.getpid(), "expect": {}}), flush=True)
sys.stdin.readline()
event.set()
