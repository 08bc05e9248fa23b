# Find out where memory is allocated.
# Arguments: start [FRAMES] | snapshot | compare [N] | top [N] | stop. FRAMES: 1, up to 25; N: 10 lines, up to 200.
# start slows allocation down until stop. snapshot keeps a state in the process that compare compares with; stop drops it.
import sys
import tracemalloc

words = sys.argv[1:] + [""] * 2
what, number = words[0] or "top", words[1]
KEPT = "_pyattach_snapshot"
if what not in ("start", "snapshot", "compare", "top", "stop"):
    raise SystemExit("start, snapshot, compare, top or stop, not %s" % what)
if what != "start" and not tracemalloc.is_tracing():
    raise SystemExit("not started: run it with start first")
if what == "compare" and not hasattr(tracemalloc, KEPT):
    raise SystemExit("nothing to compare with: run it with snapshot first")

# A snapshot copies a record of each traced block: not of a hundred million.
if what in ("snapshot", "compare", "top") and tracemalloc.get_tracemalloc_memory() > 2 << 30:
    raise SystemExit("the records of tracemalloc take more than 2 GiB; a snapshot would double that")


def taken():
    ours = [tracemalloc.Filter(False, tracemalloc.__file__), tracemalloc.Filter(False, "<pyattach*")]
    return tracemalloc.take_snapshot().filter_traces(ours)


def show(rows):
    for row in rows[:max(1, min(int(number or 10), 200))]:
        print(row)


if what == "start":
    tracemalloc.start(max(1, min(int(number or 1), 25)))
    print("started, with %d frames each" % tracemalloc.get_traceback_limit())
elif what == "snapshot":
    setattr(tracemalloc, KEPT, taken())
    print("kept; %d bytes are traced" % tracemalloc.get_traced_memory()[0])
elif what == "top":
    show(taken().statistics("lineno"))
elif what == "compare":
    show(taken().compare_to(getattr(tracemalloc, KEPT), "lineno"))
else:
    tracemalloc.__dict__.pop(KEPT, None)
    tracemalloc.stop()
    print("stopped")
