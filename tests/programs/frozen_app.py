"""A program to be looked at from outside: frozen into an executable, or run by a program that embeds Python.

One thread waits for a lock that is never released; the main thread waits for the end of standard input.
"""

import os
import sys
import threading


def blocked_in_worker(gate, started):
    started.set()
    gate.acquire()


def main_wait():
    sys.stdin.read()


def main():
    gate = threading.Lock()
    gate.acquire()
    started = threading.Event()
    worker = threading.Thread(target=blocked_in_worker, args=(gate, started), name="frozen-worker", daemon=True)
    worker.start()
    started.wait()
    print("READY", os.getpid(), flush=True)
    main_wait()


main()
