"""A WSGI application for a worker of uWSGI: a request for /?STATE runs exec_states.py in that state, in the thread that serves
requests, as the worker's main program."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def application(environ, start_response):
    path = os.path.join(HERE, "exec_states.py")
    sys.argv = [path, environ["QUERY_STRING"]]
    with open(path) as file:
        code = compile(file.read(), path, "exec")
    exec(code, vars(sys.modules["__main__"]))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"served"]


print("READY", os.getpid(), flush=True)
