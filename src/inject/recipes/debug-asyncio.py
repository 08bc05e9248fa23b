# Switch the debug mode of running asyncio event loops on or off: slow callbacks and coroutines never awaited are logged.
# Arguments: on [SECONDS] | off | list. SECONDS: what counts as slow, 0.1 without.
import gc
import sys

asyncio = sys.modules.get("asyncio")
if asyncio is None:
    raise SystemExit("asyncio is not loaded in this process")
words = sys.argv[1:] + [""] * 2
what, slow = words[0] or "list", float(words[1] or 0.1)
if what not in ("on", "off", "list"):
    raise SystemExit("on, off or list, not %s" % what)
if sys.getallocatedblocks() > 30000000:
    raise SystemExit("too many objects to look for loops while the process waits")
loops = [item for item in gc.get_objects() if issubclass(type(item), asyncio.AbstractEventLoop)]
found = 0
for loop in loops:
    if loop.is_closed() or not loop.is_running():
        continue
    found += 1
    if what != "list":
        # set_debug() of a running loop makes it do so itself, in its own thread.
        loop.call_soon_threadsafe(loop.set_debug, what == "on")
        if what == "on":
            loop.slow_callback_duration = slow
    shown = what if what != "list" else ("on" if loop.get_debug() else "off")
    print("%s: debug %s, slow is %g s" % (type(loop).__qualname__, shown, loop.slow_callback_duration))
del loops
if not found:
    print("no running event loop")
