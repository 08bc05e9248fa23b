"""Decorators: wrapped functions, methods, classes; the decorator itself while it decorates."""

import contextlib
import functools

import truth


def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **options):
        return function(*args, **options)

    return wrapper


def with_options(label):
    def decorate(function):
        return traced(traced(function))

    return decorate


def parking(function):
    truth.park()
    return function


@traced
def once():
    truth.park()


@with_options(
    label="several lines",
)
@traced
def many_times():
    truth.park()


class Service:
    @traced
    @with_options("method")
    def method(self):
        truth.park()

    @property
    @traced
    def value(self):
        return truth.park()


def decorating():
    @traced
    @parking
    @traced
    def decorated():
        pass


@contextlib.contextmanager
def manager():
    truth.park()
    yield


@manager()
def in_manager():
    pass


for target in (once, many_times, Service().method, lambda: Service().value, decorating, in_manager):
    truth.start(target, name=getattr(target, "__name__", "?"), daemon=True)
traced(truth.stay)()
