"""A process whose first thread ends by itself, by the C library's pthread_exit, while another one lives on."""

import ctypes
import os
import threading

import truth


def survivor():
    truth.collections.deque(truth.in_c(truth.announce, truth.step(os.read, 0, 1), truth.step(os._exit, 0)), 0)


threading.Thread(target=survivor, name="survivor").start()
truth.wait_for_announcement()
truth.write_all(1, truth.json.dumps({"ready": os.getpid(), "expect": {}}).encode() + b"\n")
ctypes.CDLL(None).syscall(60, 0)  # exit: this thread only
