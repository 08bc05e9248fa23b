# Dump the stacks of all threads by faulthandler, as a crash would. (pyattach stack does more, and runs no code.)
# Arguments: none.
import faulthandler
import os
import tempfile

# It writes to a descriptor: one of a file that is nowhere.
if hasattr(os, "memfd_create"):
    file = os.fdopen(os.memfd_create("pyattach-faulthandler"), "w+b")
else:
    file = tempfile.TemporaryFile()
with file:
    faulthandler.dump_traceback(file, all_threads=True)
    file.seek(0)
    print(file.read(1 << 20).decode("utf-8", "replace"), end="")
