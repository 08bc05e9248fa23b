"""Exceptions being handled: inside except, finally, else, __exit__, nested, re-raised."""

import truth


def fail(message="failure"):
    raise ValueError(message)


def deep_failure(depth):
    if depth:
        deep_failure(depth - 1)
    fail()


def in_except():
    try:
        deep_failure(5)
    except ValueError as error:
        truth.park(said=str(error))


def in_finally():
    try:
        fail()
    finally:
        truth.park()


def in_finally_after_return():
    try:
        return 1
    finally:
        truth.park()


def in_finally_of_a_loop():
    for _ in range(3):
        try:
            continue
        finally:
            truth.park()


def in_else():
    try:
        pass
    except ValueError:
        pass
    else:
        truth.park()


def nested():
    try:
        fail("first")
    except ValueError:
        try:
            fail("second")
        except ValueError:
            try:
                raise KeyError("third")
            except (KeyError, OSError) as error:
                raise_from(error)


def raise_from(cause):
    try:
        raise RuntimeError("last") from cause
    except RuntimeError:
        truth.park()


class Manager:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        truth.park(kind=kind.__name__)


def in_exit():
    with Manager():
        with Manager.__new__(Quiet):
            fail()


class Quiet(Manager):
    def __exit__(self, kind, error, traceback):
        return False


class Loud(ValueError):
    def __init__(self, *args):
        truth.park()


def in_constructor():
    raise Loud("made while it is raised")


def matching():
    try:
        fail()
    except choose():
        pass


def choose():
    truth.park()


for target in (in_except, in_finally, in_finally_after_return, in_finally_of_a_loop, in_else, nested, in_exit,
               in_constructor, matching):
    truth.start(target, name=target.__name__, daemon=True)
try:
    fail()
except ValueError:
    truth.stay()
