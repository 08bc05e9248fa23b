"""Values of every kind as arguments of one function, and what Python's own `repr` says of them.

Where pyattach abbreviates or writes something else, as documented, that is said here instead.
"""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import pathlib
import sys
import threading
import uuid

import truth
import values_library

values = {}
expected = {}


def same(*objects):
    """Shown as Python's repr."""
    for value in objects:
        other(value, repr(value))


def other(value, text):
    name = "v%03d" % len(values)
    values[name], expected[name] = value, truth.clean(text)


def at(value, name):
    other(value, "<%s at %s>" % (name, address(value)))


def address(value):
    return "%#x" % id(value)


def numbers():
    same(None, True, False, Ellipsis, NotImplemented)
    same(0, 1, -1, 7, 255, 256, 257, -5, -6, 2**15, 2**30 - 1, 2**30, 2**30 + 1, 2**31, 2**60, 2**63, 2**64, -(2**64))
    same(10**9, 10**18, 10**19, 10**27, -(10**40), 2**521 - 1, 3**1000, -(7**777), 123456789012345678901234567890)
    same(0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 1e15, 1e16, 1e17, 123456.789, 1e-4, 1e-5, 1.5e300, 5e-324, 1.7976931348623157e308)
    same(math.pi, -math.e, 1 / 3, 2 / 3, 1e22, 1e23, 9007199254740993.0, float("inf"), -float("inf"), float("nan"))
    same(1j, 0j, 1 + 2j, -1.5 - 2.25j, complex(-0.0, 1), complex(0.0, -0.0), complex("nan+infj"), 1e20 + 1e-7j)


def texts():
    same("", "a", "hello world", "it's", 'say "hi"', "it's \"both\"", "back\\slash", "tab\t nl\n cr\r", "\0\x01\x1f\x7f")
    same("\x80\xa0\xad\xff", "é", "naïve", "名前", "😀", "a😀b名é", "e\u0301", "\u200b\u2028\u202e\ufeff", "\ue000", "\U000e0001")
    same("\ud800", "x\udcffy", "\U0010ffff", "ß" * 50, "名" * 50, "\N{SNOWMAN}", "x" * 1000, "line\n" * 20, "'", '"', "\\'")
    same(b"", b"bytes", b"\0\x01\xff", b"it's", b'"', b"'\"", b"\t\n\r\\", bytes(range(256)), bytearray(b"array"), bytearray())


def containers():
    same([], [1], [1, "two", 3.0, None], [[]], [[1], [2, [3, [4]]]], list(range(100)), [()], [{}], ["a"] * 30)
    same((), (1,), (1, 2), ((),), ((1,), (2, 3)), tuple(range(50)), ("x", ["y"], {"z": 1}))
    same({}, {"a": 1}, {1: "a", 2: "b"}, {"a": {"b": {"c": []}}}, {(1, 2): [3], None: None, 1.5: True}, {i: i * i for i in range(100)})
    same({"k%d" % i: i for i in range(300)}, dict.fromkeys("abc"), {b"k": b"v"}, {"é": "名"})
    deleted = {i: str(i) for i in range(20)}
    for i in range(0, 20, 3):
        del deleted[i]
    same(deleted)
    same(set(), {1}, frozenset(), frozenset({1}), {"only"}, {(1, 2)})
    numbers = {3, 1, 2}
    numbers.discard(1)
    same(numbers, set(range(200)), frozenset(range(10)))
    same(range(10), range(1, 10), range(0, 10, 2), range(10**20), slice(1, 2, None), slice(None, 5, 2))
    round_list = [1]
    round_list.append(round_list)
    round_dict = {"a": 1}
    round_dict["me"] = round_dict
    same(round_list, round_dict)
    other((round_list,), "([1, [...]],)")
    shared = [1]
    same([shared, shared], {"x": shared, "y": shared})


def collection_types():
    same(collections.deque(), collections.deque([1, 2, 3]), collections.deque(range(200)), collections.deque("abc", maxlen=5))
    rotated = collections.deque(range(100))
    rotated.rotate(37)
    for _ in range(30):
        rotated.popleft()
    same(rotated)
    same(collections.defaultdict(int, a=1), collections.defaultdict(None), collections.defaultdict(list, {"x": [1]}))
    moved = collections.OrderedDict([("a", 1), ("b", 2), ("c", 3)])
    moved.move_to_end("a")
    other(moved, "OrderedDict({'b': 2, 'c': 3, 'a': 1})")
    other(collections.OrderedDict(), "OrderedDict()")
    Point = collections.namedtuple("Point", "x y")
    same(Point(1, "two"), Point(x=Point(0, 0), y=None), sys.version_info[:3])


def times():
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    named = datetime.timezone(datetime.timedelta(seconds=-3600), "X")
    same(datetime.date(2024, 2, 29), datetime.date(1, 1, 1), datetime.date.max, datetime.timezone.utc, zone, named)
    same(datetime.time(), datetime.time(1), datetime.time(23, 59, 59, 999999), datetime.time(1, 2, 3), datetime.time(1, 2, 0, 5))
    same(datetime.time(1, tzinfo=datetime.timezone.utc), datetime.time(2, fold=1), datetime.datetime(2020, 1, 2, 3, 4))
    same(datetime.datetime(2020, 1, 2, 3, 4, 5, 678), datetime.datetime(2020, 1, 2, tzinfo=zone), datetime.datetime.min)
    same(datetime.timedelta(), datetime.timedelta(1), datetime.timedelta(-1, 5, 7), datetime.timedelta(microseconds=3))


