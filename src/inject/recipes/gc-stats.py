# Garbage collector: thresholds, counts, statistics, and the most common types of the objects it knows.
# Arguments: [N] [SECONDS]; the 20 most common types, looking for 1 second, at most 10.
import gc
import sys
import time

words = sys.argv[1:] + [""] * 2
number, limit = max(1, min(int(words[0] or 20), 1000)), min(float(words[1] or 1), 10)
print("enabled %s, thresholds %s, counts %s, debug flags %s" % (gc.isenabled(), gc.get_threshold(), gc.get_count(), gc.get_debug()))
for generation, row in enumerate(gc.get_stats()):
    print("generation %d: %d collections, %d objects freed, %d uncollectable" % (
        generation, row["collections"], row["collected"], row["uncollectable"]))
print("kept in gc.garbage: %d, frozen: %d" % (len(gc.garbage), gc.get_freeze_count()))

# The list of all objects is made in one go, while nothing else runs: not of a hundred million.
if sys.getallocatedblocks() > 30000000:
    raise SystemExit("too many objects to go through while the process waits")
end, counts, seen = time.monotonic() + limit, {}, 0
objects = gc.get_objects()
for item in objects:
    counts[type(item)] = counts.get(type(item), 0) + 1
    seen += 1
    if seen % 10000 == 0 and time.monotonic() > end:
        break
print("types of %d of %d objects:" % (seen, len(objects)))
del objects, item
for kind, count in sorted(counts.items(), key=lambda pair: -pair[1])[:number]:
    print("%9d  %s.%s" % (count, kind.__module__, kind.__qualname__))
