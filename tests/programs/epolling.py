"""C code blocked in epoll_wait, which a stop by a tracer would make return; another thread runs. Told so by a line, the
main thread makes the event happen; the blocked thread says what epoll_wait has returned.
"""

import ctypes
import os
import select
import sys
import threading

import truth

libc = ctypes.CDLL(None, use_errno=True)
epoll, (reader, writer) = select.epoll(), os.pipe()
epoll.register(reader, select.EPOLLIN)


def waiter():
    events = ctypes.create_string_buffer(64)
    truth.announce()
    result = libc.epoll_wait(epoll.fileno(), events, 1, -1)
    truth.write_all(1, b"%d %d\n" % (result, ctypes.get_errno()))


def busy():
    while True:
        len([1])


thread = truth.start(waiter, name="waits for events", daemon=True)
threading.Thread(target=busy, daemon=True).start()
truth.write_all(1, truth.json.dumps({"ready": os.getpid(), "expect": {}}).encode() + b"\n")
sys.stdin.readline()
os.write(writer, b"x")
thread.join()
sys.stdin.readline()
os._exit(0)