def exact_numbers():
    if decimal.Decimal.__module__ == "decimal" and not hasattr(decimal.Decimal, "_isinfinity"):
        decimals()
    same(uuid.UUID("12345678-1234-5678-1234-567812345678"), uuid.UUID(int=0))
    path = pathlib.PurePosixPath("/srv/shop") / "x.py"
    str(path)
    same(path)
    half = fractions.Fraction(1, 2)
    other(half, "<fractions.Fraction at %s _denominator=2, _numerator=1>" % address(half))


def decimals():
    same(*(decimal.Decimal(text) for text in ("0", "1", "-1.5", "0.001", "1E+3", "1E-10", "123.4500", "-0", "NaN", "-Infinity")))
    same(decimal.Decimal(10) ** 50, decimal.Decimal("1.23456789012345678901234567890123456789"), decimal.Decimal("0E-8"))


class Plain:
    pass


class WithDict:
    def __init__(self):
        self.name = "it"
        self.count = 3

    def method(self):
        pass


class Slots:
    __slots__ = ("a", "b", "unset")

    def __init__(self):
        self.a, self.b = 1, [2]


class SlotsAndDict(Slots):
    def __init__(self):
        Slots.__init__(self)
        self.extra = None


class Color(enum.Enum):
    RED = 1
    GREEN = "g"


class Level(enum.IntEnum):
    HIGH = 10


class Access(enum.Flag):
    READ, WRITE, EXECUTE = 1, 2, 4


class MyList(list):
    pass


class MyDict(dict):
    pass


class MyInt(int):
    pass


class MyStr(str):
    pass


class MyTuple(tuple):
    pass


class OwnError(Exception):
    pass


def instances():
    def shown(value, text):
        other(value, "<__main__.%s at %s%s>" % (type(value).__qualname__, address(value), text))

    shown(Plain(), "")
    shown(WithDict(), " name='it', count=3")
    grown = WithDict()
    for i in range(40):
        setattr(grown, "attribute_%d" % i, i)
    shown(grown, " name='it', count=3, " + ", ".join("attribute_%d=%d" % (i, i) for i in range(40)))
    replaced = WithDict()
    replaced.__dict__ = {"x": 1}
    shown(replaced, " x=1")
    asked = WithDict()
    asked.__dict__
    shown(asked, " name='it', count=3")
    other_order = Plain()
    other_order.second, other_order.first = 2, 1
    shown(other_order, " second=2, first=1")
    other_order = Plain()
    other_order.first, other_order.second = 1, 2
    shown(other_order, " first=1, second=2")
    shown(Slots(), " a=1, b=[2]")
    shown(SlotsAndDict(), " a=1, b=[2], extra=None")
    mine = WithDict()
    mine.name = mine
    plain = "<__main__.WithDict at %s" % address(mine)
    other(mine, "%s name=%s>, count=3>" % (plain, plain))
    same(Color.RED, Color.GREEN)
    other(Level.HIGH, "<Level.HIGH: 10>")
    other(Access.WRITE, "<Access.WRITE: 2>")
    other(Access.EXECUTE | Access.READ, "<Access.READ|EXECUTE: 5>")
    other(Access(0), "<Access: 0>")
    other(MyList([1, 2]), "MyList([1, 2])")
    other(MyDict(a=1), "MyDict({'a': 1})")
    other(MyInt(5), "MyInt(5)")
    other(MyStr("text"), "MyStr('text')")
    other(MyStr("é名"), "MyStr('é名')")
    other(MyTuple((1, 2)), "MyTuple((1, 2))")
    other(collections.Counter("aab"), "Counter({'a': 2, 'b': 1})")
    Data = dataclasses.make_dataclass("Data", [("x", int), ("y", list)])
    same(Data(1, [2]), Data(Data(0, []), None))


def callables():
    def nested():
        pass

    same(numbers, nested, len, [].append, int, str, type, Plain, WithDict, collections.deque, OwnError)
    other(Color, "<class '__main__.Color'>")
    bound = WithDict()
    text = "<__main__.WithDict at %s name='it', count=3>" % address(bound)
    other(bound.method, "<bound method WithDict.method of %s>" % text)
    same(functools.partial(len), functools.partial(int, "10", base=2), pathlib)
    other(sys, "<module 'sys'>")
    same(ValueError("x"), KeyError(1, "b"), Exception(), OwnError("own"), OSError(2, "no"), ZeroDivisionError("division by zero"))


def library():
    held = threading.Lock()
    held.acquire()
    same(threading.Lock(), held)
    inner = threading.RLock()
    inner.acquire()
    inner.acquire()
    same(threading.RLock())
    owner = threading.get_ident()
    other(inner, "<locked _thread.RLock object owner=%d count=2 at %s>" % (owner, address(inner)))
    at(object(), "object")
    values_library.fill(same, other)


def spin(running):
    running.set()
    while True:
        pass


for fill in (numbers, texts, containers, collection_types, times, exact_numbers, instances, callables, library):
    fill()
code = "def hold(%s):\n    stay(values=expected, block=block)\n" % ", ".join(values)
scope = {"stay": truth.stay, "expected": expected, "block": truth.step(truth.os.read, 0, 1)}
exec(compile(code, "<values>", "exec"), scope)
if "busy" in sys.argv:
    running = threading.Event()
    threading.Thread(target=spin, args=(running,), daemon=True).start()
    running.wait()
scope["hold"](**values)
