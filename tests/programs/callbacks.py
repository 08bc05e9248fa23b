"""Python called back from C code in the middle of a stack."""

import functools
import re
import weakref

import truth

try:
    import ctypes
except ImportError:
    ctypes = None


class Compared:
    def __lt__(self, other):
        return truth.park()

    def __eq__(self, other):
        return truth.park()

    def __hash__(self):
        return truth.park()

    def __format__(self, spec):
        return truth.park()

    def __getattr__(self, name):
        return truth.park()

    @property
    def property(self):
        return truth.park()

    def __iter__(self):
        return self

    def __next__(self):
        return truth.park()

    def __enter__(self):
        return truth.park()

    def __exit__(self, *exception):
        return truth.park()


class Dropped:
    def __del__(self):
        truth.park()


def key_function():
    sorted([2, 1], key=lambda number: truth.park())


def comparison():
    [Compared(), Compared()].sort()


def equality():
    Compared() in [Compared()]


def hashing():
    {Compared(): 1}


def formatting():
    "{:>5}".format(Compared())


def missing_attribute():
    Compared().missing


def property_read():
    getattr(Compared(), "property")


def iteration():
    list(map(str, Compared()))


def reduction():
    functools.reduce(lambda left, right: truth.park(), [1, 2, 3])


def partial():
    functools.partial(functools.partial(truth.park))()


def cached():
    functools.lru_cache()(lambda: truth.park())()


def substitution():
    re.sub("b", lambda match: truth.park(), "abc")


def deletion():
    Dropped()


def weak_reference():
    dropped = {1}.__class__()
    reference = weakref.ref(dropped, lambda reference: truth.park())
    del dropped
    return reference


def context():
    with Compared():
        pass


def foreign_callback():
    ctypes.CFUNCTYPE(None)(lambda: truth.park())()


def foreign_sort():
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: truth.park())
    ctypes.CDLL(None).qsort((ctypes.c_int * 2)(2, 1), 2, 4, compare)


targets = [key_function, comparison, equality, hashing, formatting, missing_attribute, property_read, iteration, reduction,
           partial, cached, substitution, deletion, weak_reference, context]
if ctypes:
    targets += [foreign_callback, foreign_sort]
for target in targets:
    truth.start(target, name=target.__name__, daemon=True)
sorted([1], key=lambda number: truth.stay())
