"""A process that beats while scripts are run in it, in the way that its argument says. Whatever it notices that is not as it
would be without, it says; scripts that ran leave their name in `ran`."""
import json
import os
import select
import socket
import sys
import threading
import time

try:
    import zlib
except ImportError:
    zlib = None

STATE = sys.argv[1]
# How long a call waits, in seconds, and how much sooner a coarse clock may say that it is over.
WAIT, EARLY = 0.01, 0.002
ran = []


def say(what):
    os.write(1, (json.dumps(what) + "\n").encode())


def bad(*what):
    say({"bad": [STATE] + [repr(part) for part in what]})


def timed(call, wanted):
    """Makes a call that nothing ends but its timeout."""
    began = time.monotonic()
    result = call()
    took = time.monotonic() - began
    if result != wanted or took < WAIT - EARLY:
        bad(result, took)


def busy():
    x, y = 1, 0.5
    for _ in range(20000):
        x = x * 31 % 1000003
        y = y * 1.0000001
    if not 0.5 < y < 0.51:
        bad(y)


lock = threading.Lock()
reader, writer = os.pipe()
ours, theirs = socket.socketpair()


def receive():
    ours.settimeout(WAIT)
    try:
        return ours.recv(1)
    except socket.timeout:
        return None


TEXT = os.urandom(3000) * 20


def allocate():
    if zlib and zlib.decompress(zlib.compress(TEXT, 1)) != TEXT:
        bad("zlib")
    if sum(map(len, [bytearray(k) for k in range(0, 3000, 7)])) != 642642:
        bad("bytearrays")


def c_call():
    """In C code that keeps the GIL, until a byte comes."""
    read(0, buffer, 1)


def main():
    if STATE == "no_descriptors":
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, 200))
    if STATE == "c_call":
        import ctypes
        global read, buffer
        read, buffer = ctypes.PyDLL(None).read, ctypes.create_string_buffer(1)
    if STATE == "closed_streams":
        os.close(0)
        os.close(2)
    if STATE == "lock":
        lock.acquire()
    if STATE == "malloc":
        def others():
            while True:
                allocate()
        for _ in range(2):
            threading.Thread(target=others, daemon=True).start()
    step = {
        "busy": busy,
        "malloc": allocate,
        "sleep": lambda: timed(lambda: time.sleep(WAIT), None),
        "lock": lambda: timed(lambda: lock.acquire(timeout=WAIT), False),
        "select": lambda: timed(lambda: select.select([reader], [], [], WAIT), ([], [], [])),
        "recv": lambda: timed(receive, None),
        "c_call": c_call,
        "no_descriptors": busy,
        "closed_streams": busy,
    }[STATE]
    say({"ready": os.getpid(), "expect": None})
    beats, said = 0, 0.0
    while True:
        step()
        beats += 1
        # A copy: the next may run between any two of these lines.
        so_far = list(ran)
        if len(set(so_far)) != len(so_far):
            bad("ran twice", so_far)
        # Not so often that nobody reads it all.
        if time.monotonic() - said > 0.005:
            said = time.monotonic()
            say({"beat": beats})


main()
