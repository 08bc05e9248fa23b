# Which types have more objects than some time ago.
# Arguments: start | compare [N] | stop. start counts and keeps the counts in the process; compare counts again and shows the
# N types, 20 without, that grew most; stop drops what is kept.
import gc
import sys
import time

words = sys.argv[1:] + [""] * 2
what, number = words[0] or "compare", max(1, min(int(words[1] or 20), 1000))
KEPT = "_pyattach_counts"
if what not in ("start", "compare", "stop"):
    raise SystemExit("start, compare or stop, not %s" % what)
if what == "compare" and not hasattr(gc, KEPT):
    raise SystemExit("nothing to compare with: run it with start first")
if what == "stop":
    gc.__dict__.pop(KEPT, None)
    raise SystemExit

# The list of all objects is made in one go, while nothing else runs: not of a hundred million.
if sys.getallocatedblocks() > 30000000:
    raise SystemExit("too many objects to go through while the process waits")
end, counts, seen = time.monotonic() + 5, {}, 0
objects = gc.get_objects()
for item in objects:
    # By name: a type that is kept would not be freed.
    name = "%s.%s" % (type(item).__module__, type(item).__qualname__)
    counts[name] = counts.get(name, 0) + 1
    seen += 1
    if seen % 10000 == 0 and time.monotonic() > end:
        raise SystemExit("too many objects: gave up after 5 seconds, at %d of %d" % (seen, len(objects)))
del objects, item
if what == "start":
    setattr(gc, KEPT, (time.monotonic(), counts))
    print("counted %d objects of %d types" % (seen, len(counts)))
else:
    since, old = getattr(gc, KEPT)
    grown = [(count - old.get(name, 0), count, name) for name, count in counts.items() if count > old.get(name, 0)]
    print("%d objects, %d more than %.0f seconds ago" % (seen, seen - sum(old.values()), time.monotonic() - since))
    for more, count, name in sorted(grown, reverse=True)[:number]:
        print("%+9d  to %9d  %s" % (more, count, name))
