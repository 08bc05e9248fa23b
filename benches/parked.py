"""A target that waits: threads with stacks of a given depth, parked on a lock, and perhaps a big heap.

    python parked.py THREADS FRAMES MEGABYTES [LIBRARY FILE]

When everybody is parked it prints one line of JSON: the stack of each thread as the interpreter itself sees it.
With LIBRARY, one more thread spins in C without the GIL and records to FILE the gaps in its own time.
"""
import json
import os
import signal
import sys
import threading
import time

LOCK = threading.Lock()
NATIVE_IDS = {}


def park():
    LOCK.acquire()


def odd(depth):
    if depth <= 1:
        return park()
    return even(depth - 1)


def even(depth):
    deeper = depth - 1
    if deeper > 0:
        return odd(deeper)
    return park()


def parked_thread(frames):
    NATIVE_IDS[threading.get_ident()] = threading.get_native_id()
    odd(frames)


def spin(library, path):
    import ctypes
    gaps = ctypes.CDLL(library)
    if gaps.open_gaps(path.encode()):
        raise OSError("cannot open " + path)
    NATIVE_IDS[threading.get_ident()] = threading.get_native_id()
    gaps.spin()


def fill(megabytes):
    return [{"number": n, "text": "text %d" % n, "list": [n, n + 1]} for n in range(megabytes * 2300)]


def stack(frame):
    frames = []
    while frame is not None:
        code = frame.f_code
        frames.append([[code.co_name, getattr(code, "co_qualname", code.co_name)], code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return frames


def report(count):
    """Waits until all threads are where they stay, then prints their stacks."""
    last = {park.__code__: park.__code__.co_firstlineno + 1, spin.__code__: spin.__code__.co_firstlineno + 6}
    while True:
        frames = sys._current_frames()
        stacks = {NATIVE_IDS[ident]: stack(frames[ident]) for ident in list(NATIVE_IDS) if ident in frames}
        still = [frames[ident] for ident in NATIVE_IDS if ident in frames]
        if len(stacks) == count and all(last.get(frame.f_code) == frame.f_lineno for frame in still):
            break
        time.sleep(0.01)
    print(json.dumps({"pid": os.getpid(), "threads": stacks}), flush=True)


def main(arguments):
    signal.alarm(1800)  # whoever started us may be gone
    threads, frames, megabytes = map(int, arguments[:3])
    LOCK.acquire()
    heap = fill(megabytes)
    NATIVE_IDS[threading.get_ident()] = threading.get_native_id()
    sys.setrecursionlimit(20000)
    for number in range(threads):
        threading.Thread(target=parked_thread, args=(frames,), daemon=True).start()
    if arguments[3:]:
        threading.Thread(target=spin, args=arguments[3:5], daemon=True).start()
    threading.Thread(target=report, args=(threads + 1 + bool(arguments[3:]),), daemon=True).start()
    odd(1 if threads else frames)
    return heap


main(sys.argv[1:])
