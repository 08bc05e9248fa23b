"""A process in shutdown: the main thread has ended and waits for a thread that is no daemon."""

import os
import sys
import threading

import truth

main = threading.current_thread()


def lasts():
    while not waits_in_shutdown(sys._current_frames()[main.ident]):
        pass
    entry = {"interpreter": 0, "ident": hex(main.ident), "tid": os.getpid(), "main": True, "name": "MainThread"}
    truth.threads.append(dict(entry, outermost="_shutdown"))
    truth.stay()


def waits_in_shutdown(frame):
    while frame.f_back:
        frame = frame.f_back
    return frame.f_code.co_name == "_shutdown"


threading.Thread(target=lasts, name="no daemon").start()
