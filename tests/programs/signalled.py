"""Prints how many signals it has got, at each."""

import json
import os
import signal
import sys
import threading

count = 0


def handler(number, frame):
    global count
    count += 1
    os.write(1, b"%d\n" % count)


def busy():
    while True:
        len([1])


signal.signal(signal.SIGUSR1, handler)
# The signal is for the main thread alone: Python has it handled there, and only its own arrival wakes it.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
threading.Thread(target=busy, daemon=True).start()
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
print(json.dumps({"ready": os.getpid(), "expect": {}}), flush=True)
os.read(0, 1)
os._exit(0)
