"""Runs pyattach on itself and passes on what it says. Argument: the path of pyattach."""

import os
import subprocess
import sys


def look(binary):
    return subprocess.call([binary, "stack", str(os.getpid()), "--json"])


sys.exit(look(sys.argv[1]))
