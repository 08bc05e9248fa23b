"""Arrays and scalars of numpy, which is in the directory given, and what is to be seen of them."""

import os
import sys

import truth

# In place of this directory, which has another module `secrets` than the one that numpy imports.
sys.path[0] = sys.argv[1]

import numpy  # noqa: E402

values = {}
expected = {}


def other(value, text):
    name = "v%03d" % len(values)
    values[name], expected[name] = value, text


def shown(value, items, kind="numpy.ndarray"):
    dtype = str(value.dtype)
    if dtype.startswith(("datetime64", "timedelta64")):
        dtype = dtype.partition("[")[0]
    if value.dtype.names:
        dtype = "|V%d" % value.dtype.itemsize
    text = "<%s dtype=%s shape=%s%s>" % (kind, dtype, value.shape, "" if items is None else ": [%s]" % items)
    other(value, text)


def numbers(value):
    """As Python writes the same numbers, or numpy those that Python does not have."""
    write = str if value.dtype == numpy.float32 else repr
    shown(value, ", ".join(write(item if write is str else item.item()) for item in value.flat))


class Table(numpy.ndarray):
    pass


def fill():
    for dtype in "?bBhHiIlLqQdD":
        numbers(numpy.arange(3).astype(dtype))
    numbers(numpy.array([0.1, 1.5, -2.25, 1e-30, 3e38, 0.0], "f"))
    numbers(numpy.array([0.5, 65504.0, -1e-7, numpy.inf], "e"))
    shown(numpy.array([1 + 2j, 0.1], "F"), "(1+2j), (0.1+0j)")
    numbers(numpy.array([-(2**63), 2**63 - 1]))
    numbers(numpy.array([2**64 - 1], "Q"))
    numbers(numpy.array([0.1, 1e300, numpy.nan, -numpy.inf]))
    grid = numpy.arange(12.0).reshape(3, 4)
    for one in (grid, grid.T, grid[:, 1], grid[::-1, ::2], grid[1:1], grid[None], numpy.array(7), numpy.asfortranarray(grid)):
        numbers(one)
    numbers(numpy.broadcast_to(numpy.array([1, 2]), (3, 2)))
    numbers(numpy.arange(20000, dtype="i2").reshape(100, 200)[::7, ::50])
    numbers(numpy.array([1, -2], ">i4"))
    numbers(numpy.array([0.5, -2], ">f8"))
    numbers(numpy.zeros((2, 0, 3)))
    shown(numpy.arange(4).view(Table), "0, 1, 2, 3", "__main__.Table")
    shown(numpy.array([b"a", b"bytes", b""]), "b'a', b'bytes', b''")
    shown(numpy.array(["a", "n\xe4h", ""]), "'a', 'n\xe4h', ''")
    shown(numpy.array([None, "x", [1]], dtype=object), "None, 'x', [1]")
    shown(numpy.array(["2020-01-01"], "M8[D]"), None)
    shown(numpy.array([1], "m8[s]"), None)
    shown(numpy.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]), None)
    shown(numpy.array([1], "g"), None)


def scalars():
    for one in (numpy.int8(-1), numpy.int16(300), numpy.int32(-7), numpy.int64(7), numpy.uint8(255), numpy.uint64(2**64 - 1)):
        other(one, "numpy.%s(%d)" % (type(one).__name__, one))
    other(numpy.float64(1.5), "numpy.float64(1.5)")
    other(numpy.float32(0.1), "numpy.float32(0.1)")
    other(numpy.float16(0.5), "numpy.float16(0.5)")
    other(numpy.complex128(1 - 2j), "numpy.complex128(1-2j)")
    other(numpy.bool_(True), "numpy.%s(True)" % numpy.bool_.__name__)


def secrets():
    command = numpy.array(["--password", "hunter2", "see me"])
    shown(command, "'--password', <redacted>, 'see me'")
    shown(numpy.array([b"token", b"hunter2"]), "b'token', <redacted>")
    shown(numpy.array(["redis://:hunter2@h/"]), "'redis://:<redacted>@h/'")
    shown(numpy.array([{"api_key": "hunter2"}], dtype=object), "{'api_key': <redacted>}")


for part in (fill, scalars, secrets):
    part()
code = "def hold(%s):\n    stay(values=expected, block=block)\n" % ", ".join(values)
scope = {"stay": truth.stay, "expected": expected, "block": truth.step(os.read, 0, 1)}
exec(compile(code, "<arrays>", "exec"), scope)
scope["hold"](**values)
