"""A WSGI application that hangs in its first request.

Loaded once in each worker (the server must load applications lazily): starts a thread, says READY and the worker's
pid. A request is not answered before the file named in its query string can be read to its end, so that a test with
a named pipe there decides when it goes on.
"""

import os
import threading


def background(gate, started):
    started.set()
    gate.acquire()


def handle_request(path):
    with open(path) as gate:
        return gate.read()


def application(environ, start_response):
    answer = handle_request(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer.encode()]


def start():
    gate = threading.Lock()
    gate.acquire()
    started = threading.Event()
    threading.Thread(target=background, args=(gate, started), name="wsgi-background", daemon=True).start()
    started.wait()
    print("READY", os.getpid(), flush=True)


start()
