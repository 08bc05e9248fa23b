"""Blocks the interpreter while it starts: the site module imports this before there is a main module."""

import truth

truth.stay()
