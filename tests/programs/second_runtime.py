"""Has another libpython in its memory that nobody uses. Argument: its path."""

import ctypes
import sys

import truth

library = ctypes.CDLL(sys.argv[1])
truth.stay()
