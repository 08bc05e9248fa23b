"""Code run under the interpreter's own observers: trace and profile functions, a signal handler."""

import os
import signal
import sys

import truth


def observed():
    value = 1
    return [value for _ in range(2)]


def tracer(frame, event, argument):
    if event == "line" and frame.f_code.co_name == "observed":
        truth.park()
    return tracer


def traced():
    sys.settrace(tracer)
    observed()


def profiler(frame, event, argument):
    if event == "return" and frame.f_code.co_name == "observed":
        truth.park()


def profiled():
    sys.setprofile(profiler)
    observed()


def half_traced():
    """A trace function that is there while the thread is blocked elsewhere: the code runs instrumented."""
    sys.settrace(lambda *event: None)
    truth.park()


def monitored():
    monitoring = sys.monitoring
    monitoring.use_tool_id(3, "test")
    monitoring.register_callback(3, monitoring.events.LINE, lambda *event: truth.park())
    monitoring.set_local_events(3, observed.__code__, monitoring.events.LINE)
    observed()


def handler(number, frame):
    truth.stay()


targets = [traced, profiled, half_traced] + ([monitored] if hasattr(sys, "monitoring") else [])
for target in targets:
    truth.start(target, name=target.__name__, daemon=True)
signal.signal(signal.SIGUSR1, handler)
os.kill(os.getpid(), signal.SIGUSR1)
while True:
    pass
