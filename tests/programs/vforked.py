"""A main thread that cannot be interrupted: its child, which runs in its memory until it executes another program, opens
a named pipe that nobody writes to. Argument: the pipe.
"""

import os
import sys

import truth


def parked():
    truth.park()


truth.start(parked, name="parked", daemon=True)
actions = [(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)]
spawn = truth.step(os.posix_spawn, sys.executable, [sys.executable, "-S", "-c", ""], {}, file_actions=actions)
truth.stay(block=spawn)
