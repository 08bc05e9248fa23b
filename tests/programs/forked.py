"""A child after fork, of a process with threads. Argument: which thread forks, main or other."""

import os
import sys
import threading
import warnings

import truth


def forking():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os._exit(0)
    del truth.threads[:]
    child()


def child():
    truth.stay()


def parked():
    truth.park()


warnings.simplefilter("ignore")
for number in range(3):
    truth.start(parked, name="parent's %d" % number, daemon=True)
if sys.argv[1] == "main":
    forking()
else:
    threading.Thread(target=forking, name="the forking one").start()
    os.read(truth._gate[0], 1)
