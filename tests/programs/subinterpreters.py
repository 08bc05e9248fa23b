"""Sub-interpreters, two of them, each run in a thread of its own and with a thread of its own. Argument: shared or own GIL."""

import json
import os
import sys
import threading

import truth

SOURCE = """
import sys
sys.path.insert(0, {path!r})
import truth

def inside():
    truth.collections.deque(truth.in_c(*steps), 0)

def report():
    entry = truth.note(frame=sys._getframe(1))
    del entry["main"], entry["name"]
    for thread in truth.threads:
        thread["interpreter"] = {interpreter}
    truth.threads.insert(0, truth.threads.pop())
    truth.write_all({fd}, truth.json.dumps(truth.threads).encode())

def of_its_own():
    truth.park()

steps = report, truth.step(truth.os.write, {fd}, b"\\n"), truth.block
truth.start(of_its_own, name="of its own")
inside()
"""


def run_in_old_test_module(source):
    return truth.step(__import__("_testcapi").run_in_subinterp, source)


def creator(gil):
    """A function that makes an interpreter and returns its id, and the one that runs code in it."""
    if sys.version_info >= (3, 13):
        import _interpreters as module
        return truth.step(module.create, {"own": "isolated", "shared": "legacy"}[gil]), module
    import _xxsubinterpreters as module
    if sys.version_info >= (3, 9):
        return truth.step(module.create, isolated=gil == "own"), module
    return module.create, module


def enter(gil, source, facts):
    """In a thread: makes an interpreter, which belongs to the thread that made it, and runs code in it."""
    if sys.version_info >= (3, 8):
        create, module = creator(gil)
        identifier = create()
        facts["interpreter"] = int(identifier)
        run = truth.step(module.run_string, identifier, source.format(**facts))
    else:
        run = run_in_old_test_module(source.format(**facts))
    truth.collections.deque(truth.in_c(truth.step(truth.note), truth.announce, run), 0)


def start_one(number, gil, source):
    out, into = os.pipe()
    facts = {"path": os.path.dirname(os.path.abspath(__file__)), "fd": into, "interpreter": number}
    threading.Thread(target=enter, args=(gil, source, facts), name="runs a sub-interpreter").start()
    truth.wait_for_announcement()
    with open(out) as answers:
        return json.loads(answers.readline())


def main():
    subs = [start_one(number, sys.argv[1], SOURCE) for number in (1, 2)]
    truth.threads.extend(thread for threads in subs for thread in threads)
    truth.stay(interpreters=[0] + [threads[0]["interpreter"] for threads in subs])


if __name__ == "__main__":
    main()
