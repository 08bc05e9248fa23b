"""Imported by importing.py."""

import truth

truth.stay()
