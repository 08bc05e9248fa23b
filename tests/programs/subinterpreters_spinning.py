"""Sub-interpreters with GILs of their own, each with a thread that runs all the time; the main interpreter is blocked."""

import os

import subinterpreters
import truth

SOURCE = """
import sys
sys.path.insert(0, {path!r})
import truth

def report():
    frames = truth.stack(sys._getframe(1))
    frames[0]["running"] = True
    del frames[0]["column"], frames[0]["end_column"], frames[0]["end_line"]
    entry = truth.identity()
    entry.update(interpreter={interpreter}, frames=frames, waits_for_gil=False, holds_gil=True)
    del entry["main"], entry["name"]
    truth.write_all({fd}, truth.json.dumps([entry]).encode())

def spin(rounds=0):
    while True: rounds += 1; rounds == 100 and truth.collections.deque(truth.in_c(*steps), 0)

steps = report, truth.step(truth.os.write, {fd}, b"\\n")
spin()
"""

subs = [subinterpreters.start_one(number, "own", SOURCE) for number in (1, 2)]
truth.threads.extend(thread for threads in subs for thread in threads)
truth.stay(interpreters=[0] + [threads[0]["interpreter"] for threads in subs], pid=os.getpid())
