"""Threads that `threading` did not make: by _thread, by C code that calls into Python, by C code that never does."""

import _thread
import ctypes
import threading

import truth


def raw():
    truth.park()


def raw_that_asked_for_itself():
    threading.current_thread()
    truth.park()


@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def called_by_c(argument):
    truth.park()


libc = ctypes.CDLL(None)


def start_c_thread(function):
    libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, function, None)


for target in (raw, raw_that_asked_for_itself):
    _thread.start_new_thread(target, ())
    truth.wait_for_announcement()
start_c_thread(called_by_c)
truth.wait_for_announcement()
for _ in range(2):
    start_c_thread(libc.pause)
truth.stay(native_threads=2)
